//! One connection: TCP, TLS, and HTTP/2 with windows by which one reader that stops cannot harm the others.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body::Body;
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, causes};

/// What a caller that reads nothing can keep waiting here.
const STREAM_WINDOW: u32 = 64 << 10;
/// h2 ends a connection on which unread DATA frames under 256 bytes waste more than half of this window in all. A stream's
/// window of 5-byte frames wastes 3.3 MB, so this bears 20 callers that stopped reading; a server that does it on purpose
/// can make us keep a quarter of a million frames. Memory for the window itself is not set aside.
const CONNECTION_WINDOW: u32 = 128 << 20;

/// Where to connect, and how to know the other end.
pub(super) struct Endpoint {
    authority: String,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

type Opened<B> = (SendRequest<B>, Connection<TokioIo<TlsStream<TcpStream>>, B, TokioExecutor>);

impl Endpoint {
    /// Reads `https://HOST:PORT`; `name` is what the certificate must say, if not HOST.
    pub(super) fn new(endpoint: &str, name: Option<&str>, tls: Arc<ClientConfig>) -> Result<Self, Error> {
        let wrong = || Error::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
        let (Some("https"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
            return Err(wrong());
        };
        let alone = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.unwrap_or(alone).to_owned()).map_err(|_| wrong())?;
        Ok(Self { authority: format!("{host}:{port}"), name, tls })
    }

    /// `HOST:PORT`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Opens a connection; the second part must be driven for it to work.
    pub(super) async fn open<B>(&self, keepalive: Duration) -> Result<Opened<B>, String>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| causes(&error))?;
        stream.set_nodelay(true).ok();
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.name.clone(), stream).await.map_err(|error| causes(&error))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("the server does not speak HTTP/2".to_owned());
        }
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .keep_alive_interval(keepalive)
            .keep_alive_timeout(keepalive)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| causes(&error))
    }
}
