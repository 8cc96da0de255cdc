//! `Quotas` says how many calls of a grant a day has, and how many different citizens may be asked for. The
//! registry reads them and the gateway holds them.

use std::num::NonZeroU32;

/// How many different citizens may be asked for. The default bounds nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SubjectQuota {
    /// In an hour of the clock in Asia/Tehran.
    pub hour: Option<NonZeroU32>,
    /// In a day in Asia/Tehran.
    pub day: Option<NonZeroU32>,
}

impl SubjectQuota {
    /// Whether it bounds nothing.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// The quotas of one grant. The default bounds nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quotas {
    /// Calls in a day in Asia/Tehran.
    pub daily: Option<NonZeroU32>,
    /// Citizens asked for by all who use the grant.
    pub subjects: SubjectQuota,
    /// Citizens asked for by one clerk of one caller.
    pub clerk_subjects: SubjectQuota,
}
