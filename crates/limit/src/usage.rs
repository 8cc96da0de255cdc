//! This module reports the usage of a grant's limits: what is used, left and refused. It is for display,
//! never for a decision.

use std::time::Instant;

/// What a grant limits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Calls at once.
    Concurrent,
    /// Calls over time.
    Rate,
    /// Calls in a day.
    Daily,
    /// Different citizens in an hour.
    SubjectsHour,
    /// Different citizens in a day.
    SubjectsDay,
}

impl Kind {
    /// One word for it: the key of the registry's `limit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Concurrent => "concurrent",
            Self::Rate => "rate",
            Self::Daily => "daily",
            Self::SubjectsHour => "subjects.hour",
            Self::SubjectsDay => "subjects.day",
        }
    }
}

/// How a grant stands at a moment, as this gateway knows it.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Each limit that the grant has.
    pub limits: Vec<LimitUsage>,
    /// Calls within all limits.
    pub admitted: u64,
    /// Since when calls are counted: the grant's first load with these limits, or its reset.
    pub since: Instant,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct LimitUsage {
    /// Which.
    pub kind: Kind,
    /// In words, e.g. `20/s, burst 40`.
    pub limit: String,
    /// Calls that it has room for when nothing is used: the burst, or the calls at once.
    pub most: u64,
    /// Used of that now.
    pub used: u64,
    /// Left of it now.
    pub left: u64,
    /// Calls that it refused.
    pub refused: u64,
}
