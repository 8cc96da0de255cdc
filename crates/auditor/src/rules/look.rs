//! This module looks through verified entries by the rules, in their order, a part at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use chapar_model::{tehran, to_hex};
use jiff::Timestamp;
use jiff::civil::{Date, Time};

use super::{Limit, OfficeHours, Rules};
use crate::index::{Index, IndexError, KnownLog, New, Seen};

/// Entries that are looked at in one part.
const PART: u64 = 4096;
/// A rule with a time is asked so many times within it, at the last entry of each part of that time.
const SLICES: i64 = 12;

/// What a look has found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Looked {
    /// Up to which entry.
    pub(crate) until: u64,
    /// New findings.
    pub(crate) findings: u64,
}

/// Looks at the next part of a log's entries, after `log.looked`, up to `log.verified`.
pub(crate) fn look(
    index: &Index,
    log: &KnownLog,
    origin: &str,
    rules: &Rules,
    protected: &HashSet<Vec<u8>>,
) -> Result<Looked, IndexError> {
    let until = log.verified.size().min(log.looked + PART);
    let seen = index.part(log, until)?;
    let names = index.clerk_names(seen.iter().map(|seen| seen.clerk))?;
    let is_clerk = |seen: &&Seen| names.get(&seen.clerk).is_some_and(|(_, clerk)| !clerk.is_empty());
    let by_clerks: Vec<Seen> = seen.iter().filter(is_clerk).cloned().collect();
    let mut findings = 0;
    let mut find = |clerk: i64, new: &dyn Fn(&'_ (String, String)) -> New<'_>| -> Result<(), IndexError> {
        if let Some(name) = names.get(&clerk) {
            findings += u64::from(index.find(&new(name))?);
        }
        Ok(())
    };
    if let Some(limit) = &rules.many_subjects {
        for seen in last_of_slices(&by_clerks, limit, |seen| seen.clerk) {
            let (from, within) = (seen.time_ms - within_ms(limit), within_ms(limit));
            let count = index.subjects_of(seen.clerk, from, seen.time_ms)?;
            if count > u64::from(limit.most) {
                find(seen.clerk, &|(caller, clerk)| New {
                    rule: super::MANY_SUBJECTS,
                    about: (seen.time_ms / within).to_string(),
                    first_ms: from,
                    last_ms: seen.time_ms,
                    count,
                    entry: format!("{origin}/{}", seen.index),
                    caller,
                    clerk,
                })?;
            }
        }
    }
    if let Some(limit) = &rules.repeated_subject {
        let without_case: Vec<Seen> = by_clerks.iter().filter(|seen| !seen.has_case).cloned().collect();
        for seen in last_of_slices(&without_case, limit, |seen| (seen.clerk, seen.subject.clone())) {
            let Some(subject) = &seen.subject else { continue };
            let (from, within) = (seen.time_ms - within_ms(limit), within_ms(limit));
            let count = index.times(seen.clerk, subject, from, seen.time_ms)?;
            if count > u64::from(limit.most) {
                find(seen.clerk, &|(caller, clerk)| New {
                    rule: super::REPEATED_SUBJECT,
                    about: format!("{} {}", to_hex(subject), seen.time_ms / within),
                    first_ms: from,
                    last_ms: seen.time_ms,
                    count,
                    entry: format!("{origin}/{}", seen.index),
                    caller,
                    clerk,
                })?;
            }
        }
    }
    if let Some(hours) = &rules.office_hours {
        // The last call of each clerk on each day, of those outside of the hours.
        let mut closed: BTreeMap<(i64, Date), &Seen> = BTreeMap::new();
        for seen in &by_clerks {
            let Ok(at) = Timestamp::from_millisecond(seen.time_ms) else { continue };
            if !is_open(hours, at) {
                let last = closed.entry((seen.clerk, tehran::day(at))).or_insert(seen);
                if last.time_ms <= seen.time_ms {
                    *last = seen;
                }
            }
        }
        for ((clerk_id, day), last) in closed {
            let Some((from, until)) = span(day) else { continue };
            let mut count = index.calls_of(clerk_id, from, until)?;
            if hours.days.contains(&day.weekday()) {
                let of_day = |time: Time| from + time.duration_since(Time::midnight()).as_millis() as i64;
                let open = index.calls_of(clerk_id, of_day(hours.from), of_day(hours.to))?;
                // Another log's entries may have been verified between the two counts.
                count = count.saturating_sub(open);
            }
            find(clerk_id, &|(caller, clerk)| New {
                rule: super::OUT_OF_HOURS,
                about: day.to_string(),
                first_ms: last.time_ms,
                last_ms: last.time_ms,
                count,
                entry: format!("{origin}/{}", last.index),
                caller,
                clerk,
            })?;
        }
    }
    for seen in &seen {
        if seen.subject.as_ref().is_some_and(|subject| protected.contains(subject)) {
            find(seen.clerk, &|(caller, clerk)| New {
                rule: super::PROTECTED,
                about: format!("{origin}/{}", seen.index),
                first_ms: seen.time_ms,
                last_ms: seen.time_ms,
                count: 1,
                entry: format!("{origin}/{}", seen.index),
                caller,
                clerk,
            })?;
        }
    }
    index.looked(log, until)?;
    Ok(Looked { until, findings })
}

fn within_ms(limit: &Limit) -> i64 {
    i64::try_from(limit.within.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// The last entry about a citizen of each key in each slice of the rule's time.
fn last_of_slices<'a, K: Eq + Hash>(
    seen: &'a [Seen],
    limit: &Limit,
    key: impl Fn(&Seen) -> K,
) -> Vec<&'a Seen> {
    let slice = (within_ms(limit) / SLICES).max(1);
    let mut last: HashMap<(K, i64), &Seen> = HashMap::new();
    for seen in seen.iter().filter(|seen| seen.subject.is_some()) {
        let known = last.entry((key(seen), seen.time_ms / slice)).or_insert(seen);
        if known.time_ms <= seen.time_ms {
            *known = seen;
        }
    }
    let mut last: Vec<&Seen> = last.into_values().collect();
    last.sort_by_key(|seen| seen.index);
    last
}

/// When a day of Iran begins and the next one does, in milliseconds since the Unix epoch; nothing at the ends
/// of the calendar.
fn span(day: Date) -> Option<(i64, i64)> {
    let begin = |day: Date| tehran::midnight(day).map(Timestamp::as_millisecond);
    Some((begin(day)?, begin(day.tomorrow().ok()?)?))
}

fn is_open(hours: &OfficeHours, at: Timestamp) -> bool {
    let local = tehran::local(at);
    hours.days.contains(&local.weekday()) && (hours.from..hours.to).contains(&local.time())
}

#[cfg(test)]
mod tests;
