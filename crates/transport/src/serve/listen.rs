//! The accept loop neither waits for a handshake nor spins: each handshake is a task, and an accept error (a
//! full file table) is retried with exponential backoff, 5 ms to 1 s.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::serve_connection;
use super::http1::serve_http1;
use super::plaintext::refuse_plaintext;
use super::settings::{Reversed, Settings};
use super::slots::ConnectionSlot;
use crate::error::Error;
use crate::peer::Peer;
use crate::tls::{CALLS, REVERSE, ServerTls};

/// Length of the system's queue of connections that are not accepted yet (`listen(2)`).
const BACKLOG: i32 = 4096;
/// Time for which a handshake may go on after a stop. Its peer then gets a GOAWAY and connects elsewhere,
/// instead of a broken connection.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(2);

/// Opens listeners.
pub struct Server;

impl Server {
    /// Takes the address; nothing is accepted until [`Bound::run`].
    ///
    /// # Errors
    /// [`Error::Listen`] naming the address, when it is in use, say.
    pub async fn bind(address: SocketAddr, tls: ServerTls, settings: Settings) -> Result<Bound, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = open(address, settings.reuse_port).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Bound { listener, address, tls, settings, shared: false })
    }

    /// Serves on a listener that was handed over, e.g. by a service manager. At the end it is closed and not
    /// shut down, so that another process that holds it accepts the waiting connections.
    ///
    /// # Errors
    /// [`Error::Listen`] if it cannot be used.
    pub fn adopt(
        listener: std::net::TcpListener,
        tls: ServerTls,
        settings: Settings,
    ) -> Result<Bound, Error> {
        // Only for the error below, where the listener itself does not tell its address.
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let failed = |source| Error::Listen { address: listener.local_addr().unwrap_or(unknown), source };
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(|source| Error::Listen { address, source })?;
        Ok(Bound { listener, address, tls, settings, shared: true })
    }
}

/// Returns the listener that the parent process has handed over (systemd's protocol: `LISTEN_FDS`,
/// `LISTEN_PID`); the first one if there are several.
pub fn inherited() -> Option<std::net::TcpListener> {
    let mut handed_over = listenfd::ListenFd::from_env();
    handed_over.take_tcp_listener(0).ok().flatten()
}

fn open(address: SocketAddr, reuse_port: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    // A restart must not wait for connections of the process before, which are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// `Bound` is a listener that holds its port.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: ServerTls,
    settings: Settings,
    /// True if another process may hold the listener too.
    shared: bool,
}

impl Bound {
    /// The address, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests with `service` until `stop`, then drains: no new connection, GOAWAY on the others,
    /// and after the drain time what still runs is dropped. Every request carries an `Arc<Peer>` in its
    /// extensions.
    pub async fn run<S, B>(self, service: S, stop: CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { listener, tls, mut settings, shared, .. } = self;
        settings.connections = settings.connections.min(room());
        let settings = Arc::new(settings);
        let tasks = TaskTracker::new();
        let cut = CancellationToken::new();
        let take = |(stream, remote): (TcpStream, SocketAddr)| {
            // The slot is taken before the handshake, because the handshake is the costly part.
            let place = match settings.slots.take(remote.ip(), settings.caps()) {
                Ok(place) => place,
                Err(cap) => {
                    return tracing::debug!(
                        %remote, cap,
                        "a new connection was closed: the connection limit that `cap` names is reached"
                    );
                }
            };
            let arrival = Arrival {
                tls: tls.clone(),
                settings: Arc::clone(&settings),
                stop: stop.child_token(),
                remote,
            };
            let service = service.clone();
            let cut = cut.clone();
            tasks.spawn(async move {
                cut.run_until_cancelled(arrival.serve(stream, place, service)).await;
            });
        };
        while let Some(connection) = stop.run_until_cancelled(accept(&listener)).await {
            take(connection);
        }
        // The queue of connections ends with this listener, so those in it are accepted and get a GOAWAY:
        // otherwise they would be reset.
        while !shared && let Some(Ok(connection)) = listener.accept().now_or_never() {
            take(connection);
        }
        drop(listener);
        // `wait` ends only once the tracker is closed.
        tasks.close();
        if tokio::time::timeout(settings.drain, tasks.wait()).await.is_err() {
            cut.cancel();
            tasks.wait().await;
        }
    }
}

impl Bound {
    /// Splits the listener for this number of threads (at least one), each with a runtime of its own. The
    /// thread that is free first accepts a connection. The threads share the caps per address.
    ///
    /// # Errors
    /// [`Error::Listen`] if the system gives no more files.
    pub fn split(self, threads: usize) -> Result<Vec<Part>, Error> {
        let Self { listener, address, tls, settings, shared } = self;
        let failed = |source| Error::Listen { address, source };
        let listener = listener.into_std().map_err(failed)?;
        let part = |listener| Part { listener, tls: tls.clone(), settings: settings.clone(), shared };
        let mut parts = Vec::with_capacity(threads);
        for _ in 1..threads {
            parts.push(part(listener.try_clone().map_err(failed)?));
        }
        parts.push(part(listener));
        Ok(parts)
    }
}

/// One thread's share in a listener.
pub struct Part {
    listener: std::net::TcpListener,
    tls: ServerTls,
    settings: Settings,
    shared: bool,
}

impl Part {
    /// As [`Bound::run`], in the runtime that this is called in.
    ///
    /// # Errors
    /// [`Error::Listen`] if that runtime cannot wait for connections.
    pub async fn run<S, B>(self, service: S, stop: CancellationToken) -> Result<(), Error>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut bound = Server::adopt(self.listener, self.tls, self.settings)?;
        // Whether the port is shared was known to the listener that was split, and `adopt` assumes that it
        // is.
        bound.shared = self.shared;
        bound.run(service, stop).await;
        Ok(())
    }
}

/// Returns how many connections the process's limit of open files allows.
fn room() -> usize {
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    // A quarter of the files is kept for the evidence log and the connections to providers.
    files.map_or(usize::MAX, |files| files / 4 * 3)
}

/// Accepts the next connection. After an error, of one connection or of a full file table, it waits before it
/// tries again, so that it does not spin.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut wait = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot accept a connection; retrying with backoff: check the limit of open files"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// `Arrival` is a connection that was accepted and not authenticated yet.
struct Arrival {
    tls: ServerTls,
    settings: Arc<Settings>,
    /// Stop of this connection: it is cancelled with the listener's, and when the peer must leave.
    stop: CancellationToken,
    remote: SocketAddr,
}

impl Arrival {
    async fn serve<S, B>(self, stream: TcpStream, mut place: ConnectionSlot, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let remote = self.remote;
        // Boxed, so that its memory is free again while the connection lives.
        let (stream, peer) = match Box::pin(self.handshake(stream, &place)).await {
            Ok(known) => known,
            Err(why) => {
                if let Some(suppressed) = self.settings.slots.failed(std::time::Instant::now()) {
                    tracing::info!(%remote, why, suppressed, "TLS handshake failed");
                }
                return;
            }
        };
        place.admitted();
        let Self { settings, stop, .. } = self;
        let protocol = stream.get_ref().1.alpn_protocol();
        let is_reverse = protocol == Some(REVERSE);
        let is_calls = protocol == Some(CALLS);
        match settings.reverse.as_ref().filter(|_| is_reverse) {
            Some(take) => take(Reversed { io: stream, peer, stop, place }),
            None if is_calls => drop(Box::pin(serve_connection(stream, peer, service, settings, stop)).await),
            None => drop(Box::pin(serve_http1(stream, peer, service, settings, stop)).await),
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        place: &ConnectionSlot,
    ) -> Result<(TlsStream<TcpStream>, Arc<Peer>), String> {
        let Self { tls, settings, stop, remote } = self;
        // An error is dropped: without TCP_NODELAY the connection is slower, and nothing else.
        stream.set_nodelay(true).ok();
        // HTTP/1.1 has no pings: the system finds a line that is dead.
        let keepalive =
            TcpKeepalive::new().with_time(settings.keepalive).with_interval(settings.keepalive / 2);
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive).ok();
        socket.set_tcp_user_timeout(Some(settings.keepalive_timeout)).ok();
        let config = tls.state().offering(settings.reverse.is_some(), settings.http1.is_some());
        // The stop leaves a handshake time to end: its peer then gets a GOAWAY instead of a broken
        // connection.
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(HANDSHAKE_GRACE).await;
        };
        let accepted = async {
            let stream = refuse_plaintext(stream).await?;
            TlsAcceptor::from(config).accept(stream).await.map_err(|error| error.to_string())
        };
        let stream = tokio::select! {
            accepted = accepted => accepted?,
            () = tokio::time::sleep(settings.handshake) => return Err("the TLS handshake took too long".to_owned()),
            () = late => return Err("the listener stops".to_owned()),
            () = place.needed() => return Err("too many handshakes are under way".to_owned()),
        };
        let (_, session) = stream.get_ref();
        // Without ALPN a client sends HTTP/1.1 (RFC 7301 §3.2).
        if session.alpn_protocol().is_none() && settings.http1.is_none() {
            return Err("the peer did not offer HTTP/2".to_owned());
        }
        let chain = session.peer_certificates().unwrap_or_default();
        let peer = Peer::read(chain, tls, &settings.clock, *remote, stop.clone());
        let peer = peer.ok_or_else(|| "the peer's certificate cannot be read".to_owned())?;
        Ok((stream, Arc::new(peer)))
    }
}
