//! `AuditorIndex` answers questions from the index of an auditor, each of which is recorded before.

use std::ops::ControlFlow;
use std::path::Path;

use chapar_auditor::{AuditStatus, Config, Index, Query, Question, record_question};
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
        let question = Question { who: who.as_str(), reason, command, filters, subject };
        let recorded =
            record_question(&self.config.state, &self.config.questions, &question, &Clock::system()).await;
        let entry = recorded.map_err(|error| Failure::error(Exit::Finding, error))?;
        out::say(format_args!("the question is on record: {entry}"));
        Ok(())
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
            out::say(format_args!("{}: {} entries verified", log.origin, log.verified));
            if subject.is_some() && log.unknown_period > 0 {
                // Any of them may be about this citizen.
                let sentence = format!(
                    "{} entries of {} are under a period key that the auditor did not have when it read them, so \
                     nobody can tell whether they are about this citizen: add the key to `period_keys`, and \
                     `chapar auditor acknowledge --read-again`",
                    log.unknown_period, log.origin
                );
                return Err(Failure::new(Exit::Finding, sentence));
            }
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
