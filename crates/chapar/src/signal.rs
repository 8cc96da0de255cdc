//! This module handles the process's signals: SIGINT and SIGTERM stop a server, SIGHUP makes it read its
//! files again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};

/// One Ctrl-C can arrive twice: from the terminal and from the program that started the process.
const SAME_SIGNAL: std::time::Duration = std::time::Duration::from_millis(500);

/// A token that the first SIGINT or SIGTERM cancels. A second one ends the process at once with exit code
/// 130, as a shell reports SIGINT.
pub(crate) fn stop() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    on_signals(stop.clone(), || std::process::exit(130)).map_err(unheard)?;
    Ok(stop)
}

/// A token that the first signal cancels, for a command whose end may be hurried but not skipped: the second
/// signal cancels `hurry`.
pub(crate) fn stop_in_order(hurry: CancellationToken) -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    on_signals(stop.clone(), move || hurry.cancel()).map_err(unheard)?;
    Ok(stop)
}

/// The failure of a process that cannot listen to its signals.
fn unheard(error: std::io::Error) -> Failure {
    Failure::error(Exit::Finding, error)
}

/// Cancels `stop` at the first SIGINT or SIGTERM, and does `then` at the second.
fn on_signals(stop: CancellationToken, then: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let first = asked_to_stop()?;
    tokio::spawn(async move {
        first.await;
        tracing::info!("draining before the stop: running calls may finish; a second signal cuts them off");
        stop.cancel();
        // Signals during this pause are not counted, because they are most likely the same Ctrl-C.
        tokio::time::sleep(SAME_SIGNAL).await;
        if let Ok(second) = asked_to_stop() {
            second.await;
            then();
        }
    });
    Ok(())
}

/// Resolves at the next SIGINT or SIGTERM from now on.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens to SIGHUP from now on. A signal that comes while the server starts does not end it, and is handled
/// afterwards.
pub(crate) struct HangUps(Signal);

impl HangUps {
    pub(crate) fn listen() -> Result<Self, Failure> {
        signal(SignalKind::hangup()).map(Self).map_err(unheard)
    }

    /// Calls `reload` at each SIGHUP, one after the other.
    pub(crate) fn each<F>(mut self, reload: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(async move {
            while self.0.recv().await.is_some() {
                reload().await;
            }
        });
    }
}
