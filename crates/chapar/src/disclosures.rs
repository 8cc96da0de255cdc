//! What a citizen may see of who was given their records: agency, office, purpose, legal basis, fields and time
//! (Estonia's data tracker is the model). It reads verified logs and the terms of grants; it leaves out how the answer
//! is printed. What a grant hides until a day is left out until then.

use std::collections::{BTreeMap, HashMap};

use chapar_contract::jalali_of_gregorian;
use chapar_evidence::{Kind, Record, UNKNOWN_OUTCOME};
use chapar_registry::{Citizen, Name, Registry};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::gateway_log::GatewayLog;

/// The terms of the grants, and the names of members, from one or several registries: the first that knows one tells.
#[derive(Default)]
pub(crate) struct Terms {
    /// Legal basis, and whether the citizen may see it.
    grants: HashMap<String, (String, Citizen)>,
    members: HashMap<String, Name>,
}

impl Terms {
    /// Adds what is not known yet.
    pub(crate) fn add(&mut self, registry: &Registry) {
        for grant in registry.grants() {
            let terms = (grant.basis.to_string(), grant.citizen);
            self.grants.entry(grant.id.to_string()).or_insert(terms);
        }
        for subsystem in registry.subsystems() {
            let member = subsystem.id.member().to_string();
            self.members.entry(member).or_insert_with(|| (*subsystem.name).clone());
        }
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
}

/// What a citizen may see.
pub(crate) struct View {
    /// Oldest first.
    pub(crate) disclosures: Vec<Disclosure>,
    /// How many are left out because their grants are in no registry that was read.
    pub(crate) unknown: u64,
    /// What was verified of each log, in a sentence.
    pub(crate) verified: Vec<String>,
}

/// What the citizen `subject`, an id in its canonical form, may see of these logs at `now`.
///
/// # Errors
/// If a log cannot be read, or is not valid (exit 4): then there is no answer.
pub(crate) fn view(
    logs: &[GatewayLog],
    terms: &Terms,
    subject: &str,
    now: Timestamp,
) -> Result<View, Failure> {
    let mut verified = Vec::new();
    let mut found = Vec::new();
    for log in logs {
        let (records, sentence) = disclosed(log, subject)?;
        verified.push(sentence);
        found.extend(records.into_iter().map(|(index, record)| (log.entry(index), record)));
    }
    found.sort_by_key(|(_, record)| record.time_unix_ms);
    let today = in_iran(now).date();
    let (mut disclosures, mut unknown) = (Vec::new(), 0);
    for (entry, record) in found {
        match terms.grants.get(&record.grant) {
            Some((_, Citizen::After(day))) if today < *day => {}
            Some((basis, _)) => disclosures.push(disclosure(terms, entry, record, basis.clone())?),
            None => unknown += 1,
        }
    }
    Ok(View { disclosures, unknown, verified })
}

/// The records of a citizen's disclosures in one log, and what was verified.
fn disclosed(log: &GatewayLog, subject: &str) -> Result<(BTreeMap<u64, Record>, String), Failure> {
    let pseudonym = log.pseudonyms.of(subject);
    let mut records = BTreeMap::new();
    let verified = log.read(&mut |index, record| keep(&mut records, &pseudonym, index, record))?;
    Ok((records, verified.sentence().to_owned()))
}

/// Adds a record that tells of a disclosure of this citizen's, or takes away the stream that `record` ends without one.
fn keep(records: &mut BTreeMap<u64, Record>, pseudonym: &[u8], index: u64, record: &Record) {
    match record.kind() {
        Kind::Unary | Kind::Open if record.subject_pseudonym == pseudonym => {
            records.insert(index, record.clone());
        }
        // A stream that released no message has disclosed nothing. After a crash nobody knows what it released.
        Kind::Close if record.messages == 0 && record.outcome != UNKNOWN_OUTCOME => {
            records.remove(&record.opening);
        }
        _ => {}
    }
}

fn disclosure(terms: &Terms, entry: String, record: Record, basis: String) -> Result<Disclosure, Failure> {
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
        time_jalali: jalali(in_iran(time)),
        entry,
    })
}

/// The member of a subsystem, `CLASS/CODE`.
fn member(subsystem: &str) -> &str {
    subsystem.rsplit_once('/').map_or(subsystem, |(member, _)| member)
}

/// How far the clocks of Iran are ahead of UTC. There has been no summer time since the autumn of 1401 (2022).
const IRAN: SignedDuration = SignedDuration::from_mins(3 * 60 + 30);

/// Day and clock in Iran.
fn in_iran(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(time.checked_add(IRAN).unwrap_or(Timestamp::MAX))
}

fn jalali(time: DateTime) -> String {
    let day: Date = time.date();
    let (month, of_month) = (day.month().unsigned_abs(), day.day().unsigned_abs());
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
        let of_another = Record { subject_pseudonym: [8; 32].to_vec(), ..record(Kind::Unary) };
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
            of_another,
            record(Kind::Unary),
            closed(0, 3, "OK"),
            closed(1, 0, "OK"),
            closed(2, 0, "UNKNOWN_OUTCOME"),
        ];
        let mut records = BTreeMap::new();
        for (index, record) in (0..).zip(&log) {
            keep(&mut records, &mine, index, record);
        }
        assert_eq!(records.into_keys().collect::<Vec<_>>(), [0, 2, 3, 6]);
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
            assert_eq!(jalali(in_iran(utc.parse().unwrap())), iran);
        }
    }
}
