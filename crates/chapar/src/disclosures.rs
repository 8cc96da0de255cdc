//! This module lists the disclosures of a citizen's records that the citizen may see: agency, office,
//! purpose, legal basis, fields and time (Estonia's data tracker is the model). It reads verified logs and
//! the terms of grants, and leaves out what a grant hides until a later day. Printing is in `cli`.

use std::collections::{BTreeMap, HashMap};

use chapar_contract::jalali_of_gregorian;
use chapar_evidence::{Kind, Record, UNKNOWN_OUTCOME};
use chapar_model::tehran;
use chapar_registry::{Citizen, Name, Registry};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::gateway_log::{Checked, GatewayLog};

/// The terms of the grants, and the names of members, from one or several registries: the first that knows
/// one tells.
#[derive(Default)]
pub(crate) struct Terms {
    /// Legal basis, and whether the citizen may see it, by id and method: an id may have come to another
    /// grant.
    grants: HashMap<(String, String), (String, Citizen)>,
    members: HashMap<String, Name>,
}

impl Terms {
    /// Adds what is not known yet.
    pub(crate) fn add(&mut self, registry: &Registry) {
        for grant in registry.grants() {
            let terms = (grant.basis.to_string(), grant.citizen);
            self.grants.entry((grant.id.to_string(), grant.method.to_string())).or_insert(terms);
        }
        for subsystem in registry.subsystems() {
            let member = subsystem.id.member().to_string();
            self.members.entry(member).or_insert_with(|| (*subsystem.name).clone());
        }
    }

    /// The terms under which a record was disclosed.
    fn of(&self, record: &Record) -> Option<&(String, Citizen)> {
        self.grants.get(&(record.grant.clone(), record.method.clone()))
    }

    /// A member's name, or its id where the registries do not know it.
    fn name(&self, member: &str) -> MemberName {
        let or_id = |name: &str| if name.is_empty() { member.to_owned() } else { name.to_owned() };
        let name = self.members.get(member);
        MemberName {
            fa: or_id(name.map_or("", |name| &name.fa)),
            en: or_id(name.map_or("", |name| &name.en)),
        }
    }
}

/// A name in Persian and English.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(crate) struct MemberName {
    pub(crate) fa: String,
    pub(crate) en: String,
}

/// One answer, or one stream of answers, that was given to an agency.
#[derive(Debug, Serialize)]
pub(crate) struct Disclosure {
    /// The member whose right was used: it was given the record.
    pub(crate) agency: String,
    pub(crate) agency_name: MemberName,
    /// The same member where another one asked for it, else empty.
    pub(crate) on_behalf_of: String,
    /// The member that asked.
    pub(crate) asked_by: String,
    pub(crate) asked_by_name: MemberName,
    pub(crate) method: String,
    pub(crate) purpose: String,
    /// In the words of the grant.
    pub(crate) basis: String,
    /// The paths of the fields that were disclosed.
    pub(crate) fields: Vec<String>,
    /// When the call came in: RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    /// The same in Iran, in the Jalali calendar: `1405/09/07 05:26:38`.
    pub(crate) time_jalali: String,
    /// `ORIGIN/INDEX`.
    pub(crate) entry: String,
    /// How often the caller asked under one request id: the later times are in other entries.
    pub(crate) attempts: u32,
}

/// What a citizen may see.
pub(crate) struct View {
    /// Oldest first.
    pub(crate) disclosures: Vec<Disclosure>,
    /// How many are left out because their grants are in no registry that was read.
    pub(crate) unknown: u64,
    /// What was verified.
    pub(crate) logs: Vec<Checked>,
}

/// What the citizen `subject`, an id in its canonical form, may see at `now` of these logs, each under the
/// terms of its own gateway.
///
/// # Errors
/// If a log cannot be read, is not valid (exit 4), or has entries under a period key that is not there: then
/// there is no answer.
pub(crate) fn view<'a>(
    logs: impl Iterator<Item = (&'a GatewayLog, &'a Terms)>,
    subject: &str,
    now: Timestamp,
) -> Result<View, Failure> {
    let today = tehran::local(now).date();
    let mut view = View { disclosures: Vec::new(), unknown: 0, logs: Vec::new() };
    for (log, terms) in logs {
        let mut records = BTreeMap::new();
        let checked = log.read_about(subject, &mut |index, record, is_mine| {
            keep(&mut records, index, record, is_mine);
        })?;
        view.logs.push(checked);
        for (attempts, index, record) in without_attempts(records) {
            match terms.of(&record) {
                Some((_, until)) if is_hidden(*until, today) => {}
                Some((basis, _)) => {
                    let found = disclosure(terms, log.entry(index), record, basis.clone(), attempts)?;
                    view.disclosures.push(found);
                }
                None => view.unknown += 1,
            }
        }
    }
    // All have the same form, so that their order is that of time.
    view.disclosures.sort_by(|a, b| a.time.cmp(&b.time));
    Ok(view)
}

fn is_hidden(citizen: Citizen, today: Date) -> bool {
    matches!(citizen, Citizen::After(day) if today < day)
}

/// Entries of one caller and method with the same request id are attempts of one disclosure, which the first
/// tells.
fn without_attempts(records: BTreeMap<u64, Record>) -> Vec<(u32, u64, Record)> {
    let mut seen: HashMap<(String, String, String), usize> = HashMap::new();
    let mut disclosures: Vec<(u32, u64, Record)> = Vec::new();
    for (index, record) in records {
        if !record.request_id.is_empty() {
            let attempt = (record.caller.clone(), record.method.clone(), record.request_id.clone());
            let first = *seen.entry(attempt).or_insert(disclosures.len());
            if let Some((attempts, ..)) = disclosures.get_mut(first) {
                *attempts += 1;
                continue;
            }
        }
        disclosures.push((1, index, record));
    }
    disclosures
}

/// Adds a record that tells of a disclosure, if it is about this citizen, or takes away the stream that
/// `record` ends without one.
fn keep(records: &mut BTreeMap<u64, Record>, index: u64, record: &Record, is_mine: bool) {
    match record.kind() {
        Kind::Unary | Kind::Open if is_mine => {
            records.insert(index, record.clone());
        }
        // A stream that released no message has disclosed nothing. After a crash nobody knows what it
        // released.
        Kind::Close if record.messages == 0 && record.outcome != UNKNOWN_OUTCOME => {
            records.remove(&record.opening);
        }
        _ => {}
    }
}

fn disclosure(
    terms: &Terms,
    entry: String,
    record: Record,
    basis: String,
    attempts: u32,
) -> Result<Disclosure, Failure> {
    let time = i64::try_from(record.time_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.ok_or_else(|| Failure::new(Exit::Finding, format_args!("{entry} has no valid time")))?;
    let asked_by = member(&record.caller).to_owned();
    let agency = if record.on_behalf_of.is_empty() { asked_by.clone() } else { record.on_behalf_of.clone() };
    Ok(Disclosure {
        agency_name: terms.name(&agency),
        asked_by_name: terms.name(&asked_by),
        agency,
        on_behalf_of: record.on_behalf_of,
        asked_by,
        method: record.method,
        purpose: record.purpose,
        basis,
        fields: record.disclosed,
        time: format!("{time:.3}"),
        time_jalali: jalali(tehran::local(time)),
        entry,
        attempts,
    })
}

/// The member of a subsystem, `CLASS/CODE`.
fn member(subsystem: &str) -> &str {
    subsystem.rsplit_once('/').map_or(subsystem, |(member, _)| member)
}

fn jalali(time: DateTime) -> String {
    let day: Date = time.date();
    let month = day.month().unsigned_abs();
    let of_month = day.day().unsigned_abs();
    // A day of `jiff` is a day of the Gregorian calendar.
    let day = jalali_of_gregorian(day.year().into(), month, of_month).unwrap_or_default();
    format!("{day} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_disclosure_unless_it_is_known_to_have_released_nothing() {
        let mine = [7; 32].to_vec();
        let record =
            |kind: Kind| Record { kind: kind.into(), subject_pseudonym: mine.clone(), ..Record::default() };
        let open = record(Kind::Open);
        let closed = |opening, messages, outcome: &str| Record {
            opening,
            messages,
            outcome: outcome.to_owned(),
            ..record(Kind::Close)
        };
        let log = [
            open.clone(),
            open.clone(),
            open.clone(),
            open,
            record(Kind::Refusal),
            record(Kind::Unary),
            record(Kind::Unary),
            closed(0, 3, "OK"),
            closed(1, 0, "OK"),
            closed(2, 0, "UNKNOWN_OUTCOME"),
        ];
        let mut records = BTreeMap::new();
        for (index, record) in (0..).zip(&log) {
            // The sixth is about another citizen.
            keep(&mut records, index, record, index != 5);
        }
        assert_eq!(records.into_keys().collect::<Vec<_>>(), [0, 2, 3, 6]);
    }

    #[test]
    fn attempts_of_one_disclosure_are_one() {
        let record = |caller: &str, request_id: &str| Record {
            caller: caller.to_owned(),
            request_id: request_id.to_owned(),
            ..Record::default()
        };
        let log = [record("a", "1"), record("a", ""), record("a", "1"), record("a", ""), record("b", "1")];
        let disclosures = without_attempts((0..).zip(log).collect());
        let told: Vec<_> = disclosures.into_iter().map(|(attempts, index, _)| (index, attempts)).collect();
        assert_eq!(told, [(0, 2), (1, 1), (3, 1), (4, 1)]);
    }

    #[test]
    fn a_disclosure_is_hidden_before_its_day_in_iran_and_not_on_it() {
        let day = |now: &str| tehran::local(now.parse().unwrap()).date();
        let after = Citizen::After("2026-03-21".parse().unwrap());
        assert!(is_hidden(after, day("2026-03-20T20:29:59Z")));
        assert!(!is_hidden(after, day("2026-03-20T20:30:00Z")));
        assert!(!is_hidden(Citizen::Shown, day("2026-03-20T20:30:00Z")));
    }

    #[test]
    fn a_moment_is_told_by_the_clock_and_calendar_of_iran() {
        for (utc, iran) in [
            ("2026-11-28T01:56:38.535Z", "1405/09/07 05:26:38"),
            // The first second of a Jalali year, and the last before it.
            ("2026-03-20T20:30:00Z", "1405/01/01 00:00:00"),
            ("2026-03-20T20:29:59Z", "1404/12/29 23:59:59"),
            ("2026-07-01T00:00:00Z", "1405/04/10 03:30:00"),
        ] {
            assert_eq!(jalali(tehran::local(utc.parse().unwrap())), iran);
        }
    }
}
