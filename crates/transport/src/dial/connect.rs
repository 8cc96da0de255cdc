//! `Endpoint` opens one connection: TCP without Nagle's delay, the TLS handshake, and a check of the
//! negotiated ALPN protocol.

use std::sync::Arc;

use http::Uri;
use http::uri::Authority;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, causes};

/// Where to connect, and how to know the other end.
pub(crate) struct Endpoint {
    authority: Authority,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// Reads `https://HOST:PORT`; `name` is what the certificate must say, if not HOST.
    pub(crate) fn new(endpoint: &str, name: Option<&str>, tls: Arc<ClientConfig>) -> Result<Self, Error> {
        let wrong = || Error::Endpoint { given: endpoint.to_owned(), form: "https://HOST:PORT" };
        let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
        let (Some("https"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
            return Err(wrong());
        };
        // A URI writes an IPv6 address in brackets, and a certificate's name has none.
        let alone = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.unwrap_or(alone).to_owned()).map_err(|_| wrong())?;
        let authority = format!("{host}:{port}").parse().map_err(|_| wrong())?;
        Ok(Self { authority, name, tls })
    }

    /// The same place, with other TLS.
    pub(crate) fn renewed(&self, tls: Arc<ClientConfig>) -> Self {
        Self { authority: self.authority.clone(), name: self.name.clone(), tls }
    }

    /// What the certificate must say, where names count.
    pub(crate) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// `HOST:PORT`.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Opens a connection on which the other end speaks `protocol`.
    pub(crate) async fn open(&self, protocol: &[u8]) -> Result<TlsStream<TcpStream>, String> {
        let stream = TcpStream::connect(self.authority.as_str()).await.map_err(|error| causes(&error))?;
        // Nagle's algorithm would hold a small request back for the acknowledgement of the one before. A
        // failure only costs that time.
        stream.set_nodelay(true).ok();
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.name.clone(), stream).await.map_err(|error| causes(&error))?;
        // A server that negotiates nothing may speak HTTP/1.1, and would read the HTTP/2 preface as a
        // request.
        if stream.get_ref().1.alpn_protocol() != Some(protocol) {
            return Err(format!("the server does not speak {}", String::from_utf8_lossy(protocol)));
        }
        Ok(stream)
    }
}
