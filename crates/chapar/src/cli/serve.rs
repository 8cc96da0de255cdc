//! What the serving commands share: logs, spans, and stopping and reloading by a signal.

use std::sync::Arc;

use chapar_telemetry::{Telemetry, logs};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure};

/// Where logs of a server go is standard error; how they look is said here.
#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// The format of log lines: `text` for people, `json` for log collectors
    #[arg(long, env = "CHAPAR_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: logs::Format,
    /// The log filter: levels, e.g. `info` or `info,chapar_gateway=debug`
    #[arg(long, env = "CHAPAR_LOG", default_value = logs::DEFAULT_FILTER, value_name = "FILTER")]
    log: String,
}

impl LogArgs {
    /// Starts logging.
    pub(super) fn start(&self) -> Result<(), Failure> {
        logs::init(self.log_format, &self.log).map_err(Failure::usage)
    }
}

/// Spans of one role.
pub(super) fn telemetry(config: chapar_telemetry::Config) -> Result<Arc<Telemetry>, Failure> {
    Telemetry::new(config).map(Arc::new).map_err(|error| Failure::error(Exit::Finding, error))
}

/// One Ctrl-C can arrive twice: from the terminal and from whoever started the process.
const SAME_SIGNAL: std::time::Duration = std::time::Duration::from_millis(500);

/// A token that the first SIGINT or SIGTERM cancels; a second one, not just an echo of the first, ends the
/// process at once, as a shell's own would.
pub(crate) fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    on_signals(stop.clone(), || std::process::exit(130))?;
    Ok(stop)
}

/// Cancels `stop` at the first SIGINT or SIGTERM, and does `then` at the second.
fn on_signals(stop: CancellationToken, then: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let first = asked_to_stop()?;
    tokio::spawn(async move {
        first.await;
        tracing::info!("draining before the stop: running calls may finish; a second signal cuts them off");
        stop.cancel();
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

/// A token that the first signal cancels, for a command whose end may be hurried but not skipped: the second
/// signal cancels `hurry`.
pub(super) fn stop_in_order(hurry: CancellationToken) -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    on_signals(stop.clone(), move || hurry.cancel()).map_err(|error| Failure::error(Exit::Finding, error))?;
    Ok(stop)
}

/// SIGHUPs from now on: one that comes while the server starts does not end it, but is taken up afterwards.
pub(super) struct HangUps(Signal);

impl HangUps {
    pub(super) fn listen() -> Result<Self, Failure> {
        signal(SignalKind::hangup()).map(Self).map_err(|error| Failure::error(Exit::Finding, error))
    }

    /// Calls `reload` at each, one after the other.
    pub(super) fn each<F>(mut self, reload: impl Fn() -> F + Send + 'static)
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

/// [`stop_on_signal`] for a command.
pub(super) fn stop() -> Result<CancellationToken, Failure> {
    stop_on_signal().map_err(|error| Failure::error(Exit::Finding, error))
}
