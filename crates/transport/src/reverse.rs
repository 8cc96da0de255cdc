//! On a reverse connection the side that dialled serves HTTP/2, so an adapter needs no port of its own.
//! [`Dialler`] is that side: it keeps connections to every gateway and reconnects with exponential backoff.
//! The other side takes them from its listener ([`crate::serve::Settings::reverse`]) and calls on them
//! ([`crate::dial::Link`]).

mod gateway_connection;
mod hearing;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dial::connect::Endpoint;
use crate::error::Error;
use crate::serve;
use crate::tls::ClientTls;
use gateway_connection::GatewayConnection;

/// ALPN protocol of reverse connections, on which the side that dialled serves.
pub const PROTOCOL: &[u8] = crate::tls::REVERSE;
/// A request to this path says that the gateway has taken the connection and will call on it. It needs no
/// answer.
pub const JOINED: &str = "/chapar.reverse.v1/Joined";
/// A request to this path says that the gateway will soon close the connection. The adapter then dials
/// another one, which may reach another gateway. The request needs no answer, and running calls go on.
pub const LEAVING: &str = "/chapar.reverse.v1/Leaving";

/// Returns whether a request to `path` is a signal of the gateway about the connection, and not a call.
pub fn is_word(path: &str) -> bool {
    path == JOINED || path == LEAVING
}

/// How connections are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections to each gateway. Default 2.
    pub connections: usize,
    /// The longest wait for TCP and TLS together. Default 5 s.
    pub connect: Duration,
    /// The first pause after a connection failed or ended, doubled up to `back_off_most`, each with jitter.
    /// Default 50 ms.
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

/// Keeps connections to gateways, and serves on them.
pub struct Dialler {
    gateways: Vec<Endpoint>,
    settings: Settings,
    serving: Arc<serve::Settings>,
    tls: Renewal,
    heard: watch::Sender<bool>,
}

/// TLS of the connections that are still to be made, as a handle. Clones are the same handle.
#[derive(Clone)]
pub struct Renewal(Arc<watch::Sender<Arc<ReverseTls>>>);

/// TLS by which connections are made, and by which those that there are are judged.
struct ReverseTls {
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl Renewal {
    fn new(tls: &ClientTls) -> Self {
        Self(Arc::new(watch::Sender::new(reversing(tls))))
    }

    /// Replaces the certificate, the trusted CAs and the expected gateways. A new connection is then made for
    /// every old one. An old connection ends after its running calls, and only once a gateway has accepted
    /// its successor, so that a certificate that no gateway accepts leaves the old connections in use; or at
    /// once, if its gateway's certificate is no longer accepted.
    pub fn renew(&self, tls: &ClientTls) {
        self.0.send_replace(reversing(tls));
    }
}

fn reversing(tls: &ClientTls) -> Arc<ReverseTls> {
    let mut config = ClientConfig::clone(&tls.config);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Arc::new(ReverseTls { config: Arc::new(config), verifier: Arc::clone(&tls.verifier) })
}

impl Dialler {
    /// Prepares connections to gateways, each `HOST:PORT`. `tls` says which identities are gateways.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if one has another form.
    pub fn new(
        gateways: &[String],
        tls: &ClientTls,
        settings: Settings,
        serving: serve::Settings,
    ) -> Result<Self, Error> {
        let endpoint =
            |gateway: &String| Endpoint::new(&format!("https://{gateway}"), None, Arc::clone(&tls.config));
        let gateways = gateways.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self {
            gateways,
            settings,
            serving: Arc::new(serving),
            tls: Renewal::new(tls),
            heard: watch::Sender::new(false),
        })
    }

    /// By which certificate, trusted CAs and expected identities are replaced while it runs.
    pub fn renewal(&self) -> Renewal {
        self.tls.clone()
    }

    /// Turns true at the first request of a gateway, because only a request shows that a gateway has accepted
    /// the connection (TLS 1.3).
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    /// Serves until `stop`; then running calls may finish for the drain time, and what still runs is dropped.
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
        let serving = TaskTracker::new();
        let cut = CancellationToken::new();
        // Every connection has a back-off of its own, so that one gateway that is away does not hold up the
        // others.
        let connections = self
            .gateways
            .iter()
            .flat_map(|gateway| std::iter::repeat_n(gateway, self.settings.connections.max(1)));
        let connections = connections.map(|gateway| {
            let settings = &self.settings;
            let tls = self.tls.0.subscribe();
            let heard = &self.heard;
            let connection =
                GatewayConnection { gateway, settings, serving: &self.serving, tls, heard, stop: &stop };
            connection.keep(&service, &serving, &cut)
        });
        // All connections end at the stop. What they serve runs on in `serving`, where the drain bounds it.
        futures_util::future::join_all(connections).await;
        serving.close();
        if tokio::time::timeout(self.serving.drain, serving.wait()).await.is_err() {
            cut.cancel();
            serving.wait().await;
        }
    }
}
