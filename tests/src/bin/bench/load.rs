//! This module makes the load: closed loop (a fixed number of calls in flight, each begins when the last is
//! answered) and open loop (calls begin at a fixed rate; latency counts from the intended start). It uses one
//! thread and plain h2.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::Request;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::{Error, pki, wire};

/// A way to put load on a proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// So many calls in flight.
    Closed(usize),
    /// So many calls begin per second.
    Open(u32),
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(width) => write!(f, "{width}"),
            Self::Open(rate) => write!(f, "open {rate}/s"),
        }
    }
}

impl Shape {
    /// The shapes that are measured.
    pub(crate) const ALL: [Self; 5] =
        [Self::Closed(1), Self::Closed(8), Self::Closed(64), Self::Closed(256), Self::Open(2000)];

    /// Connections that the load comes over: 32 calls in flight share one.
    fn connections(self) -> usize {
        match self {
            Self::Closed(width) => width.div_ceil(32),
            Self::Open(_) => 2,
        }
    }
}

/// What one measurement counted.
pub(crate) struct Count {
    /// Calls answered in full within the window.
    pub(crate) answered: u64,
    /// Calls that were not, at any time.
    pub(crate) failed: u64,
    /// Why the first of them failed.
    pub(crate) why: Option<String>,
    /// Nanoseconds, three significant figures.
    pub(crate) latency: Histogram<u64>,
}

struct State {
    count: RefCell<Count>,
    counting: Cell<bool>,
    stop: Cell<bool>,
    /// Calls that may still begin.
    left: Cell<u64>,
}

impl State {
    fn record(&self, outcome: Result<(), Error>, took: Duration) {
        let mut count = self.count.borrow_mut();
        match outcome {
            Ok(()) if self.counting.get() => {
                count.answered += 1;
                // Cannot fail: a histogram without bounds grows.
                count.latency.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)).ok();
            }
            Ok(()) => {}
            Err(error) => {
                count.failed += 1;
                count.why.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Connections of one caller to one address.
pub(crate) struct Caller {
    connections: Vec<SendRequest<Bytes>>,
    head: Request<()>,
    body: Bytes,
}

impl Caller {
    /// Opens the connections that a shape needs.
    pub(crate) async fn connect(address: SocketAddr, pki: &Path, shape: Shape) -> Result<Self, Error> {
        Self::connect_many(address, pki, shape.connections()).await
    }

    /// Opens so many connections.
    pub(crate) async fn connect_many(address: SocketAddr, pki: &Path, count: usize) -> Result<Self, Error> {
        let tls = tokio_rustls::TlsConnector::from(pki::client(pki, "caller")?);
        let mut connections = Vec::new();
        for _ in 0..count {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let tls = tls.connect(ServerName::try_from("localhost")?, tcp).await?;
            let (send, connection) = h2::client::Builder::new()
                .initial_window_size(1 << 20)
                .initial_connection_window_size(1 << 24)
                .enable_push(false)
                .handshake(tls)
                .await?;
            // Its end shows in the calls.
            tokio::task::spawn_local(async move { connection.await.ok() });
            connections.push(send);
        }
        Ok(Self {
            connections,
            head: wire::head(&format!("localhost:{}", address.port()))?,
            body: wire::request(),
        })
    }

    /// One call, checked.
    pub(crate) async fn call(&self, number: usize) -> Result<(), Error> {
        let send = self.connections[number % self.connections.len()].clone();
        let mut send = send.ready().await?;
        let (response, mut stream) = send.send_request(self.head.clone(), false)?;
        stream.send_data(self.body.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            length += data.len();
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?;
        let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status");
        if head.status != 200 || status.is_none_or(|status| status != "0") || length < 200 {
            return Err(format!("HTTP {}, grpc-status {status:?}, {length} bytes", head.status).into());
        }
        Ok(())
    }
}

/// Puts load on an address; `at` is told at the beginning and at the end of the counted window.
pub(crate) async fn run(
    caller: Caller,
    shape: Shape,
    window: Duration,
    calls: Option<u64>,
    mut at: impl FnMut(),
) -> Result<(Count, Duration), Error> {
    let state = Rc::new(State {
        count: RefCell::new(Count { answered: 0, failed: 0, why: None, latency: Histogram::new(3)? }),
        counting: Cell::new(false),
        stop: Cell::new(false),
        left: Cell::new(calls.unwrap_or(u64::MAX)),
    });
    let caller = Rc::new(caller);
    let mut tasks = tokio::task::JoinSet::new();
    match shape {
        Shape::Closed(width) => {
            for number in 0..width {
                tasks.spawn_local(closed(Rc::clone(&caller), Rc::clone(&state), number));
            }
        }
        Shape::Open(rate) => {
            tasks.spawn_local(open(Rc::clone(&caller), Rc::clone(&state), rate));
        }
    }
    let began;
    if calls.is_some() {
        state.counting.set(true);
        at();
        began = Instant::now();
        while tasks.join_next().await.is_some() {}
    } else {
        tokio::time::sleep(window / 6).await;
        state.counting.set(true);
        at();
        began = Instant::now();
        tokio::time::sleep(window).await;
    }
    state.counting.set(false);
    let elapsed = began.elapsed();
    at();
    state.stop.set(true);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(10), drained).await.is_err() {
        return Err("calls are still unanswered ten seconds after the end".into());
    }
    drop(tasks);
    let state = Rc::into_inner(state).ok_or("a call is still held")?;
    Ok((state.count.into_inner(), elapsed))
}

async fn closed(caller: Rc<Caller>, state: Rc<State>, number: usize) {
    while !state.stop.get() && state.left.get() > 0 {
        state.left.set(state.left.get() - 1);
        let start = Instant::now();
        let outcome = caller.call(number).await;
        let failed = outcome.is_err();
        state.record(outcome, start.elapsed());
        if failed {
            // A proxy that is down fails at once, and would be asked without end.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits by yielding: a timer's milliseconds would be seen in every latency. The generator has its core for
/// itself.
async fn open(caller: Rc<Caller>, state: Rc<State>, rate: u32) {
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let mut number = 0;
    while !state.stop.get() {
        let intended = began + Duration::from_secs(1) / rate * number;
        while Instant::now() < intended {
            tokio::task::yield_now().await;
        }
        let caller = Rc::clone(&caller);
        let state = Rc::clone(&state);
        calls.spawn_local(async move {
            let outcome = caller.call(number as usize).await;
            state.record(outcome, intended.elapsed());
        });
        number += 1;
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
}
