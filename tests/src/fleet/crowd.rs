//! This module runs many callers with connections of their own; each offers calls at a fixed rate, whether
//! the earlier ones are answered or not. It uses one thread and plain h2, so that ten times what a gateway
//! can serve costs the generator as little as possible.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::{HeaderMap, Request};
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;

use super::CITIZEN;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Calls that one connection may carry at once, as the gateway says it: what comes beyond waits in the
/// caller's own library.
const STREAMS: usize = 100;
/// How often calls are begun.
const TICK: Duration = Duration::from_millis(1);
/// The parts of a run that are counted apart.
pub const SLICE: Duration = Duration::from_millis(100);

/// The callers. To be used within a `LocalSet`.
pub struct Crowd(Vec<Rc<Caller>>);

struct Caller {
    connections: Vec<SendRequest<Bytes>>,
    head: Request<()>,
    body: Bytes,
    in_flight: Cell<usize>,
    turn: Cell<usize>,
}

/// What one caller offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Calls per second.
    pub rate: f64,
    /// How often a refused call is made again, at once: nobody who means well does that.
    pub retries: u32,
}

/// What became of one caller's calls.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Calls that were to be made, without those made again.
    pub offered: u64,
    /// Those of them that found no room on the caller's own connections.
    pub held_back: u64,
    /// Answered.
    pub answered: u64,
    /// Refused with UNAVAILABLE or RESOURCE_EXHAUSTED, those made again included.
    pub refused: u64,
    /// Ended in any other way.
    pub failed: u64,
    /// Why the first of those did.
    pub why: Option<String>,
    /// From the intended start to the answer, in nanoseconds.
    pub latency: Histogram<u64>,
    /// From the sending to the refusal, in nanoseconds.
    pub refusal: Histogram<u64>,
    /// Answered and refused calls by the [`SLICE`] in which they ended.
    pub slices: Vec<(u32, u32)>,
}

impl Tally {
    fn new() -> Self {
        let histogram =
            || Histogram::new(3).unwrap_or_else(|_| unreachable!("three significant figures are allowed"));
        let latency = histogram();
        let refusal = histogram();
        Self {
            offered: 0,
            held_back: 0,
            answered: 0,
            refused: 0,
            failed: 0,
            why: None,
            latency,
            refusal,
            slices: Vec::new(),
        }
    }

    /// All of them as one.
    pub fn sum<'a>(tallies: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::new();
        for tally in tallies {
            sum.offered += tally.offered;
            sum.held_back += tally.held_back;
            sum.answered += tally.answered;
            sum.refused += tally.refused;
            sum.failed += tally.failed;
            sum.why = sum.why.or_else(|| tally.why.clone());
            // Cannot fail: a histogram without bounds grows.
            sum.latency.add(&tally.latency).ok();
            sum.refusal.add(&tally.refusal).ok();
            sum.slices.resize(sum.slices.len().max(tally.slices.len()), (0, 0));
            for (all, own) in sum.slices.iter_mut().zip(&tally.slices) {
                *all = (all.0 + own.0, all.1 + own.1);
            }
        }
        sum
    }

    fn slice(&mut self, at: Duration) -> &mut (u32, u32) {
        let place = (at.as_nanos() / SLICE.as_nanos()) as usize;
        self.slices.resize(self.slices.len().max(place + 1), (0, 0));
        &mut self.slices[place]
    }
}

enum End {
    Answered,
    Refused,
    Other(String),
}

impl Crowd {
    /// Connects as each of `names` (certificates in `pki`), over so many connections each.
    ///
    /// # Errors
    /// If one cannot connect.
    pub(crate) async fn connect(
        address: SocketAddr,
        pki: &Path,
        names: &[String],
        connections: usize,
    ) -> Result<Self, Error> {
        let mut callers = Vec::new();
        for name in names {
            callers.push(Rc::new(Caller::connect(address, pki, name, connections).await?));
        }
        Ok(Self(callers))
    }

    /// How many calls a second are answered when every caller keeps so many in flight.
    pub async fn capacity(&self, each: usize, length: Duration) -> f64 {
        let answered = Rc::new(Cell::new(0_u64));
        let began = Instant::now();
        let lane = |caller: &Rc<Caller>| {
            let caller = Rc::clone(caller);
            let answered = Rc::clone(&answered);
            async move {
                while began.elapsed() < length {
                    match caller.call().await {
                        End::Answered => answered.set(answered.get() + 1),
                        // Whoever is refused would otherwise come back at once.
                        End::Refused | End::Other(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            }
        };
        futures_util::future::join_all(self.0.iter().flat_map(|caller| (0..each).map(move |_| lane(caller))))
            .await;
        answered.get() as f64 / began.elapsed().as_secs_f64()
    }

    /// Each caller offers what stands in its place for so long. Gives what became of it once every call has
    /// ended.
    pub async fn offer(&self, offers: &[Offer], length: Duration) -> Vec<Tally> {
        let began = Instant::now();
        let tallies: Vec<_> = offers.iter().map(|_| Rc::new(RefCell::new(Tally::new()))).collect();
        let mut calls = tokio::task::JoinSet::new();
        let mut made = vec![0_u64; offers.len()];
        let mut ticks = tokio::time::interval(TICK);
        while began.elapsed() < length {
            ticks.tick().await;
            let now = began.elapsed();
            for ((caller, offer), (made, tally)) in
                self.0.iter().zip(offers).zip(made.iter_mut().zip(&tallies))
            {
                let due = (now.as_secs_f64() * offer.rate) as u64;
                while *made < due {
                    let intended = began + Duration::from_secs_f64(*made as f64 / offer.rate);
                    *made += 1;
                    tally.borrow_mut().offered += 1;
                    if caller.in_flight.get() >= caller.connections.len() * STREAMS {
                        tally.borrow_mut().held_back += 1;
                        continue;
                    }
                    calls.spawn_local(make(
                        Rc::clone(caller),
                        Rc::clone(tally),
                        intended,
                        began,
                        offer.retries,
                    ));
                }
            }
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
        tallies.into_iter().map(|tally| tally.borrow().clone()).collect()
    }
}

async fn make(
    caller: Rc<Caller>,
    tally: Rc<RefCell<Tally>>,
    intended: Instant,
    began: Instant,
    retries: u32,
) {
    for _ in 0..=retries {
        let sent = Instant::now();
        let end = caller.call().await;
        let mut tally = tally.borrow_mut();
        match end {
            End::Answered => {
                tally.answered += 1;
                tally.latency.record(nanos(intended.elapsed())).ok();
                tally.slice(began.elapsed()).0 += 1;
                return;
            }
            End::Refused => {
                tally.refused += 1;
                tally.refusal.record(nanos(sent.elapsed())).ok();
                tally.slice(began.elapsed()).1 += 1;
            }
            End::Other(why) => {
                tally.failed += 1;
                tally.why.get_or_insert(why);
                return;
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Caller {
    async fn connect(address: SocketAddr, pki: &Path, name: &str, count: usize) -> Result<Self, Error> {
        let tls = tokio_rustls::TlsConnector::from(tls(pki, name)?);
        let mut connections = Vec::new();
        for _ in 0..count {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let tls = tls.connect(ServerName::try_from("localhost")?, tcp).await?;
            let (send, connection) = h2::client::Builder::new()
                .initial_window_size(4 << 20)
                .initial_connection_window_size(64 << 20)
                .max_concurrent_reset_streams(STREAMS)
                .handshake(tls)
                .await?;
            // Its end shows in the calls.
            tokio::task::spawn_local(async move { connection.await.ok() });
            connections.push(send);
        }
        let head =
            Request::post(format!("https://localhost:{}/civil.v1.CivilRegistry/GetPerson", address.port()))
                .version(http::Version::HTTP_2)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("grpc-timeout", "10S")
                .header("chapar-purpose", "benefit.eligibility")
                .body(())?;
        let message = Ask { national_id: CITIZEN.to_owned() }.encode_to_vec();
        let body = chapar_transport::frame::encode(message.into());
        Ok(Self { connections, head, body, in_flight: Cell::new(0), turn: Cell::new(0) })
    }

    async fn call(&self) -> End {
        self.in_flight.set(self.in_flight.get() + 1);
        let end = self.exchange().await.unwrap_or_else(|error| End::Other(error.to_string()));
        self.in_flight.set(self.in_flight.get() - 1);
        end
    }

    async fn exchange(&self) -> Result<End, Error> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let mut send = self.connections[turn % self.connections.len()].clone().ready().await?;
        let (response, mut stream) = send.send_request(self.head.clone(), false)?;
        stream.send_data(self.body.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let trailers = body.trailers().await?;
        Ok(end(trailers.as_ref().unwrap_or(&head.headers)))
    }
}

fn end(trailers: &HeaderMap) -> End {
    match trailers.get("grpc-status").map(|status| status.as_bytes()) {
        Some(b"0") => End::Answered,
        Some(b"14" | b"8") => End::Refused,
        status => End::Other(format!("{status:?} {:?}", trailers.get("grpc-message"))),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = "1")]
    national_id: String,
}

fn tls(folder: &Path, name: &str) -> Result<Arc<rustls::ClientConfig>, Error> {
    let chain =
        CertificateDer::pem_file_iter(folder.join(format!("{name}.crt")))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.crt"))? {
        roots.add(certificate?)?;
    }
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
