//! `RefusalLines` bounds the log lines about refused calls, for each reason: a caller can bring refusals
//! about at any rate. Metrics and the evidence log count them all.

use std::sync::Arc;
use std::time::Instant;

use chapar_model::{LogBudget, Reason};
use parking_lot::Mutex;

/// The budgets of all reasons. Clones share them.
#[derive(Clone, Debug)]
pub struct RefusalLines(Arc<[Mutex<LogBudget>]>);

impl Default for RefusalLines {
    fn default() -> Self {
        Self(Reason::ALL.iter().map(|_| Mutex::default()).collect())
    }
}

impl RefusalLines {
    /// Counts a refusal. Returns `None` if it must not be logged, else the number of refusals for the same
    /// reason without a line since the last line.
    pub fn line(&self, reason: Reason) -> Option<u64> {
        self.0.get(reason as usize).and_then(|budget| budget.lock().line(Instant::now()))
    }
}
