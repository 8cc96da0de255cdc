//! A pool of HTTP/2 connections to one endpoint: opened when first needed, opened again after they end, with a back-off during
//! which callers are told at once instead of being kept waiting. Which endpoint to call, and whether to call again, is for others.

mod back_off;
mod connect;
mod connections;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_model::MethodPath;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use rustls::ClientConfig;

pub use crate::error::Error;
use crate::error::causes;
use connect::Endpoint;
use connections::Connections;

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
    /// Time between pings on a connection with calls on it, and the wait for an answer. Default 20 s each.
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

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection; no server has seen the request. May be tried elsewhere.
    #[error("cannot connect to {endpoint}: {problem}")]
    Unreachable {
        /// `host:port`.
        endpoint: String,
        /// What failed, as text: it is kept for those who ask during the back-off.
        problem: String,
    },
    /// The connection or the stream failed after the request may have been read.
    #[error("the connection to {endpoint} failed: {}", causes(source))]
    Broken {
        /// `host:port`.
        endpoint: String,
        /// What failed.
        source: hyper::Error,
    },
}

impl DialError {
    /// Whether the server may have acted on the request. It has not if it was never connected to, if it refused the stream
    /// (RFC 9113, 8.7), or if it closed the connection in good order before it came to the stream (6.8).
    pub fn may_have_been_processed(&self) -> bool {
        match self {
            Self::Unreachable { .. } => false,
            Self::Broken { source, .. } => !untouched(source),
        }
    }

    /// What failed, without the endpoint.
    pub fn cause(&self) -> String {
        match self {
            Self::Unreachable { problem, .. } => problem.clone(),
            Self::Broken { source, .. } => causes(source),
        }
    }
}

fn untouched(error: &hyper::Error) -> bool {
    let h2 = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    h2.is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
    })
}

/// Connections to one endpoint. Dropped, it closes them once their calls have ended.
pub struct Pool<B>(Arc<Connections<B>>);

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
        let endpoint = Endpoint::new(endpoint, settings.server_name.as_deref(), tls)?;
        Ok(Self(Arc::new(Connections::new(endpoint, settings))))
    }

    /// Whether a connection is open.
    pub fn is_up(&self) -> bool {
        self.0.is_up()
    }

    /// Opens a connection if none is open, unless a back-off says to wait.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] if there is none then.
    pub async fn ensure(&self) -> Result<(), DialError> {
        self.0.connection().await.map(drop).map_err(|problem| self.unreachable(problem))
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
        let uri = Uri::builder().scheme("https").authority(self.0.endpoint.authority()).path_and_query(path);
        *request.uri_mut() = uri.build().map_err(|_| self.unreachable("the path is no path"))?;
        *request.version_mut() = Version::HTTP_2;
        for last in [false, true] {
            let mut connection = self.0.connection().await.map_err(|problem| self.unreachable(problem))?;
            let mut error = match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    self.0.answered(&connection);
                    return Ok(response);
                }
                Err(error) => error,
            };
            match error.take_message() {
                Some(back) if !last => request = back,
                Some(_) => break,
                None if connection.turned_away(error.error()) => {
                    return Err(self.unreachable(causes(error.error())));
                }
                None => return Err(DialError::Broken { endpoint: self.endpoint(), source: error.into_error() }),
            }
        }
        Err(self.unreachable("connections end as soon as they are open"))
    }

    fn endpoint(&self) -> String {
        self.0.endpoint.authority().to_owned()
    }

    fn unreachable(&self, problem: impl Into<String>) -> DialError {
        DialError::Unreachable { endpoint: self.endpoint(), problem: problem.into() }
    }
}
