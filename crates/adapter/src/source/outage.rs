//! `Outage` is the circuit breaker towards one server: while the server cannot be reached calls fail at once,
//! and after a pause one of them tries it again.

use std::time::{Duration, Instant};

use chapar_model::Reason;
use parking_lot::Mutex;

use super::Failure;

/// Maximum time to open a connection to a server, which ends sooner at the call's deadline.
pub(crate) const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the second attempt to connect to a server that did not answer the first; doubled up to
/// `LONGEST_PAUSE`, with a random part, so that the replicas of an adapter do not come back all at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When the server may be tried again after it could not be reached.
#[derive(Default)]
pub(crate) struct Outage(Mutex<OutageState>);

#[derive(Default)]
struct OutageState {
    pause: Duration,
    until: Option<Instant>,
}

impl Outage {
    /// Whether the server may be tried. `what` names it to the operator.
    ///
    /// # Errors
    /// `SOURCE_DOWN` during a pause.
    pub(crate) fn check(&self, what: &str) -> Result<(), Failure> {
        if self.0.lock().until.is_some_and(|until| Instant::now() < until) {
            let text = format!("{what} could not be reached a moment ago; it is tried again soon");
            return Err(Failure::new(Reason::SourceDown, text));
        }
        Ok(())
    }

    /// The server was reached.
    pub(crate) fn is_over(&self) {
        *self.0.lock() = OutageState::default();
    }

    /// The server was not reached, so the next pause begins.
    pub(crate) fn goes_on(&self) {
        let mut state = self.0.lock();
        state.pause = (state.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        state.until = Some(Instant::now() + state.pause.mul_f64(0.5 + fastrand::f64() / 2.0));
    }
}
