//! `Counter` serves the page over TLS until it is told to stop.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Clock;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::clerks::{self, ClerkFileError};
use crate::config::Config;
use crate::network::network_of;
use crate::web::{self, App};

/// Connections at once. An office has some dozen browsers, each with a few connections.
const MAX_CONNECTIONS: usize = 512;
/// Connections from one network, which may be a whole office's.
const MAX_FROM_ADDRESS: usize = 128;
/// The longest TLS handshake, and the longest wait for the head of a request.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest life of a connection: a browser makes another one.
const LONGEST_CONNECTION: Duration = Duration::from_secs(30 * 60);
/// How often what is over is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(30);
/// How long running requests may take at a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of clerks.
    #[error(transparent)]
    Clerks(#[from] ClerkFileError),
    /// The office's identity.
    #[error(transparent)]
    Gateway(#[from] chapar_client::CallError),
    /// Certificate or key of the page.
    #[error("{}: {problem}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A page that has its port, and does not serve yet.
pub struct Counter {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    app: Arc<App>,
}

impl Counter {
    /// Reads all files, and takes no port.
    ///
    /// # Errors
    /// [`Error`] with the file at fault.
    pub fn check(config: &Config) -> Result<(), Error> {
        open(config).map(|_| ())
    }

    /// Reads all files and takes the port.
    ///
    /// # Errors
    /// [`Error`] with the file or address at fault.
    pub async fn bind(config: Config, clock: Clock) -> Result<Self, Error> {
        let (bus, tls) = open(&config)?;
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = Arc::new(App::new(bus, config.clerks, config.idle, config.longest, clock));
        Ok(Self { listener, address, tls, app })
    }

    /// Where it is; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; then running requests have 10 s to end.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, tls, app, .. } = self;
        let slots = Arc::new(Slots::default());
        let tasks = tokio_util::task::TaskTracker::new();
        let forgetting = tasks.spawn(forget(Arc::clone(&app), stop.clone()));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                // The process has no descriptor left; one comes back when a connection ends.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Without a slot the connection is closed: the browser tries again.
            let Some(slot) = Slots::take(&slots, peer.ip()) else { continue };
            let (tls, app, stop) = (tls.clone(), Arc::clone(&app), stop.clone());
            tasks.spawn(async move {
                connection(stream, peer, tls, app, stop).await;
                drop(slot);
            });
        }
        forgetting.abort();
        tasks.close();
        tokio::time::timeout(DRAIN, tasks.wait()).await.ok();
    }
}

/// The connections that are open, by network.
#[derive(Default)]
struct Slots(Mutex<HashMap<IpAddr, usize>>);

/// One connection's slot, until it is dropped.
struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Slots {
    fn take(slots: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = network_of(address);
        let mut open = slots.0.lock();
        let all: usize = open.values().sum();
        let own = open.get(&address).copied().unwrap_or_default();
        if all >= MAX_CONNECTIONS || own >= MAX_FROM_ADDRESS {
            return None;
        }
        open.insert(address, own + 1);
        Some(Slot { slots: Arc::clone(slots), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock();
        match open.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = open.remove(&self.address),
        }
    }
}

/// Reads every file that the settings name.
fn open(config: &Config) -> Result<(Bus, TlsAcceptor), Error> {
    // A file that cannot be read would show at the first sign-in only.
    clerks::read(&config.clerks)?;
    clerks::prepare();
    let bus = Bus::new(config.gateway.clone())?;
    let tls = TlsAcceptor::from(Arc::new(tls(&config.cert, &config.key)?));
    Ok((bus, tls))
}

async fn forget(app: Arc<App>, stop: CancellationToken) {
    let forgetting = async {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            app.forget(Instant::now());
        }
    };
    stop.run_until_cancelled(forgetting).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    app: Arc<App>,
    stop: CancellationToken,
) {
    stream.set_nodelay(true).ok();
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await else { return };
    let router = web::router(app, peer.ip());
    // By ALPN (RFC 7301) and not by the first bytes, which a peer may keep back for ever.
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PATIENCE).max_concurrent_streams(32);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(LONGEST_CONNECTION) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        tokio::time::timeout(DRAIN, connection).await.ok();
    }
}

fn tls(cert: &Path, key: &Path) -> Result<ServerConfig, Error> {
    let fault =
        |file: &Path, problem: &str| Error::Tls { file: file.to_owned(), problem: problem.to_owned() };
    let text = chapar_files::read_text(cert).map_err(|error| fault(cert, &error.to_string()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.map_err(|_| fault(cert, "is no PEM"))?;
    if chain.is_empty() {
        return Err(fault(cert, "has no certificate"));
    }
    let text = chapar_files::read_secret(key).map_err(|error| fault(key, &error.to_string()))?;
    let secret =
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| fault(key, "has no private key"))?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| fault(key, &error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_a_part_of_the_connections_and_gives_them_back() {
        let slots = Arc::new(Slots::default());
        let address = |number: u8| IpAddr::from([10, 0, 0, number]);
        let taken: Vec<Slot> = (0..1000).map_while(|_| Slots::take(&slots, address(1))).collect();
        assert_eq!(taken.len(), MAX_FROM_ADDRESS);
        let others: Vec<Slot> =
            (0..1000).filter_map(|number| Slots::take(&slots, address((number % 100) as u8 + 2))).collect();
        assert_eq!(others.len(), MAX_CONNECTIONS - MAX_FROM_ADDRESS);
        assert!(Slots::take(&slots, address(200)).is_none());
        drop((taken, others));
        assert!(slots.0.lock().is_empty());
    }
}
