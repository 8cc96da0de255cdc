//! A pool of HTTP/2 connections to one endpoint: opened when first needed, opened again after they end, with a back-off during
//! which callers are told at once instead of being kept waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_model::MethodPath;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use crate::error::Error;

/// How a pool behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections to the endpoint, opened as load comes. Default 2.
    pub connections: usize,
    /// The longest wait for TCP and TLS together. Default 2 s.
    pub connect: Duration,
    /// The first pause after a failed connect, doubled up to `back_off_most`, each with jitter. Default 50 ms.
    pub back_off: Duration,
    /// The longest pause. Default 5 s.
    pub back_off_most: Duration,
    /// Time between pings on a connection, and the wait for an answer. Default 20 s.
    pub keepalive: Duration,
    /// The name that the server's certificate must have, where it is checked by name. Default: the host of the endpoint.
    pub server_name: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 2,
            connect: Duration::from_secs(2),
            back_off: Duration::from_millis(50),
            back_off_most: Duration::from_secs(5),
            keepalive: Duration::from_secs(20),
            server_name: None,
        }
    }
}

/// A big window for the connection and small ones for its streams, so that one reader that stops cannot use up what the
/// others need (h2's budget for small unread frames is half of the connection's window).
const CONNECTION_WINDOW: u32 = 32 << 20;
const STREAM_WINDOW: u32 = 64 << 10;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection; the request was not sent. May be tried elsewhere.
    #[error("cannot connect to {endpoint}: {problem}")]
    Unreachable {
        /// `host:port`.
        endpoint: String,
        /// What failed, as text: it is kept for those who ask during the back-off.
        problem: String,
    },
    /// The connection failed after the request may have been read.
    #[error("the connection to {endpoint} failed: {source}")]
    Broken {
        /// `host:port`.
        endpoint: String,
        /// What failed.
        source: hyper::Error,
    },
}

impl DialError {
    /// Whether the server may have acted on the request.
    pub fn may_have_been_processed(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }
}

/// Connections to one endpoint.
pub struct Pool<B> {
    endpoint: String,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    settings: Settings,
    slots: Vec<Slot<B>>,
}

struct Slot<B> {
    in_flight: AtomicUsize,
    sender: Mutex<Option<SendRequest<B>>>,
    /// Held while connecting, so that a crowd makes one connection.
    connecting: tokio::sync::Mutex<BackOff>,
}

#[derive(Default)]
struct BackOff {
    failures: u32,
    until: Option<Instant>,
    problem: String,
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Prepares a pool for `https://HOST:PORT`. Connects nothing yet.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if the endpoint has another form.
    pub fn new(endpoint: &str, tls: Arc<ClientConfig>, settings: Settings) -> Result<Self, Error> {
        let wrong = || Error::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
        let (Some("https"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
            return Err(wrong());
        };
        let host_alone = host.trim_start_matches('[').trim_end_matches(']');
        let name = settings.server_name.as_deref().unwrap_or(host_alone).to_owned();
        let name = ServerName::try_from(name).map_err(|_| wrong())?;
        let slots = (0..settings.connections.max(1)).map(|_| Slot {
            in_flight: AtomicUsize::new(0),
            sender: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(BackOff::default()),
        });
        let slots = slots.collect();
        Ok(Self { endpoint: format!("{host}:{port}"), name, tls, settings, slots })
    }

    /// Whether a connection is open.
    pub fn is_up(&self) -> bool {
        self.slots.iter().any(|slot| slot.live().is_some())
    }

    /// Opens a connection if none is open, unless a back-off says to wait.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] if there is none then.
    pub async fn ensure(&self) -> Result<(), DialError> {
        match self.slots.first() {
            Some(slot) if !self.is_up() => self.sender(slot).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Sends a request to `path` on the least loaded connection and waits for the head of the answer. A request that a dying
    /// connection did not take is sent once more on a new one.
    ///
    /// # Errors
    /// [`DialError`], which tells whether the server may have acted.
    pub async fn call(&self, path: &MethodPath, request: Request<B>) -> Result<Response<Incoming>, DialError> {
        let path = format!("/{path}").parse().map_err(|_| self.unreachable("the path is no path"))?;
        self.send(path, request).await
    }

    /// As [`Pool::call`], with the `:path` as it stands: for callers that test how a server reads it.
    ///
    /// # Errors
    /// As [`Pool::call`].
    pub async fn send(&self, path: PathAndQuery, mut request: Request<B>) -> Result<Response<Incoming>, DialError> {
        let uri = Uri::builder().scheme("https").authority(self.endpoint.as_str()).path_and_query(path);
        *request.uri_mut() = uri.build().map_err(|_| self.unreachable("the path is no path"))?;
        *request.version_mut() = Version::HTTP_2;
        let slot = self.slots.iter().min_by_key(|slot| slot.in_flight.load(Ordering::Relaxed));
        let slot = slot.ok_or_else(|| self.unreachable("no connection is allowed"))?;
        let _counted = Counted::new(&slot.in_flight);
        let mut again = true;
        loop {
            let mut sender = self.sender(slot).await?;
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match error.take_message() {
                Some(back) if again => (request, again) = (back, false),
                Some(_) => return Err(self.unreachable("connections end as soon as they are open")),
                None => return Err(DialError::Broken { endpoint: self.endpoint.clone(), source: error.into_error() }),
            }
        }
    }

    fn unreachable(&self, problem: impl Into<String>) -> DialError {
        DialError::Unreachable { endpoint: self.endpoint.clone(), problem: problem.into() }
    }

    async fn sender(&self, slot: &Slot<B>) -> Result<SendRequest<B>, DialError> {
        if let Some(sender) = slot.live() {
            return Ok(sender);
        }
        let mut back_off = slot.connecting.lock().await;
        if let Some(sender) = slot.live() {
            return Ok(sender);
        }
        if back_off.until.is_some_and(|until| Instant::now() < until) {
            return Err(self.unreachable(back_off.problem.clone()));
        }
        let connected = tokio::time::timeout(self.settings.connect, self.connect()).await;
        match connected.unwrap_or_else(|_| Err("timed out".to_owned())) {
            Ok(sender) => {
                *back_off = BackOff::default();
                *slot.sender.lock() = Some(sender.clone());
                Ok(sender)
            }
            Err(problem) => {
                back_off.failed(&self.settings, &problem);
                Err(self.unreachable(problem))
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<B>, String> {
        let stream = TcpStream::connect(&self.endpoint).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).ok();
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(self.name.clone(), stream)
            .await
            .map_err(|error| error.to_string())?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .keep_alive_interval(self.settings.keepalive)
            .keep_alive_timeout(self.settings.keepalive)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // Ends by itself when the last sender is gone or the peer closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(sender)
    }
}

impl<B> Slot<B> {
    fn live(&self) -> Option<SendRequest<B>> {
        self.sender.lock().as_ref().filter(|sender| !sender.is_closed()).cloned()
    }
}

impl BackOff {
    fn failed(&mut self, settings: &Settings, problem: &str) {
        let pause = settings.back_off.saturating_mul(1 << self.failures.min(16)).min(settings.back_off_most);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + pause.mul_f64(jitter()));
        problem.clone_into(&mut self.problem);
    }
}

/// 0.5 to 1.
fn jitter() -> f64 {
    let mut random = [0; 1];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => 0.5 + f64::from(random[0]) / 512.0,
        Err(_) => 1.0,
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
