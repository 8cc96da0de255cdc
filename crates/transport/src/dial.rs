//! The connection pool opens HTTP/2 connections to one endpoint on demand. During exponential backoff after a
//! failed connect, a call that finds no connection fails at once. Choosing an endpoint and retrying a call
//! that was sent are left to the caller.

mod back_off;
pub(crate) mod connect;
mod connections;
mod failure;
mod incoming;
pub mod jitter;
mod link;
mod outgoing;
mod send;
mod settings;
mod stream_slot;

use std::sync::Arc;

use bytes::Bytes;
use chapar_model::{MethodPath, SubsystemId};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::Body;
use rustls::ClientConfig;

pub use crate::error::Error;
use connect::Endpoint;
use connections::Connections;
pub use failure::DialError;
pub use incoming::{Incoming, Reading};
pub use link::{Broken, Full, Link};
pub use settings::Settings;
pub use stream_slot::StreamSlot;

/// ALPN protocol of HTTP/2 over TLS (RFC 9113 §3.2).
const PROTOCOL: &[u8] = b"h2";

/// Connections to one endpoint. Dropped, it closes them once their calls have ended.
pub struct Pool(Arc<Connections>);

impl Pool {
    /// Prepares a pool for `https://HOST:PORT`. Connects nothing yet.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if the endpoint has another form.
    pub fn new(endpoint: &str, tls: Arc<ClientConfig>, settings: Settings) -> Result<Self, Error> {
        let endpoint = Endpoint::new(endpoint, settings.server_name.as_deref(), tls)?;
        Ok(Self(Arc::new(Connections::new(endpoint, settings))))
    }

    /// Where it connects: `HOST:PORT`.
    pub fn authority(&self) -> &http::uri::Authority {
        self.0.endpoint.authority()
    }

    /// Whether a connection is open.
    pub fn is_up(&self) -> bool {
        self.0.is_up()
    }

    /// Returns whether the pool is in back-off, so that a call would fail at once.
    pub fn is_resting(&self) -> bool {
        self.0.is_resting()
    }

    /// Any open connection, for what watches the endpoint.
    pub fn open(&self) -> Option<Link> {
        self.0.open()
    }

    /// Calls on all connections.
    pub fn load(&self) -> usize {
        self.0.load()
    }

    /// Opens a connection if none is open, unless a back-off says to wait.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] if there is none then.
    pub async fn ensure(&self) -> Result<(), DialError> {
        if self.is_up() {
            return Ok(());
        }
        self.reserve_stream(None).await.map(drop)
    }

    /// A place for one call of `caller` on the less loaded of two connections.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] or [`DialError::Full`].
    pub async fn reserve_stream(&self, caller: Option<&SubsystemId>) -> Result<StreamSlot, DialError> {
        self.0.reserve_stream(caller).await
    }

    /// Sends a request to `path` and waits for the head of the answer, and before that for a place where all
    /// connections are full. A request that a dying connection did not take is sent once more on another one.
    ///
    /// # Errors
    /// [`DialError`], which tells whether the server may have acted.
    pub async fn call<B>(
        &self,
        path: &MethodPath,
        request: Request<B>,
    ) -> Result<Response<Incoming>, DialError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = format!("/{path}")
            .parse()
            .map_err(|_| self.0.unreachable("the method path is not a valid URI path"))?;
        self.send(path, request).await
    }

    /// As [`Pool::call`], with the `:path` as it stands: for callers that test how a server reads it.
    ///
    /// # Errors
    /// As [`Pool::call`].
    pub async fn send<B>(
        &self,
        path: PathAndQuery,
        request: Request<B>,
    ) -> Result<Response<Incoming>, DialError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, mut body) = request.into_parts();
        // Two attempts are made at most: a connection may get a GOAWAY while a request is handed to it, and a
        // second one in a row is a fault of the server.
        for _ in 0..2 {
            let slot = self.0.reserve_stream_queued().await?;
            let head = Request::from_parts(parts.clone(), ());
            match slot.send(path.clone(), head, body, Reading::Slowly).await {
                Ok(response) => return Ok(response),
                Err((error, None)) => return Err(error),
                Err((_, Some(unsent))) => body = unsent,
            }
        }
        Err(self.0.unreachable("connections close as soon as they are open"))
    }
}
