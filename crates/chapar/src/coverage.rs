//! `Coverage` counts what a state wants to know of the bus, from verified records of calls: which villages'
//! offices got their services answered, and which papers were avoided. No citizen is in it. Printing is in
//! `cli`.

mod villages;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chapar_contract::jalali_of_gregorian;
use chapar_evidence::{Kind, Record};
use chapar_model::tehran;
use chapar_registry::{Name, Registry};
use jiff::Timestamp;
use jiff::civil::Date;

pub(crate) use villages::{Village, villages};

/// A count of papers below this is told as "fewer", since a paper of one citizen in a month and a village's
/// office may be known by whoever stood behind them.
pub(crate) const SMALLEST_COUNT: u64 = 5;

/// The outcome of a call that was answered.
const OK: &str = "OK";

/// Papers of one kind that one office did not ask for in a month.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PaperKey {
    /// Of the Jalali calendar, `1405/09`.
    pub(crate) month: String,
    /// The procedure's id.
    pub(crate) procedure: String,
    /// The office's subsystem.
    pub(crate) office: String,
    /// The part's id.
    pub(crate) part: String,
}

/// A part of a procedure that replaces a paper.
struct PaperPart {
    procedure: String,
    part: String,
    on_behalf_of: String,
}

/// What calls have a paper's part as their reason: caller, purpose and method.
type CallKey = (String, String, String);

/// The counts.
#[derive(Default)]
pub(crate) struct Coverage {
    /// First and last day in Tehran; none for no bound.
    since: Option<Date>,
    until: Option<Date>,
    parts: HashMap<CallKey, Vec<PaperPart>>,
    /// The papers' names, by procedure and part.
    names: BTreeMap<(String, String), Name>,
    /// The services that procedures ask.
    services: BTreeSet<String>,
    /// The services that were answered, by office.
    answered: BTreeMap<String, BTreeSet<String>>,
    papers: BTreeMap<PaperKey, u64>,
    /// Calls that came with a request id: the same call sent again is one.
    seen: HashSet<CallKey>,
}

impl Coverage {
    /// Counts the days from `since` to `until`, both among them.
    pub(crate) fn of_days(since: Option<Date>, until: Option<Date>) -> Self {
        Self { since, until, ..Self::default() }
    }

    /// Adds the procedures of a registry.
    pub(crate) fn add_procedures(&mut self, registry: &Registry) {
        for procedure in registry.procedures() {
            for part in &procedure.parts {
                let method = part.entry.method.path();
                self.services.insert(service_of(method.as_str()).to_owned());
                let Some(paper) = &part.replaces else { continue };
                self.names.insert((procedure.id.to_string(), part.id.to_string()), paper.clone());
                for caller in &procedure.callers {
                    let call = (caller.to_string(), procedure.purpose.to_string(), method.to_string());
                    let parts = self.parts.entry(call).or_default();
                    let (procedure_id, id) = (procedure.id.to_string(), part.id.to_string());
                    // Several gateways have the same registry.
                    if !parts.iter().any(|known| known.procedure == procedure_id && known.part == id) {
                        let on_behalf_of =
                            procedure.on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default();
                        parts.push(PaperPart { procedure: procedure_id, part: id, on_behalf_of });
                    }
                }
            }
        }
    }

    /// Counts a record, if it is of a call that was answered in the period.
    pub(crate) fn add(&mut self, record: &Record) {
        let is_answer = matches!(record.kind(), Kind::Unary | Kind::Close) && record.outcome == OK;
        let at = i64::try_from(record.time_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(day) = at.map(tehran::day).filter(|_| is_answer) else { return };
        if self.since.is_some_and(|since| day < since) || self.until.is_some_and(|until| day > until) {
            return;
        }
        let service = service_of(&record.method).to_owned();
        self.answered.entry(record.caller.clone()).or_default().insert(service);
        let sent = (record.caller.clone(), record.method.clone(), record.request_id.clone());
        if !record.request_id.is_empty() && !self.seen.insert(sent) {
            return;
        }
        let call = (record.caller.clone(), record.purpose.clone(), record.method.clone());
        for part in self.parts.get(&call).into_iter().flatten() {
            if part.on_behalf_of != record.on_behalf_of {
                continue;
            }
            let key = PaperKey {
                month: month_of(day),
                procedure: part.procedure.clone(),
                office: record.caller.clone(),
                part: part.part.clone(),
            };
            *self.papers.entry(key).or_default() += 1;
        }
    }

    /// The services that procedures ask.
    pub(crate) fn services(&self) -> &BTreeSet<String> {
        &self.services
    }

    /// Which of these services an office got answered.
    pub(crate) fn answered<'s>(&self, office: &str, services: &'s BTreeSet<String>) -> BTreeSet<&'s str> {
        let answered = self.answered.get(office);
        let is_answered = |service: &&String| answered.is_some_and(|own| own.contains(*service));
        services.iter().filter(is_answered).map(String::as_str).collect()
    }

    /// Papers avoided, with the paper's name.
    pub(crate) fn papers(&self) -> impl Iterator<Item = (&PaperKey, &Name, u64)> {
        self.papers.iter().filter_map(|(key, count)| {
            let name = self.names.get(&(key.procedure.clone(), key.part.clone()))?;
            Some((key, name, *count))
        })
    }
}

fn service_of(method: &str) -> &str {
    method.split_once('/').map_or(method, |(service, _)| service)
}

/// The Jalali month of a day, `1405/09`.
fn month_of(day: Date) -> String {
    let (month, day_of_month) = (day.month().unsigned_abs(), day.day().unsigned_abs());
    let jalali = jalali_of_gregorian(day.year().into(), month, day_of_month).unwrap_or_default();
    jalali.get(..7).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: &str = "office/khorramabad-12/counter";
    const METHOD: &str = "civil.v1.CivilRegistry/GetPerson";

    fn coverage() -> Coverage {
        let since = Date::constant(2026, 11, 1);
        let mut coverage = Coverage::of_days(Some(since), Some(Date::constant(2026, 11, 30)));
        let part = PaperPart {
            procedure: "farm-loan".to_owned(),
            part: "person".to_owned(),
            on_behalf_of: "com/agri-bank".to_owned(),
        };
        coverage.parts.insert((OFFICE.to_owned(), "loan.farm".to_owned(), METHOD.to_owned()), vec![part]);
        let name = Name {
            fa: "رونوشت شناسنامه".to_owned(), en: "Copy of the identity booklet".to_owned()
        };
        coverage.names.insert(("farm-loan".to_owned(), "person".to_owned()), name);
        coverage
    }

    fn record(change: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record {
            kind: Kind::Unary.into(),
            // 28 November 2026, 10:00 in Tehran.
            time_unix_ms: 1_795_847_400_000,
            caller: OFFICE.to_owned(),
            on_behalf_of: "com/agri-bank".to_owned(),
            purpose: "loan.farm".to_owned(),
            method: METHOD.to_owned(),
            outcome: OK.to_owned(),
            ..Record::default()
        };
        change(&mut record);
        record
    }

    fn counted(records: &[Record]) -> Vec<(String, u64)> {
        let mut coverage = coverage();
        records.iter().for_each(|record| coverage.add(record));
        coverage.papers().map(|(key, _, count)| (key.month.clone(), count)).collect()
    }

    #[test]
    fn an_answered_part_is_a_paper_avoided_in_its_jalali_month() {
        assert_eq!(counted(&[record(|_| {}), record(|_| {})]), [("1405/09".to_owned(), 2)]);
        let late = record(|record| record.time_unix_ms += 24 * 3_600_000);
        assert_eq!(counted(&[late]), [("1405/09".to_owned(), 1)]);
    }

    #[test]
    fn a_call_that_was_sent_again_is_one_paper() {
        let again = || record(|record| record.request_id = "01a2".to_owned());
        let other = record(|record| record.request_id = "01a3".to_owned());
        assert_eq!(counted(&[again(), again(), other]), [("1405/09".to_owned(), 2)]);
    }

    #[test]
    fn refusals_other_purposes_other_members_and_other_days_are_no_paper() {
        let refused = record(|record| {
            record.kind = Kind::Refusal.into();
            record.outcome = "NOT_GRANTED".to_owned();
        });
        let broken = record(|record| {
            record.kind = Kind::Close.into();
            record.outcome = "SOURCE_DOWN".to_owned();
        });
        let opened = record(|record| record.kind = Kind::Open.into());
        let other_purpose = record(|record| record.purpose = "benefit.eligibility".to_owned());
        let own_right = record(|record| record.on_behalf_of = String::new());
        let before = record(|record| record.time_unix_ms -= 40 * 24 * 3_600_000);
        assert!(counted(&[refused, broken, opened, other_purpose, own_right, before]).is_empty());
    }

    #[test]
    fn an_office_is_told_by_the_services_that_answered_it() {
        let mut coverage = coverage();
        let services: BTreeSet<String> =
            ["civil.v1.CivilRegistry", "health.v1.Insurance"].map(str::to_owned).into();
        assert!(coverage.answered(OFFICE, &services).is_empty());
        // Whatever it was for.
        coverage.add(&record(|record| record.purpose = "other.purpose".to_owned()));
        assert_eq!(coverage.answered(OFFICE, &services), ["civil.v1.CivilRegistry"].into());
        assert!(coverage.answered("office/other/counter", &services).is_empty());
    }
}
