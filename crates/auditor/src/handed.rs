//! `Followers` hands the checkpoints that a witness is asked to cosign to the auditor in the same process,
//! which reads the entries under them first.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_evidence::Checkpoint;
use tokio::sync::{mpsc, oneshot};

/// Checkpoints of one log that may wait: a log asks for one after the other.
const WAITING: usize = 4;

/// A checkpoint that is to be verified.
pub(crate) struct Handed {
    pub(crate) checkpoint: Checkpoint,
    /// Is told whether the entries under it have been verified.
    pub(crate) verified: oneshot::Sender<bool>,
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

    /// Whether all entries under this checkpoint have been verified, and none beyond it has been before.
    /// There is no end to the wait.
    pub(crate) async fn verify(&self, checkpoint: &Checkpoint) -> bool {
        let Some(log) = self.logs.get(&checkpoint.origin) else { return false };
        let (verified, outcome) = oneshot::channel();
        let handed = Handed { checkpoint: checkpoint.clone(), verified };
        // A follower that is behind by hours answers nobody; the log asks again.
        log.try_send(handed).is_ok() && outcome.await.unwrap_or(false)
    }
}
