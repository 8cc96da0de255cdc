//! This module implements `chapar evidence search`: which entries of verified logs are about a citizen, a
//! caller, a clerk or a method. It reads the logs themselves, or the index of an auditor.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chapar_evidence::Record;
use serde_json::{Value, json};

use super::by_auditor::{AskedArgs, AuditorIndex};
use super::filter::Filter;
use super::found::Found;
use super::logs::{self, LogArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Search the logs of gateways
///
/// The logs are verified while they are read, so an answer is complete or there is none. A citizen is found
/// by the period key of each gateway; the id is in no entry. Entries are told oldest first, the newest N of
/// those that match. With `--auditor`, the index of an auditor answers, which has verified the logs before;
/// each such question is recorded first, in a log of its own.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar evidence search --config gateway.toml --caller gov/welfare --since 2026-11-01T00:00:00Z\n  chapar evidence search --demo DIR --subject NATIONAL_ID --output json\n  chapar evidence search --auditor auditor.toml --who m.rezaei --reason 'complaint 12' --clerk z.karimi"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    logs: LogArgs,
    /// The settings file of an auditor, `auditor.toml`, whose index is searched
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "demo", "period_key"], requires_all = ["who", "reason"])]
    auditor: Option<PathBuf>,
    #[command(flatten)]
    asked: AskedArgs,
    /// The citizen's national id; `-` reads it from standard input
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// How many entries, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(in crate::cli) enum Output {
    /// One line for each entry
    Text,
    /// One document
    Json,
}

/// What a search has found.
struct Answer {
    /// The newest, oldest first.
    newest: Vec<Found>,
    /// How many match; with an index, no more than are shown and one are looked for.
    matching: usize,
}

pub(super) async fn run(args: &Args) -> Outcome {
    let subject = args.subject.as_deref().map(logs::subject).transpose()?;
    let answer = match &args.auditor {
        Some(file) => args.by_auditor(&AuditorIndex::open(file)?, subject.as_deref()).await?,
        None => args.by_logs(subject.as_deref())?,
    };
    let Answer { newest, matching } = answer;
    match args.output {
        Output::Text => newest.iter().for_each(|found| out::data(found.line())),
        Output::Json => {
            let entries: Vec<Value> = newest.iter().map(Found::json).collect();
            let more = matching > newest.len();
            match args.auditor {
                // An index is not counted through.
                Some(_) => out::data(json!({ "entries": entries, "more": more })),
                None => out::data(json!({ "entries": entries, "matching": matching, "more": more })),
            }
        }
    }
    if matching > newest.len() {
        let of = if args.auditor.is_some() { "more".to_owned() } else { matching.to_string() };
        out::say(format_args!("the newest {} of {of} entries; `--limit` tells more", newest.len()));
    }
    Ok(Exit::Ok)
}

impl Args {
    fn by_logs(&self, subject: Option<&str>) -> Result<Answer, Failure> {
        // No more than the newest are kept, whatever the logs hold: by time, log and index.
        let mut newest: BTreeMap<(u64, usize, u64), Found> = BTreeMap::new();
        let mut matching = 0_usize;
        for (number, log) in self.logs.open()?.iter().enumerate() {
            let mut visit = |index: u64, record: &Record, is_about: bool| {
                if is_about && self.filter.matches(record) {
                    matching += 1;
                    let found = Found { entry: log.entry(index), record: record.clone() };
                    newest.insert((record.time_unix_ms, number, index), found);
                    if newest.len() > self.limit {
                        newest.pop_first();
                    }
                }
            };
            let checked = match subject {
                Some(subject) => log.read_about(subject, &mut visit)?,
                None => log.read(&mut |index, record| visit(index, record, true))?,
            };
            out::say(checked.sentence);
        }
        Ok(Answer { newest: newest.into_values().collect(), matching })
    }

    async fn by_auditor(&self, index: &AuditorIndex, subject: Option<&str>) -> Result<Answer, Failure> {
        index.record(&self.asked, "evidence search", &self.filter.given(), subject).await?;
        let mut newest = Vec::new();
        let mut matching = 0;
        index.search(subject, &self.filter, &mut |found| {
            matching += 1;
            if matching <= self.limit {
                newest.push(found);
            }
            matching <= self.limit
        })?;
        newest.reverse();
        Ok(Answer { newest, matching })
    }
}
