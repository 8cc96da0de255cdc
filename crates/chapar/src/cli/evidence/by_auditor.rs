//! `AuditorIndex` answers questions from the index of an auditor, each of which is recorded before.

use std::ops::ControlFlow;
use std::path::Path;

use chapar_auditor::{AlarmKind, AuditStatus, Config, Index, Query, Question, record_question};
use chapar_contract::Format;
use chapar_evidence::Pseudonyms;
use chapar_model::{ClerkId, Clock};

use super::filter::Filter;
use super::found::Found;
use crate::cli::auditor::{check_reason, index, load};
use crate::exit::{Exit, Failure};
use crate::out;

/// Who asks an auditor's index, and why.
#[derive(Debug, clap::Args)]
pub(super) struct AskedArgs {
    /// With --auditor: the person who asks: 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `@`, `-`
    #[arg(long, value_name = "NAME", requires = "auditor")]
    who: Option<ClerkId>,
    /// With --auditor: why, in 1 to 200 characters; name no citizen
    #[arg(long, value_name = "TEXT", requires = "auditor")]
    reason: Option<String>,
}

/// An auditor's index, with the keys by which citizens are found in it.
pub(super) struct AuditorIndex {
    config: Config,
    index: Index,
    periods: Vec<Pseudonyms>,
}

impl AuditorIndex {
    /// Opens the index of the auditor with these settings, which may be running.
    pub(super) fn open(file: &Path) -> Result<Self, Failure> {
        let config = load(file)?;
        let index = index(&config)?;
        let keys = config.logs.iter().flat_map(|log| &log.period_keys);
        let periods: Result<Vec<_>, _> = keys.map(|key| Pseudonyms::read(key)).collect();
        let periods = periods.map_err(|error| Failure::error(Exit::Finding, error))?;
        Ok(Self { config, index, periods })
    }

    /// Records a question. Without a record there is no answer.
    pub(super) async fn record(
        &self,
        asked: &AskedArgs,
        command: &str,
        filters: &[String],
        subject: Option<&str>,
    ) -> Result<(), Failure> {
        let (Some(who), Some(reason)) = (&asked.who, &asked.reason) else {
            return Err(Failure::usage("`--auditor` needs `--who` and `--reason`: the question is recorded"));
        };
        check_reason(reason)?;
        // A number of this form may be a citizen's id, and the log of questions holds none.
        if names_a_citizen(reason) || names_a_citizen(who.as_str()) {
            return Err(Failure::usage("`--who` and `--reason` are on record, and one holds a national id"));
        }
        let filters: Vec<String> = filters.iter().map(|filter| without_citizen(filter)).collect();
        let filters = filters.as_slice();
        let question = Question { who: who.as_str(), reason, command, filters, subject };
        let recorded =
            record_question(&self.config.state, &self.config.questions, &question, &Clock::system()).await;
        let entry = recorded.map_err(|error| Failure::error(Exit::Finding, error))?;
        out::say(format_args!("the question is on record: {entry}"));
        Ok(())
    }

    /// Checks that all entries about a citizen can be found: any that cannot may be about this one.
    fn check_completeness(&self, status: &AuditStatus) -> Result<(), Failure> {
        let periods: Vec<[u8; 8]> = self.periods.iter().map(Pseudonyms::id).collect();
        let unfindable =
            self.index.unfindable(&periods).map_err(|error| Failure::error(Exit::Finding, error))?;
        if let Some((log, first)) = unfindable.first() {
            let sentence = format!(
                "entry {log}/{first} and maybe others are under a period key that is not in `period_keys`, or was \
                 not when the auditor read them, so nobody can tell whether they are about this citizen: add the \
                 key, and `chapar auditor acknowledge --read-again`"
            );
            return Err(Failure::new(Exit::Finding, sentence));
        }
        // A log that is not what it was, or that cannot be read, has entries that are not in the index.
        match status.alarms.iter().find(|alarm| alarm.kind != AlarmKind::Late.as_str()) {
            Some(alarm) => Err(Failure::new(
                Exit::EvidenceInvalid,
                format_args!(
                    "the log {} is {}: {}. What it holds about this citizen cannot be told; end the alarm first",
                    alarm.log, alarm.kind, alarm.sentence
                ),
            )),
            None => Ok(()),
        }
    }

    /// Shows `visit` what is found, the newest first, until it says no.
    pub(super) fn search(
        &self,
        subject: Option<&str>,
        filter: &Filter,
        visit: &mut dyn FnMut(Found) -> bool,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::error(Exit::Finding, error);
        let status = AuditStatus::of(&self.index).map_err(failed)?;
        for log in &status.logs {
            let last = log.last_look.map_or_else(|| "never".to_owned(), |last| format!("{last:.0}"));
            out::say(format_args!(
                "{}: {} entries verified, last looked at {last}",
                log.origin, log.verified
            ));
        }
        if subject.is_some() {
            self.check_completeness(&status)?;
        }
        for alarm in &status.alarms {
            out::say(format_args!("ALARM: {} is {}: {}", alarm.log, alarm.kind, alarm.sentence));
        }
        let query = Query {
            subjects: subject.map(|subject| self.periods.iter().map(|period| period.of(subject)).collect()),
            clerk: filter.clerk.clone(),
            since_ms: filter.since.map(|since| since.as_millisecond()),
            until_ms: filter.until.map(|until| until.as_millisecond()),
        };
        let found = self.index.search(&query, &mut |found| {
            let wanted = filter.matches(&found.record);
            let entry = format!("{}/{}", found.origin, found.index);
            match !wanted || visit(Found { entry, record: found.record }) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        found.map_err(failed)
    }
}

/// Whether a text holds ten digits that are a national id.
fn names_a_citizen(text: &str) -> bool {
    text.split(|c: char| !c.is_numeric()).any(|digits| Format::IrNationalId.check(digits))
}

/// A filter as it is recorded.
fn without_citizen(filter: &str) -> String {
    match filter.split_once('=') {
        Some((name, value)) if names_a_citizen(value) => format!("{name}=(not recorded: a national id)"),
        _ => filter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_national_id_is_seen_wherever_it_stands_in_a_text() {
        for text in ["4060014060", "complaint of 4060014060.", "۴۰۶۰۰۱۴۰۶۰", "a-4060014060-b"] {
            assert!(names_a_citizen(text), "{text}");
        }
        for text in ["", "complaint 12", "4060014061", "40600140600", "1405-771"] {
            assert!(!names_a_citizen(text), "{text}");
        }
        assert_eq!(without_citizen("clerk=4060014060"), "clerk=(not recorded: a national id)");
        assert_eq!(without_citizen("clerk=z.karimi"), "clerk=z.karimi");
    }
}
