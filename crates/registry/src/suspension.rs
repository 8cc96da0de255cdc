//! `Suspensions` says which members (also offices whose licence is not in force), subsystems, grants and
//! delegations are suspended.

use std::collections::HashMap;

use chapar_model::{GrantId, MemberId, SubsystemId};
use jiff::Timestamp;

use crate::grant::Validity;

/// The time of a suspension. Without `from` it has always held, without `until` it never ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SuspensionPeriod {
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl SuspensionPeriod {
    fn covers(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// All suspensions of a registry.
#[derive(Debug, Default)]
pub(crate) struct Suspensions {
    pub(crate) members: HashMap<MemberId, Vec<SuspensionPeriod>>,
    pub(crate) subsystems: HashMap<SubsystemId, Vec<SuspensionPeriod>>,
    pub(crate) grants: HashMap<GrantId, Vec<SuspensionPeriod>>,
    pub(crate) licences: HashMap<MemberId, Validity>,
}

impl Suspensions {
    pub(crate) fn member(&self, id: &MemberId, now: Timestamp) -> bool {
        // An office whose licence is not in force counts as suspended. A member without a licence in the
        // registry needs none.
        let licensed = self.licences.get(id).is_none_or(|valid| valid.covers(now));
        !licensed || covered(self.members.get(id), now)
    }

    /// Whether the subsystem or its whole member is suspended.
    pub(crate) fn subsystem(&self, id: &SubsystemId, now: Timestamp) -> bool {
        self.member(id.member(), now) || covered(self.subsystems.get(id), now)
    }

    /// Whether a grant or a delegation is suspended.
    pub(crate) fn grant(&self, id: &GrantId, now: Timestamp) -> bool {
        covered(self.grants.get(id), now)
    }
}

fn covered(windows: Option<&Vec<SuspensionPeriod>>, now: Timestamp) -> bool {
    windows.is_some_and(|windows| windows.iter().any(|window| window.covers(now)))
}
