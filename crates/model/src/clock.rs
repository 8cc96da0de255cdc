//! `Clock` is the wall clock as a value: production reads the system's, and a test moves its own. Durations
//! and deadlines use the runtime's monotonic clock and never this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Where the time of day comes from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until it is set. Clones share the time.
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start.as_millisecond()))))
    }

    /// The time now, to the millisecond on a manual clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's wall clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            None => Timestamp::now(),
            Some(hand) => {
                // `set` stores valid timestamps, so the default is never used. Relaxed, because the time
                // orders no other memory.
                Timestamp::from_millisecond(hand.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }

    /// Moves a manual clock; the system's clock stays as it is.
    pub fn set(&self, to: Timestamp) {
        if let Some(hand) = &self.0 {
            hand.store(to.as_millisecond(), Ordering::Relaxed);
        }
    }
}
