//! A listener with an accept loop of its own: handshakes under a timeout and a cap, HTTP/2 with bounds against floods, and a
//! drain with a deadline (hyper's own graceful shutdown has none: hyper#4170).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_model::Clock;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{HttpService, Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::peer::Peer;
use crate::tls::ServerTls;

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest TLS handshake. Default 5 s.
    pub handshake: Duration,
    /// Handshakes at once; more wait in the accept queue. Default 1024.
    pub handshakes: usize,
    /// Connections at once; more are closed as they come. Default 10,000.
    pub connections: usize,
    /// Streams at once on one connection. Default 100.
    pub streams: u32,
    /// Time between pings on a connection, and the wait for an answer. Default 20 s each.
    pub keepalive: Duration,
    /// How long connections may finish their calls after a stop. Default 10 s.
    pub drain: Duration,
    /// The clock by which certificates are judged after the handshake.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            handshakes: 1024,
            connections: 10_000,
            streams: 100,
            keepalive: Duration::from_secs(20),
            drain: Duration::from_secs(10),
            clock: Clock::system(),
        }
    }
}

const MAX_HEADER_LIST: u32 = 16 << 10;
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Opens listeners.
pub struct Server;

impl Server {
    /// Takes the address; nothing is accepted until [`Bound::run`].
    ///
    /// # Errors
    /// [`Error::Listen`] naming the address, when it is in use, say.
    pub async fn bind(address: SocketAddr, tls: ServerTls, settings: Settings) -> Result<Bound, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Bound { listener, address, tls, settings })
    }
}

/// A listener that holds its port.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: ServerTls,
    settings: Settings,
}

impl Bound {
    /// The address, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests with `service` until `stop`, then drains: no new connection, GOAWAY on the others, and after the
    /// drain time what still runs is dropped. Every request carries an `Arc<Peer>` in its extensions.
    pub async fn run<S, B>(self, service: S, stop: CancellationToken)
    where
        S: HttpService<Incoming, ResBody = B, Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = std::convert::Infallible>,
        <S as Service<Request<Incoming>>>::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { listener, tls, settings, .. } = self;
        let settings = Arc::new(settings);
        let (handshakes, connections) =
            (Arc::new(Semaphore::new(settings.handshakes)), Arc::new(Semaphore::new(settings.connections)));
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        while let Some(handshake) = stop.run_until_cancelled(Arc::clone(&handshakes).acquire_owned()).await {
            let Some((stream, remote)) = stop.run_until_cancelled(accept(&listener)).await else { break };
            let Ok(place) = Arc::clone(&connections).try_acquire_owned() else { continue };
            let connection =
                Connection { tls: tls.clone(), settings: Arc::clone(&settings), stop: stop.clone(), remote };
            let (service, cut) = (service.clone(), cut.clone());
            tasks.spawn(async move {
                let _place = place;
                cut.run_until_cancelled(connection.serve(stream, handshake, service)).await;
            });
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(settings.drain, tasks.wait()).await.is_err() {
            cut.cancel();
            tasks.wait().await;
        }
    }
}

/// The next connection. An error of one connection, or of a full table of files, is waited out and never spun on.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut wait = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(1));
            }
        }
    }
}

struct Connection {
    tls: ServerTls,
    settings: Arc<Settings>,
    stop: CancellationToken,
    remote: SocketAddr,
}

impl Connection {
    async fn serve<S, B, H>(self, stream: TcpStream, handshake: H, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = std::convert::Infallible> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { tls, settings, stop, remote } = self;
        stream.set_nodelay(true).ok();
        let accepting = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
        let accepted = stop.run_until_cancelled(tokio::time::timeout(settings.handshake, accepting)).await;
        drop(handshake);
        // No call can be running on it yet.
        let Some(accepted) = accepted else { return };
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::info!(%remote, %error, "TLS handshake failed"),
            Err(_) => return tracing::info!(%remote, "TLS handshake timed out"),
        };
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let Some(peer) = Peer::read(chain, &tls.roots, &settings.clock, remote) else {
            return tracing::info!(%remote, "the peer's certificate cannot be read");
        };
        let peer = Arc::new(peer);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&peer));
            service.call(request)
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.keepalive)
            .keep_alive_timeout(settings.keepalive)
            .max_concurrent_streams(settings.streams)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(256)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .auto_date_header(false);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut stopping = std::pin::pin!(stop.cancelled());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.as_mut() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%remote, %error, "connection ended");
        }
    }
}
