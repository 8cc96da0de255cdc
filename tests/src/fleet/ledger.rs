//! `Ledger` is what callers were told of their calls: the call's id and its entry in the evidence log. It is
//! compared with the log that a gateway leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapar_evidence::{Log, verify};
use chapar_model::{CallId, Clock};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Client, ORIGIN};

/// Of the acknowledged entries, one in so many gets a receipt.
const RECEIPT_OF: usize = 64;

/// How long a caller waits after a call that was refused: less than `RetryInfo` asks for, and no busy loop.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// Acknowledged calls. Clones are the same ledger.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<(CallId, u64)>>>);

/// What a comparison with the log showed.
pub(crate) struct Settled {
    /// Calls that callers have an answer of.
    pub(crate) acknowledged: usize,
    /// Those whose record is not in the log where they were told.
    pub(crate) lost: usize,
    /// Receipts that were made of some of them, each verified.
    pub(crate) receipts: usize,
    /// Records of the log.
    pub(crate) entries: u64,
}

impl Ledger {
    /// Calls until `stop`, one call after the other; `failed` is told of those that were not acknowledged.
    ///
    /// # Panics
    /// If an answer names no call id and entry.
    pub(crate) async fn fill(self, client: Client, stop: CancellationToken, failed: impl Fn(Status)) {
        while !stop.is_cancelled() {
            match stop.run_until_cancelled(client.recorded()).await {
                Some(Ok((call, entry))) => {
                    let index = entry.rsplit('/').next().and_then(|index| index.parse().ok());
                    self.0.lock().push((call.parse().expect("a call id"), index.expect("an index")));
                }
                Some(Err(status)) => {
                    failed(status);
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
                None => {}
            }
        }
    }

    /// Calls acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.0.lock().len()
    }

    /// Compares it with the log of a gateway that has ended.
    ///
    /// # Panics
    /// If the log does not open, or a receipt does not verify.
    pub(crate) async fn settle(&self, folder: &Path) -> Settled {
        let ledger = std::mem::take(&mut *self.0.lock());
        let at = |name: &str| folder.join(name);
        let config = chapar_evidence::Config {
            path: at("evidence"),
            state: at("evidence.state"),
            origin: ORIGIN.to_owned(),
            signing_key: at("evidence.key"),
            period_key: at("period.key"),
            checkpoint_every: Duration::from_secs(60),
            queue: 16,
            low_water: 0,
        };
        let log = Log::open(config, Clock::system()).expect("the log opens");
        let (mut lost, mut receipts) = (0, 0);
        for (number, (call, index)) in ledger.iter().enumerate() {
            let found = log.record(*index).await.is_ok_and(|record| record.call_id == call.as_bytes());
            lost += usize::from(!found);
            if found && number % RECEIPT_OF == 0 {
                let receipt = log.receipt(*index).await.expect("a receipt");
                verify::receipt(&receipt.to_bytes(), log.verifier()).expect("the receipt verifies");
                receipts += 1;
            }
        }
        let entries = log.size().await;
        log.close().await.expect("the log closes");
        Settled { acknowledged: ledger.len(), lost, receipts, entries }
    }
}
