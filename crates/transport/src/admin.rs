//! `serve` is the plain HTTP/1.1 listener of admin pages: at most 32 connections at once, 5 s for a request
//! head, and 1 s more after a stop, so that no connection delays the process's end. `serve_within` is the
//! same with other bounds, for a listener that strangers reach. `foreign` recognises requests that a foreign
//! web page sends through the operator's browser.
//!
//! Left out: the pages, and who may change something through them.

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Maximum number of connections. An operator, a metrics collector and some probes use a handful.
const MAX_CONNECTIONS: usize = 32;
/// Maximum time for a request's head, and between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for running answers after the process has been told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failed accept (e.g. no free descriptor), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

type BoxError = Box<dyn Error + Send + Sync>;

/// Answers requests by `pages` until `stop`, and running ones for at most one second longer.
pub async fn serve<S, B>(listener: TcpListener, pages: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // Those who reach an admin listener are the operator's own: no address is kept from taking all.
    let bounds = Bounds { connections: MAX_CONNECTIONS, from_one_address: MAX_CONNECTIONS };
    serve_within(bounds, listener, pages, stop).await;
}

/// How many connections are served at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// All of them. What comes beyond waits in the kernel's queue.
    pub connections: usize,
    /// Those from one address. What comes beyond is closed.
    pub from_one_address: usize,
}

/// As [`serve`], within other bounds.
pub async fn serve_within<S, B>(bounds: Bounds, listener: TcpListener, pages: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(bounds.connections));
    let addresses = Arc::new(Mutex::new(HashMap::<IpAddr, usize>::new()));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let accepting = async {
        loop {
            // Taken before a connection is: those beyond the bound wait in the kernel's queue and hold no
            // descriptor here.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(from) = FromAddress::take(&addresses, peer.ip(), bounds.from_one_address) else {
                        continue;
                    };
                    let pages = pages.clone();
                    let stop = stop.clone();
                    let cut = cut.clone();
                    connections.spawn(async move {
                        cut.run_until_cancelled(connection(stream, pages, stop)).await;
                        drop((permit, from));
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        }
    };
    // Dropping `accepting` keeps the connections: they are tasks of their own and get the graceful end below.
    stop.run_until_cancelled(accepting).await;
    connections.close();
    tokio::time::timeout(STOP_TIMEOUT, connections.wait()).await.ok();
    cut.cancel();
}

/// One of the connections from an address, until it is dropped.
struct FromAddress {
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl FromAddress {
    fn take(addresses: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr, most: usize) -> Option<Self> {
        let mut open = addresses.lock();
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { addresses: Arc::clone(addresses), address })
    }
}

impl Drop for FromAddress {
    fn drop(&mut self) {
        let mut open = self.addresses.lock();
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.address)),
        }
    }
}

async fn connection<S, B>(stream: TcpStream, pages: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), pages));
    tokio::select! {
        // The error is dropped: it only means that the client has closed the connection.
        ended = serving.as_mut() => return drop(ended),
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await.ok();
}

/// Why a request may come from a foreign web page: its `Host` is not an address or `localhost` (DNS
/// rebinding), or its `Origin` is another site's. `None` if it does not.
pub fn foreign(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST);
    // Two `Host` headers could be read differently by a proxy and here.
    if !host.is_some_and(is_own) || headers.get_all(header::HOST).iter().count() != 1 {
        return Some("the Host header must be the listener's address or `localhost`\n");
    }
    // Browsers add `Origin` to requests of other pages. Tools such as curl send none, so its absence is
    // allowed.
    let is_foreign = text(header::ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != host);
    is_foreign.then_some("the request comes from a web page of another origin\n")
}

/// Whether a `Host` names this machine without asking a name server: an address, or `localhost`.
fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_its_part_of_the_connections_and_gives_them_back() {
        let addresses = Arc::default();
        let take = |last: u8| FromAddress::take(&addresses, IpAddr::from([10, 0, 0, last]), 3);
        let taken: Vec<_> = (0..9).map_while(|_| take(1)).collect();
        assert!(taken.len() == 3 && take(2).is_some());
        drop(taken);
        assert!(take(1).is_some() && addresses.lock().is_empty());
    }

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for own in ["127.0.0.1:7480", "127.0.0.1", "[::1]:7480", "localhost:7480", "10.0.0.5:7480"] {
            assert!(is_own(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:7480",
            "127.0.0.1.evil.example",
            "localhost.evil.example:1",
            "[::1",
        ] {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
