//! Connections on which the roles turn round: whoever dialled serves HTTP/2 on them. So an adapter needs no port of its own. Here
//! is the side that dials: it keeps connections to every gateway, and comes back when one ends. The other side takes them from
//! its listener ([`crate::serve::Settings::reverse`]) and calls on them ([`crate::dial::Link`]).

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_model::Clock;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dial::chance;
use crate::dial::connect::Endpoint;
use crate::error::Error;
use crate::peer::Peer;
use crate::serve::{self, serve_connection};

/// The protocol by which the roles turn round (ALPN).
pub const PROTOCOL: &[u8] = crate::tls::REVERSE;
/// A request to this path says that the gateway will soon let go of the connection: time to dial another, which may find
/// another gateway. It needs no answer, and what runs on the connection goes on.
pub const LEAVING: &str = "/chapar.reverse.v1/Leaving";

/// How connections are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections to each gateway. Default 2.
    pub connections: usize,
    /// The longest wait for TCP and TLS together. Default 5 s.
    pub connect: Duration,
    /// The first pause after a connection failed or ended, doubled up to `back_off_most`, each with jitter. Default 50 ms.
    pub back_off: Duration,
    /// The longest pause. Default 5 s.
    pub back_off_most: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 2,
            connect: Duration::from_secs(5),
            back_off: Duration::from_millis(50),
            back_off_most: Duration::from_secs(5),
        }
    }
}

/// A connection that lasted as long was a good one: the next pause is the first again.
const GOOD: Duration = Duration::from_secs(5);

/// Keeps connections to gateways, and serves on them.
pub struct Dialler {
    gateways: Vec<Endpoint>,
    settings: Settings,
    serving: Arc<serve::Settings>,
    heard: watch::Sender<bool>,
}

impl Dialler {
    /// Prepares connections to gateways, each `HOST:PORT`. `tls` says which identities are gateways.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if one has another form.
    pub fn new(
        gateways: &[String],
        tls: &ClientConfig,
        settings: Settings,
        serving: serve::Settings,
    ) -> Result<Self, Error> {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        let tls = Arc::new(tls);
        let endpoint = |gateway: &String| Endpoint::new(&format!("https://{gateway}"), None, Arc::clone(&tls));
        let gateways = gateways.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { gateways, settings, serving: Arc::new(serving), heard: watch::Sender::new(false) })
    }

    /// Turns true when a gateway asks something for the first time: only then is it sure that one took us in.
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    /// Serves until `stop`; then running calls may finish for the drain time, and what still runs is dropped.
    pub async fn run<S, B>(self, service: S, stop: CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (serving, cut) = (TaskTracker::new(), CancellationToken::new());
        let lines =
            self.gateways.iter().flat_map(|gateway| std::iter::repeat_n(gateway, self.settings.connections.max(1)));
        let lines = lines.map(|gateway| {
            let (settings, heard) = (&self.settings, &self.heard);
            let line = Line { gateway, settings, serving: &self.serving, heard, stop: &stop };
            line.keep(&service, &serving, &cut)
        });
        futures_util::future::join_all(lines).await;
        serving.close();
        if tokio::time::timeout(self.serving.drain, serving.wait()).await.is_err() {
            cut.cancel();
            serving.wait().await;
        }
    }
}

/// One connection, and those that follow it.
#[derive(Clone, Copy)]
struct Line<'a> {
    gateway: &'a Endpoint,
    settings: &'a Settings,
    serving: &'a Arc<serve::Settings>,
    heard: &'a watch::Sender<bool>,
    stop: &'a CancellationToken,
}

impl Line<'_> {
    async fn keep<S, B>(self, service: &S, serving: &TaskTracker, cut: &CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut pauses = Pauses::default();
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let leaving = CancellationToken::new();
            let heard = Hearing { service: service.clone(), leaving: leaving.clone(), heard: self.heard.clone() };
            match self.stop.run_until_cancelled(self.open(heard)).await {
                None => return,
                Some(Ok(connection)) => {
                    let cut = cut.clone();
                    let serving = serving.spawn(async move { cut.run_until_cancelled(connection).await });
                    tokio::select! {
                        _ = serving => {}
                        // It goes on beside the next one.
                        () = leaving.cancelled() => {}
                    }
                }
                Some(Err(problem)) => {
                    let gateway = self.gateway.authority();
                    if pauses.failures < 3 {
                        tracing::info!(%gateway, problem, "cannot join the gateway yet");
                    } else {
                        tracing::warn!(%gateway, problem, "cannot join the gateway");
                    }
                }
            }
            let pause = pauses.next(self.settings, began.elapsed() >= GOOD || leaving.is_cancelled());
            self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Connects; what comes back serves until the connection ends.
    async fn open<S, B>(self, service: S) -> Result<impl Future<Output = ()> + Send + 'static, String>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let opening = tokio::time::timeout(self.settings.connect, self.gateway.open(PROTOCOL));
        let io = opening.await.map_err(|_| "timed out".to_owned())??;
        let peer = peer(&io, &self.serving.clock).ok_or("the gateway's certificate cannot be read")?;
        tracing::info!(gateway = %self.gateway.authority(), "joined the gateway");
        Ok(serve_connection(io, Arc::new(peer), service, Arc::clone(self.serving), self.stop.clone()))
    }
}

fn peer(io: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>, clock: &Clock) -> Option<Peer> {
    let (stream, session) = io.get_ref();
    Peer::dialled(session.peer_certificates()?.first()?, clock, stream.peer_addr().ok()?)
}

/// Hears the first word of a gateway, and the one that it will let go.
struct Hearing<S> {
    service: S,
    leaving: CancellationToken,
    heard: watch::Sender<bool>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Hearing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() == LEAVING {
            self.leaving.cancel();
        }
        if !*self.heard.borrow() {
            self.heard.send_replace(true);
        }
        self.service.call(request)
    }
}

/// The pauses between connections.
#[derive(Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    /// After a connection that was good, or one that was not or never came to be.
    fn next(&mut self, settings: &Settings, good: bool) -> Duration {
        if good {
            self.failures = 0;
        }
        let doubled = settings.back_off.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(settings.back_off_most).mul_f64(chance::half_to_one())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_a_good_connection_ends_them() {
        let settings = Settings::default();
        let mut pauses = Pauses::default();
        let first = pauses.next(&settings, false);
        assert!(first <= settings.back_off && first >= settings.back_off / 2);
        let later: Vec<_> = (0..20).map(|_| pauses.next(&settings, false)).collect();
        assert!(later[2] >= settings.back_off * 4, "{later:?}");
        assert!(later[19] >= settings.back_off_most / 2 && later[19] <= settings.back_off_most, "{later:?}");
        assert!(later[15] != later[16] && later[16] != later[17], "each by chance: {later:?}");
        assert!(pauses.next(&settings, true) <= settings.back_off);
    }
}
