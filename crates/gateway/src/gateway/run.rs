//! This module runs a gateway from the first call to the end: it starts the background tasks and the workers,
//! drains running calls at a stop, and closes the evidence log last.

use std::sync::Arc;
use std::time::Duration;

use chapar_evidence::Log;
use chapar_transport::serve::Bound;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use super::admin::{self, Admin, Token};
use super::joining::Joining;
use super::workers::{self, Ends, Workers};
use crate::error::Error;
use crate::health;
use crate::reload::{Reloader, Watches};
use crate::stack::Stack;

/// Maximum drain once the evidence log cannot be written. Running calls can only be refused then, which takes
/// no longer than 500 ms.
const FAILED_DRAIN: Duration = Duration::from_millis(500);

/// Maximum time for which a stop waits for the evidence log's disk. A healthy disk writes a full queue in
/// less than 20 s.
const CLOSE_WAIT: Duration = Duration::from_secs(20);
/// The same after a second signal (hurry).
const HURRIED_CLOSE_WAIT: Duration = Duration::from_secs(2);

/// `Ready` holds everything that a gateway has opened by the time that it can serve.
pub(super) struct Ready {
    pub(super) bound: Bound,
    /// The address of this process alone.
    pub(super) adapters: Option<Bound>,
    pub(super) joining: Joining,
    pub(super) admin: TcpListener,
    pub(super) admin_pages: Admin,
    pub(super) admin_token: Token,
    pub(super) stack: Stack,
    pub(super) health: HealthReporter,
    pub(super) reloader: Arc<Reloader>,
    pub(super) watches: Watches,
    pub(super) log: Log,
    pub(super) workers: usize,
    pub(super) shutdown_delay: Duration,
    pub(super) stopping: CancellationToken,
    pub(super) ends: Ends,
}

impl Ready {
    /// Serves until `stop`, and ends in the order that `Gateway::run` promises.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self {
            bound,
            adapters,
            joining,
            admin,
            admin_pages,
            admin_token,
            stack,
            health,
            reloader,
            watches,
            log,
            workers,
            shutdown_delay,
            stopping,
            ends,
        } = self;
        // One token for background tasks that must outlive the calls: admin pages and the memory watch work
        // during the drain too.
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        // If this future is dropped, the worker threads end too.
        let _hurry = ends.hurry.clone().drop_guard();
        let health = health::watch(
            Arc::clone(&stack.policy),
            log.clone(),
            health,
            joining.done.clone(),
            stopping.clone(),
        );
        let health = tokio::spawn(health);
        let pressure = stack.memory.clone();
        tokio::spawn(pressure.watch(reloader.serving.memory, ended.clone()));
        let reloading = tokio::spawn(reloader.watch(watches, stopping.clone()));
        let calls_ended = CancellationToken::new();
        let _calls_ended = calls_ended.clone().drop_guard();
        let refusals = stack.pipeline.refusals.clone();
        let refusals = tokio::spawn(refusals.run(log.clone(), calls_ended.clone()));
        let sharing = admin_pages.observed.shared.clone();
        let sharing = sharing.map(|shared| tokio::spawn(shared.run(calls_ended.clone())));
        if let Some(witnessing) = admin_pages.observed.witnessing.clone() {
            // What is signed after the last call has ended is cosigned after the next start.
            tokio::spawn(witnessing.run(calls_ended.clone()));
        }
        let router = TowerToHyperService::new(admin::router(admin_pages, admin_token));
        let pages = tokio::spawn(chapar_transport::admin::serve(admin, router, ended.clone()));
        let awaiting = Arc::clone(&stack.policy);
        tokio::spawn(joining.clone().wait(awaiting, ended.clone()));
        let workers = Workers::start(parts(bound, adapters, workers, &joining)?, &stack, &ends)
            .map_err(Error::Threads)?;
        let failed = tokio::select! {
            () = stop.cancelled() => false,
            () = log.poisoned() => true,
        };
        // Health and `/readyz` say no before the listener closes, so that a load balancer stops sending
        // before connections are refused.
        stopping.cancel();
        // A poisoned log skips the delay: no call can be answered, and each one that arrives is a call
        // refused.
        if !failed {
            ends.hurry.run_until_cancelled(tokio::time::sleep(shutdown_delay)).await;
        }
        ends.closing.cancel();
        let hurrying = async {
            if failed {
                tokio::time::sleep(FAILED_DRAIN).await;
                ends.hurry.cancel();
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            () = workers.ended() => {}
            () = hurrying => {}
        }
        // The folded refusals are flushed only after the last call has ended, because that call may add to
        // them.
        calls_ended.cancel();
        ended.cancel();
        if !failed {
            // The wait is bounded, because a disk that does not answer must not keep the process from ending.
            tokio::time::timeout(FAILED_DRAIN, refusals).await.ok();
        }
        if let Some(sharing) = sharing {
            // It gives unused tokens back, for half a second at most.
            sharing.await.ok();
        }
        health.await.ok();
        reloading.await.ok();
        pages.await.ok();
        if failed {
            return Err(Error::EvidenceFailed);
        }
        // The wait for a disk that does not answer is bounded. What it has not acknowledged was reported to
        // no caller as recorded.
        let patience = async {
            tokio::select! {
                () = tokio::time::sleep(CLOSE_WAIT) => {}
                () = async { ends.hurry.cancelled().await; tokio::time::sleep(HURRIED_CLOSE_WAIT).await } => {}
            }
        };
        tokio::select! {
            closed = log.close() => Ok(closed?),
            () = patience => Err(Error::EvidenceSlow),
        }
    }
}

/// Splits the listeners over the threads.
fn parts(
    bound: Bound,
    own: Option<Bound>,
    workers: usize,
    joining: &Joining,
) -> Result<Vec<workers::WorkerListeners>, Error> {
    // The address for adapters is split over the threads too, so that each of them can accept there.
    let mut own = own.map(|own| own.split(workers)).transpose()?.map(Vec::into_iter);
    let shares = bound.split(workers)?.into_iter().map(|calls| workers::WorkerListeners {
        calls,
        open: joining.open.clone(),
        own: own.as_mut().and_then(Iterator::next),
    });
    Ok(shares.collect())
}
