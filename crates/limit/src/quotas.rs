//! `QuotaKeeper` holds the quotas of grants: calls in a day, and different citizens in an hour and in a day,
//! for all who use a grant and for each clerk. Counts are in memory; whoever makes a keeper counts in what
//! was recorded before. Days and hours are those of Asia/Tehran.

mod subjects;
mod used;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chapar_model::{GrantId, Quotas, SubjectQuota, tehran};
use parking_lot::Mutex;

use self::subjects::{Full, HourAndDay, Room};
pub use self::used::QuotaTaken;
use self::used::{Clerk, Counted, Used, Whose};
use crate::usage::{Kind, LimitUsage};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The quotas of every grant, and what of them is used.
pub struct QuotaKeeper {
    grants: HashMap<GrantId, (Quotas, Arc<Mutex<Used>>)>,
    /// What is used of grants that the registry does not have now: one that comes back has no new quota.
    absent: HashMap<GrantId, Arc<Mutex<Used>>>,
    /// Gateways among which each quota is divided.
    replicas: u32,
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
    /// The quota in words: the whole of it, and this gateway's part where there are several.
    pub limit: String,
    /// Time until the hour or day is over, at least one millisecond.
    pub retry_after: Duration,
}

impl QuotaKeeper {
    /// Quotas of these grants with nothing used, each divided among so many gateways and rounded down.
    pub fn new(grants: impl IntoIterator<Item = (GrantId, Quotas)>, replicas: NonZeroU32) -> Self {
        let grants = grants.into_iter().map(|(grant, quotas)| (grant, (quotas, Arc::default()))).collect();
        Self { grants, absent: HashMap::new(), replicas: replicas.get() }
    }

    /// The quotas of a new registry. What was used stays used, whatever the quotas are now.
    #[must_use]
    pub fn next(&self, grants: impl IntoIterator<Item = (GrantId, Quotas)>) -> Self {
        let known = self.grants.iter().map(|(grant, (_, used))| (grant, used)).chain(&self.absent);
        let mut absent: HashMap<_, _> =
            known.map(|(grant, used)| (grant.clone(), Arc::clone(used))).collect();
        let entry = |(grant, quotas): (GrantId, Quotas)| {
            let used = absent.remove(&grant).unwrap_or_default();
            (grant, (quotas, used))
        };
        let grants = grants.into_iter().map(entry).collect();
        Self { grants, absent, replicas: self.replicas }
    }

    /// A keeper of the same quotas with nothing used, to count records in.
    #[must_use]
    pub fn unused(&self) -> Self {
        let grants = self.grants.iter().map(|(grant, (quotas, _))| (grant.clone(), *quotas));
        let replicas = NonZeroU32::new(self.replicas).unwrap_or(NonZeroU32::MIN);
        Self::new(grants, replicas)
    }

    /// Adds what another keeper counted: its citizens, and its calls too if they were not counted here.
    pub fn absorb(&mut self, other: Self, and_calls: bool) {
        let counted = other.grants.into_iter().map(|(grant, (_, used))| (grant, used)).chain(other.absent);
        for (grant, counted) in counted {
            let counted = std::mem::take(&mut *counted.lock());
            let used = match self.grants.get(&grant) {
                Some((_, used)) => used,
                None => self.absent.entry(grant).or_default(),
            };
            used.lock().absorb(counted, and_calls);
        }
    }

    /// Whether a grant has quotas.
    pub fn is_bounded(&self) -> bool {
        self.grants.values().any(|(quotas, _)| *quotas != Quotas::default())
    }

    /// Grants with a quota whose share per gateway rounds down to zero.
    pub fn without_room(&self) -> impl Iterator<Item = &GrantId> {
        let is_empty = |quota: Option<NonZeroU32>| quota.is_some_and(|quota| self.part(quota) == 0);
        let has_none = move |quotas: &Quotas| {
            let Quotas { daily, subjects, clerk_subjects } = *quotas;
            [daily, subjects.hour, subjects.day, clerk_subjects.hour, clerk_subjects.day]
                .into_iter()
                .any(is_empty)
        };
        self.grants.iter().filter(move |(_, (quotas, _))| has_none(quotas)).map(|(grant, _)| grant)
    }

    /// Whether a grant counts citizens that `before` did not count for it.
    pub fn counts_more_than(&self, before: &Self) -> bool {
        self.grants.iter().any(|(grant, (quotas, _))| {
            let known = before.grants.get(grant).map(|(quotas, _)| *quotas).unwrap_or_default();
            let begins = |before: SubjectQuota, now: SubjectQuota| {
                now.hour.is_some() && before.hour.is_none() || now.day.is_some() && before.day.is_none()
            };
            begins(known.subjects, quotas.subjects) || begins(known.clerk_subjects, quotas.clerk_subjects)
        })
    }

    /// Takes a call of all quotas of its grant, or of none. It is given back if `was_asked` is not set by the
    /// end.
    ///
    /// # Errors
    /// [`Spent`], with the quota that leaves no room. A grant that the keeper does not know has no room at
    /// all.
    pub fn take(&self, call: &QuotaCall<'_>, was_asked: &Arc<AtomicBool>) -> Result<QuotaTaken, Spent> {
        let when = When::at(call.at_ms);
        let Some((quotas, used)) = self.grants.get(call.grant) else {
            let limit = "no such grant".to_owned();
            return Err(Spent { kind: Kind::Daily, limit, retry_after: when.rest(DAY_MS) });
        };
        // Made before the lock, which all calls of the grant want.
        let counted = counted(self.replicas, quotas, call, when);
        let mut used_now = used.lock();
        let calls = used_now.calls.get(&when.period.day).copied().unwrap_or_default();
        let is_spent = quotas.daily.is_some_and(|daily| calls >= u64::from(self.part(daily)));
        let full = if is_spent { Err(None) } else { used_now.check(&counted).map_err(Some) };
        match full {
            Ok(()) => {
                used_now.count(&counted);
                drop(used_now);
                let (used, was_asked) = (Arc::clone(used), Arc::clone(was_asked));
                Ok(QuotaTaken { used, day: when.period.day, was_asked })
            }
            Err(full) => {
                // A clerk's is not the grant's, and has no line in what is told of it.
                let kind = kind(full);
                if full.is_none_or(|(whose, _)| whose == Whose::All) {
                    *used_now.refused.entry(kind).or_default() += 1;
                }
                drop(used_now);
                Err(self.spent(quotas, full, when))
            }
        }
    }

    /// Counts a call that was made before, whether there is room or not, if it is near enough to `now_ms` to
    /// matter.
    pub fn recorded(&mut self, call: &QuotaCall<'_>, now_ms: u64) {
        let when = When::at(call.at_ms);
        if !when.period.is_near(When::at(now_ms).period) {
            return;
        }
        let (quotas, used) = match self.grants.get(call.grant) {
            Some((quotas, used)) => (*quotas, used),
            // The registry may have the grant again later.
            None => (Quotas::default(), &*self.absent.entry(call.grant.clone()).or_default()),
        };
        let counted = counted(self.replicas, &quotas, call, when);
        used.lock().count(&counted);
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
            let limit = self.in_words(quota, what);
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

    fn spent(&self, quotas: &Quotas, full: Option<(Whose, Full)>, when: When) -> Spent {
        let (quota, what, period) = match full {
            None => (quotas.daily, "calls a day", DAY_MS),
            Some((Whose::All, Full::Day)) => (quotas.subjects.day, "citizens a day", DAY_MS),
            Some((Whose::All, Full::Hour)) => (quotas.subjects.hour, "citizens an hour", HOUR_MS),
            Some((Whose::OneClerk, Full::Day)) => {
                (quotas.clerk_subjects.day, "citizens of one clerk a day", DAY_MS)
            }
            Some((Whose::OneClerk, Full::Hour)) => {
                (quotas.clerk_subjects.hour, "citizens of one clerk an hour", HOUR_MS)
            }
        };
        // What is full is bounded, but for the number of clerks.
        let limit = quota.map_or_else(|| "too many clerks".to_owned(), |quota| self.in_words(quota, what));
        Spent { kind: kind(full), limit, retry_after: when.rest(period) }
    }

    fn in_words(&self, quota: NonZeroU32, what: &str) -> String {
        match self.replicas {
            1 => format!("{quota} {what}"),
            replicas => {
                format!("{quota} {what}, {} of them at each of {replicas} gateways", self.part(quota))
            }
        }
    }

    /// This gateway's part of a quota: nothing where there are more gateways than the quota has.
    fn part(&self, quota: NonZeroU32) -> u32 {
        part(self.replicas, quota)
    }
}

/// A call as it is counted at one of so many gateways.
fn counted(replicas: u32, quotas: &Quotas, call: &QuotaCall<'_>, when: When) -> Counted {
    let room = |quota: SubjectQuota| Room {
        hour: quota.hour.map(|quota| part(replicas, quota)),
        day: quota.day.map(|quota| part(replicas, quota)),
    };
    // A name is hashed only where it counts: this is on every call's way.
    let is_by_clerk = !quotas.clerk_subjects.is_none();
    Counted {
        at: when.period,
        subject: call.subject.get(..16).and_then(|subject| subject.try_into().ok()),
        clerk: if is_by_clerk { clerk(call) } else { Clerk::default() },
        rooms: (room(quotas.subjects), room(quotas.clerk_subjects)),
    }
}

fn part(replicas: u32, quota: NonZeroU32) -> u32 {
    quota.get() / replicas.max(1)
}

fn kind(full: Option<(Whose, Full)>) -> Kind {
    match full {
        None => Kind::Daily,
        Some((_, Full::Day)) => Kind::SubjectsDay,
        Some((_, Full::Hour)) => Kind::SubjectsHour,
    }
}

/// The moment of a call.
#[derive(Clone, Copy)]
struct When {
    local_ms: i64,
    period: HourAndDay,
}

impl When {
    fn at(ms: u64) -> Self {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        let local_ms = ms.saturating_add(i64::from(tehran::OFFSET_SECONDS) * 1000);
        let period = HourAndDay { hour: local_ms.div_euclid(HOUR_MS), day: local_ms.div_euclid(DAY_MS) };
        Self { local_ms, period }
    }

    /// Time until the present hour or day is over.
    fn rest(self, length_ms: i64) -> Duration {
        Duration::from_millis((length_ms - self.local_ms.rem_euclid(length_ms)).unsigned_abs())
    }
}

/// Who asks: a caller's clerks are its own. Two that have one hash share one count.
fn clerk(call: &QuotaCall<'_>) -> Clerk {
    let mut hasher = DefaultHasher::new();
    call.caller.hash(&mut hasher);
    call.clerk.to_ascii_lowercase().hash(&mut hasher);
    hasher.finish()
}
