//! This module serves the connections of the admin listener: at most 32 at once, 5 s for a request head, and
//! 1 s more after a stop, so that no connection delays the gateway's end. The pages are in `admin`, the
//! access control in `guard`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Maximum number of connections. An operator, a metrics collector and some probes use a handful.
const MAX_CONNECTIONS: usize = 32;
/// Maximum time for a request's head, and between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for running answers after the gateway has ended.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failed accept (e.g. no free descriptor), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `stop`, and at most [`STOP_TIMEOUT`] longer.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let accepting = async {
        loop {
            // Taken before a connection is: those beyond the bound wait in the kernel's queue and hold no
            // descriptor here.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let router = router.clone();
                    let stop = stop.clone();
                    let cut = cut.clone();
                    connections.spawn(async move {
                        cut.run_until_cancelled(connection(stream, router, stop)).await;
                        drop(permit);
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

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // The error is dropped: it only means that the client has closed the connection.
        ended = serving.as_mut() => return drop(ended),
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await.ok();
}
