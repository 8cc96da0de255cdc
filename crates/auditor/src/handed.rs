//! `Followers` hands the checkpoints that a witness is asked to cosign to the auditor in the same process,
//! which reads the entries under them first.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_evidence::SignedCheckpoint;
use tokio::sync::{mpsc, oneshot};

/// Checkpoints of one log that may wait: a log asks for one after the other.
const WAITING: usize = 4;

/// A checkpoint that is to be verified.
pub(crate) struct Handed {
    pub(crate) signed: SignedCheckpoint,
    pub(crate) verdict: oneshot::Sender<Verdict>,
}

/// What came of the entries under a checkpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// They have been verified, and none beyond them.
    Verified,
    /// They are not those that it signs.
    Wrong,
    /// They could not be read, or more were read before: the log asks again.
    NotNow,
}

/// Where the follower of each log takes them. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Followers {
    logs: Arc<HashMap<String, mpsc::Sender<Handed>>>,
}

impl Followers {
    /// For logs of these names; with each, what its follower takes from.
    pub(crate) fn new(origins: impl Iterator<Item = String>) -> (Self, Vec<mpsc::Receiver<Handed>>) {
        let mut receivers = Vec::new();
        let logs = origins.map(|origin| {
            let (sender, receiver) = mpsc::channel(WAITING);
            receivers.push(receiver);
            (origin, sender)
        });
        let logs = Arc::new(logs.collect());
        (Self { logs }, receivers)
    }

    /// Waits until the entries under this checkpoint have been looked at. There is no end to the wait.
    pub(crate) async fn verify(&self, signed: SignedCheckpoint) -> Verdict {
        let Some(log) = self.logs.get(&signed.0.origin) else { return Verdict::NotNow };
        let (verdict, outcome) = oneshot::channel();
        // A follower that is behind by hours answers nobody.
        match log.try_send(Handed { signed, verdict }) {
            Ok(()) => outcome.await.unwrap_or(Verdict::NotNow),
            Err(_) => Verdict::NotNow,
        }
    }
}
