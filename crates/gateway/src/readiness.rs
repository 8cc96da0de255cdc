//! `Readiness` says whether the gateway can answer calls, for `/readyz` and for operators.

use chapar_evidence::{Condition, Log};
use tokio_util::sync::CancellationToken;

/// `Readiness` knows what may keep a gateway from answering calls.
#[derive(Clone)]
pub(crate) struct Readiness {
    pub(crate) log: Log,
    pub(crate) stopping: CancellationToken,
    /// Cancelled once the adapters that dial have joined, or the wait for them is over.
    pub(crate) joined: CancellationToken,
}

impl Readiness {
    /// Why calls cannot be answered now; nothing if they can.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        // A log that takes no records comes first: without it the gateway can answer no call, joined or not.
        match self.log.condition() {
            Condition::Poisoned => Some("the evidence log cannot be written"),
            Condition::DiskFull => Some("the evidence log's disk is full"),
            Condition::Unwitnessed => Some("witnesses have not cosigned the evidence log for too long"),
            Condition::SlowDisk => Some("the evidence log's disk does not answer"),
            Condition::Ready if self.stopping.is_cancelled() => Some("stopping"),
            Condition::Ready if !self.joined.is_cancelled() => {
                Some("waiting for the adapters that dial to join")
            }
            Condition::Ready => None,
        }
    }
}
