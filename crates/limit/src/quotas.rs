//! `QuotaKeeper` holds the quotas of grants: calls in a day, and different citizens in an hour and in a day, for all who
//! use a grant and for each clerk. Counts are in memory; whoever makes a keeper counts in what was recorded before.
//! Days and hours are those of Asia/Tehran.

mod subjects;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chapar_model::{GrantId, Quotas, SubjectQuota, tehran};
use parking_lot::Mutex;

use self::subjects::{Full, Period, Room, Subject, Subjects};
use crate::usage::{Kind, LimitUsage};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Days before and after the present one whose calls are remembered, for a clock that is set.
const KEPT_DAYS: u64 = 2;
/// Clerks of a grant from which on those of other days are looked for and forgotten.
const MANY_CLERKS: usize = 1_000;

/// The quotas of every grant, and what of them is used.
pub struct QuotaKeeper {
    grants: HashMap<GrantId, (Quotas, Arc<Mutex<Used>>)>,
    /// Gateways among which each quota is divided.
    replicas: u32,
}

/// What of one grant's quotas is used.
#[derive(Default)]
struct Used {
    /// By day.
    calls: BTreeMap<i64, u64>,
    subjects: Subjects,
    /// By caller and clerk.
    clerks: HashMap<String, Subjects>,
    /// Number of clerks at which those of other days are forgotten.
    many_clerks: usize,
    refused: HashMap<Kind, u64>,
}

/// One call under a grant.
#[derive(Clone, Copy, Debug)]
pub struct QuotaCall<'a> {
    /// The grant.
    pub grant: &'a GrantId,
    /// The calling subsystem.
    pub caller: &'a str,
    /// Its clerk; empty if it named none. Upper and lower case are one.
    pub clerk: &'a str,
    /// A keyed hash of the citizen's id, at least 16 bytes; else the call is about no one citizen.
    pub subject: &'a [u8],
    /// When it came in, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A quota that is spent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spent {
    /// What is spent.
    pub kind: Kind,
    /// The quota in words.
    pub limit: String,
    /// Time until the hour or day is over, at least one millisecond.
    pub retry_after: Duration,
}

impl QuotaKeeper {
    /// Quotas of these grants with nothing used, each divided among so many gateways and rounded down.
    pub fn new(grants: impl IntoIterator<Item = (GrantId, Quotas)>, replicas: NonZeroU32) -> Self {
        let grants = grants.into_iter().map(|(grant, quotas)| (grant, (quotas, Arc::default()))).collect();
        Self { grants, replicas: replicas.get() }
    }

    /// The quotas of a new registry. What was used stays used, whatever the quotas are now.
    #[must_use]
    pub fn next(&self, grants: impl IntoIterator<Item = (GrantId, Quotas)>) -> Self {
        let entry = |(grant, quotas): (GrantId, Quotas)| {
            let used = self.grants.get(&grant).map(|(_, used)| Arc::clone(used)).unwrap_or_default();
            (grant, (quotas, used))
        };
        Self { grants: grants.into_iter().map(entry).collect(), replicas: self.replicas }
    }

    /// Whether a grant has quotas.
    pub fn is_bounded(&self) -> bool {
        self.grants.values().any(|(quotas, _)| *quotas != Quotas::default())
    }

    /// Whether a grant counts something that `before` did not count for it.
    pub fn counts_more_than(&self, before: &Self) -> bool {
        self.grants.iter().any(|(grant, (quotas, _))| {
            let known = before.grants.get(grant).map(|(quotas, _)| *quotas).unwrap_or_default();
            let begins = |before: SubjectQuota, now: SubjectQuota| {
                now.hour.is_some() && before.hour.is_none() || now.day.is_some() && before.day.is_none()
            };
            begins(known.subjects, quotas.subjects) || begins(known.clerk_subjects, quotas.clerk_subjects)
        })
    }

    /// Takes a call of all quotas of its grant, or of none.
    ///
    /// # Errors
    /// [`Spent`], with the quota that leaves no room. A grant that the keeper does not know has no room at all.
    pub fn take(&self, call: &QuotaCall<'_>) -> Result<(), Spent> {
        let when = When::at(call.at_ms);
        let Some((quotas, used)) = self.grants.get(call.grant) else {
            return Err(Spent {
                kind: Kind::Daily,
                limit: "no such grant".to_owned(),
                retry_after: when.rest(DAY_MS),
            });
        };
        let mut used = used.lock();
        if let Err(spent) = self.check(quotas, &used, call, when) {
            *used.refused.entry(spent.kind).or_default() += 1;
            return Err(spent);
        }
        used.count_call(when);
        used.count_subject(self.rooms(quotas), call, when);
        Ok(())
    }

    fn check(&self, quotas: &Quotas, used: &Used, call: &QuotaCall<'_>, when: When) -> Result<(), Spent> {
        let spent = |kind, most: NonZeroU32, what: &str, period| Spent {
            kind,
            limit: format!("{most} {what}"),
            retry_after: when.rest(period),
        };
        if let Some(daily) = quotas.daily
            && used.calls.get(&when.period.day).copied().unwrap_or_default() >= u64::from(self.part(daily))
        {
            return Err(spent(Kind::Daily, daily, "calls a day", DAY_MS));
        }
        let Some(subject) = subject(call) else { return Ok(()) };
        let (room, clerk_room) = self.rooms(quotas);
        // A clerk who has asked for nobody yet has all the room that there is.
        let nobody = Subjects::default();
        let clerk = used.clerks.get(&clerk(call)).unwrap_or(&nobody);
        for (seen, room, quota, whose) in [
            (&used.subjects, room, quotas.subjects, "citizens"),
            (clerk, clerk_room, quotas.clerk_subjects, "citizens of one clerk"),
        ] {
            let (most, kind, unit, period) = match seen.check(room, when.period, &subject) {
                Ok(()) => continue,
                Err(Full::Day) => (quota.day, Kind::SubjectsDay, "a day", DAY_MS),
                Err(Full::Hour) => (quota.hour, Kind::SubjectsHour, "an hour", HOUR_MS),
            };
            // What is full is bounded, so there is a number.
            let most = most.unwrap_or(NonZeroU32::MIN);
            return Err(spent(kind, most, &format!("{whose} {unit}"), period));
        }
        Ok(())
    }

    /// Counts a call that was made before, whether there is room or not. Without `and_itself` only the citizen is
    /// counted: the keeper counted the call when it was made.
    pub fn recorded(&self, call: &QuotaCall<'_>, and_itself: bool) {
        let Some((quotas, used)) = self.grants.get(call.grant) else { return };
        let when = When::at(call.at_ms);
        let mut used = used.lock();
        if and_itself {
            used.count_call(when);
        }
        used.count_subject(self.rooms(quotas), call, when);
    }

    /// How the quotas of a grant stand at a moment, as this gateway knows it: its part of each.
    pub fn usage(&self, grant: &GrantId, at_ms: u64) -> Vec<LimitUsage> {
        let Some((quotas, used)) = self.grants.get(grant) else { return Vec::new() };
        let when = When::at(at_ms);
        let used = used.lock();
        let (hour, day) = used.subjects.count(when.period);
        let calls = used.calls.get(&when.period.day).copied().unwrap_or_default();
        let of = [
            (Kind::Daily, quotas.daily, "calls a day", calls),
            (Kind::SubjectsHour, quotas.subjects.hour, "citizens an hour", hour as u64),
            (Kind::SubjectsDay, quotas.subjects.day, "citizens a day", day as u64),
        ];
        let usage = |(kind, quota, what, count): (Kind, Option<NonZeroU32>, &str, u64)| {
            let quota = quota?;
            let most = u64::from(self.part(quota));
            let refused = used.refused.get(&kind).copied().unwrap_or_default();
            let limit = format!("{quota} {what}");
            Some(LimitUsage {
                kind,
                limit,
                most,
                used: count.min(most),
                left: most.saturating_sub(count),
                refused,
            })
        };
        of.into_iter().filter_map(usage).collect()
    }

    /// This gateway's part of a quota: nothing where there are more gateways than the quota has.
    fn part(&self, quota: NonZeroU32) -> u32 {
        quota.get() / self.replicas.max(1)
    }

    /// Room for citizens of the grant, and of one clerk.
    fn rooms(&self, quotas: &Quotas) -> (Room, Room) {
        let part = |quota: Option<NonZeroU32>| quota.map(|quota| self.part(quota));
        let room = |quota: SubjectQuota| Room { hour: part(quota.hour), day: part(quota.day) };
        (room(quotas.subjects), room(quotas.clerk_subjects))
    }
}

impl Used {
    fn count_call(&mut self, when: When) {
        let day = when.period.day;
        self.calls.retain(|other, _| other.abs_diff(day) <= KEPT_DAYS);
        *self.calls.entry(day).or_default() += 1;
    }

    fn count_subject(&mut self, (room, clerk_room): (Room, Room), call: &QuotaCall<'_>, when: When) {
        let Some(subject) = subject(call) else { return };
        self.subjects.add(room, when.period, subject);
        if clerk_room.hour.is_none() && clerk_room.day.is_none() {
            return;
        }
        if self.clerks.len() >= self.many_clerks.max(MANY_CLERKS) {
            self.clerks.retain(|_, seen| !seen.is_over(when.period));
            self.many_clerks = self.clerks.len() * 2;
        }
        self.clerks.entry(clerk(call)).or_default().add(clerk_room, when.period, subject);
    }
}

/// The moment of a call.
#[derive(Clone, Copy)]
struct When {
    local_ms: i64,
    period: Period,
}

impl When {
    fn at(ms: u64) -> Self {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        let local_ms = ms.saturating_add(i64::from(tehran::OFFSET_SECONDS) * 1000);
        let period = Period { hour: local_ms.div_euclid(HOUR_MS), day: local_ms.div_euclid(DAY_MS) };
        Self { local_ms, period }
    }

    /// Time until the present hour or day is over.
    fn rest(self, length_ms: i64) -> Duration {
        Duration::from_millis((length_ms - self.local_ms.rem_euclid(length_ms)).unsigned_abs())
    }
}

/// The citizen, if the call is about one.
fn subject(call: &QuotaCall<'_>) -> Option<Subject> {
    call.subject.get(..16)?.try_into().ok()
}

/// Who asks: a caller's clerks are its own.
fn clerk(call: &QuotaCall<'_>) -> String {
    format!("{} {}", call.caller, call.clerk.to_ascii_lowercase())
}
