//! `Debt` is how many calls a gateway admitted of its own share that Redis does not know of. It becomes less
//! as the share comes back: what was within the rate all the time leaves nothing to charge.

use std::time::{Duration, Instant};

/// Calls that are not charged yet.
pub(super) struct Debt {
    calls: f64,
    at: Instant,
    /// A bucket is not emptier than empty.
    most: f64,
}

impl Debt {
    /// No debt; it is never more than `most` calls.
    pub(super) fn none(most: u32) -> Self {
        Self { calls: 0.0, at: Instant::now(), most: f64::from(most) }
    }

    /// Whether no whole call is owed, of a share of one call in `interval`.
    pub(super) fn is_none(&self, interval: Duration) -> bool {
        self.now(interval) < 1.0
    }

    /// So many calls more.
    pub(super) fn add(&mut self, calls: u32, interval: Duration) {
        self.calls = (self.now(interval) + f64::from(calls)).min(self.most);
        self.at = Instant::now();
    }

    /// The whole calls that are owed, to be charged; then there is no debt.
    pub(super) fn take(&mut self, interval: Duration) -> u32 {
        let owed = self.now(interval).floor();
        (self.calls, self.at) = (0.0, Instant::now());
        owed as u32
    }

    fn now(&self, interval: Duration) -> f64 {
        (self.calls - self.at.elapsed().as_secs_f64() / interval.as_secs_f64()).max(0.0)
    }
}
