//! `Used` is what of one grant's quotas is used: calls by day, and citizens for all and for each clerk.
//! `QuotaTaken` is one call of the day, which goes back unless the provider was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::subjects::{Full, HourAndDay, Room, Subject, Subjects};
use crate::usage::Kind;

/// Days before and after the present one whose calls are remembered, for a clock that is set.
const KEPT_DAYS: u64 = 2;
/// Clerks of a grant from which on those of other days are looked for and forgotten.
const MANY_CLERKS: usize = 1_000;
/// Maximum number of clerks of a grant. A caller may name any; one more than these has no room.
const MOST_CLERKS: usize = 100_000;

/// A caller and its clerk, hashed: names may be long, and many.
pub(super) type Clerk = u64;

/// What of one grant's quotas is used.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// By day.
    pub(super) calls: BTreeMap<i64, u64>,
    pub(super) subjects: Subjects,
    pub(super) clerks: HashMap<Clerk, Subjects>,
    /// Number of clerks at which those of other days are forgotten.
    many_clerks: usize,
    /// Calls that were refused since the start.
    pub(super) refused: HashMap<Kind, u64>,
}

/// One call as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) at: HourAndDay,
    /// The citizen, if the call is about one.
    pub(super) subject: Option<Subject>,
    pub(super) clerk: Clerk,
    /// Room for citizens of the grant, and of one clerk.
    pub(super) rooms: (Room, Room),
}

/// Whose citizens are too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    All,
    OneClerk,
}

impl Used {
    /// Whether there is room for the citizen of a call.
    pub(super) fn check(&self, call: &Counted) -> Result<(), (Whose, Full)> {
        let Some(subject) = &call.subject else { return Ok(()) };
        let (room, clerk_room) = call.rooms;
        self.subjects.check(room, call.at, subject).map_err(|full| (Whose::All, full))?;
        // A clerk who has asked for nobody yet has all the room that there is.
        let nobody = Subjects::default();
        let clerk = self.clerks.get(&call.clerk);
        let is_bounded = clerk_room.hour.is_some() || clerk_room.day.is_some();
        if is_bounded && clerk.is_none() && self.clerks.len() >= MOST_CLERKS {
            return Err((Whose::OneClerk, Full::Day));
        }
        clerk.unwrap_or(&nobody).check(clerk_room, call.at, subject).map_err(|full| (Whose::OneClerk, full))
    }

    pub(super) fn count(&mut self, call: &Counted) {
        self.calls.retain(|day, _| day.abs_diff(call.at.day) <= KEPT_DAYS);
        *self.calls.entry(call.at.day).or_default() += 1;
        let (room, clerk_room) = call.rooms;
        let Some(subject) = call.subject else { return };
        self.subjects.add(room, call.at, subject);
        if clerk_room.hour.is_none() && clerk_room.day.is_none() {
            return;
        }
        if self.clerks.len() >= self.many_clerks.max(MANY_CLERKS) {
            self.clerks.retain(|_, seen| !seen.is_over(call.at));
            self.many_clerks = self.clerks.len() * 2;
        }
        self.clerks.entry(call.clerk).or_default().add(clerk_room, call.at, subject);
    }

    /// Adds what others counted, the calls too if they were not counted here.
    pub(super) fn absorb(&mut self, other: Self, and_calls: bool) {
        if and_calls {
            for (day, calls) in other.calls {
                *self.calls.entry(day).or_default() += calls;
            }
        }
        self.subjects.absorb(other.subjects);
        for (clerk, subjects) in other.clerks {
            self.clerks.entry(clerk).or_default().absorb(subjects);
        }
    }
}

/// One call of a day. It goes back when this is dropped, unless the provider was asked. Its citizen stays
/// counted: another call may be about the same one.
#[derive(Debug)]
#[must_use = "dropping it gives the call back"]
pub struct QuotaTaken {
    pub(super) used: Arc<Mutex<Used>>,
    pub(super) day: i64,
    pub(super) was_asked: Arc<AtomicBool>,
}

impl Drop for QuotaTaken {
    fn drop(&mut self) {
        if self.was_asked.load(Ordering::Acquire) {
            return;
        }
        if let Some(calls) = self.used.lock().calls.get_mut(&self.day) {
            *calls = calls.saturating_sub(1);
        }
    }
}
