//! This module implements `chapar evidence search`: which entries of verified logs are about a citizen, a
//! caller, a clerk or a method.

use std::collections::BTreeMap;

use chapar_evidence::{Kind, Record};
use chapar_model::to_hex;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::logs::{self, LogArgs};
use crate::exit::{Exit, Outcome};
use crate::out;

/// Search the logs of gateways
///
/// The logs are verified while they are read, so an answer is complete or there is none. A citizen is found
/// by the period key of each gateway; the id is in no entry. Entries are told oldest first, the newest N of
/// those that match.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar evidence search --config gateway.toml --caller gov/welfare --since 2026-11-01T00:00:00Z\n  chapar evidence search --demo DIR --subject NATIONAL_ID --output json"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    logs: LogArgs,
    /// The citizen's national id; `-` reads it from standard input
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// The calling member or subsystem, or the member on whose behalf it called
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    caller: Option<String>,
    /// The clerk
    #[arg(long, value_name = "NAME")]
    clerk: Option<String>,
    /// The case
    #[arg(long, value_name = "NUMBER")]
    case: Option<String>,
    /// The method, or the end of its name
    #[arg(long, value_name = "METHOD", value_parser = NonEmptyStringValueParser::new())]
    method: Option<String>,
    /// The purpose
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// The outcome: `OK`, or the reason of a refusal
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// From this moment on
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// How many entries, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Output {
    /// One line for each entry
    Text,
    /// One document
    Json,
}

/// An entry that matches.
struct Found {
    entry: String,
    record: Record,
}

pub(super) fn run(args: &Args) -> Outcome {
    let subject = args.subject.as_deref().map(logs::subject).transpose()?;
    // No more than the newest are kept, whatever the logs hold: by time, log and index.
    let mut newest: BTreeMap<(u64, usize, u64), Found> = BTreeMap::new();
    let mut matching = 0_usize;
    for (number, log) in args.logs.open()?.iter().enumerate() {
        let mut visit = |index: u64, record: &Record, is_about: bool| {
            if is_about && args.matches(record) {
                matching += 1;
                let found = Found { entry: log.entry(index), record: record.clone() };
                newest.insert((record.time_unix_ms, number, index), found);
                if newest.len() > args.limit {
                    newest.pop_first();
                }
            }
        };
        let checked = match &subject {
            Some(subject) => log.read_about(subject, &mut visit)?,
            None => log.read(&mut |index, record| visit(index, record, true))?,
        };
        out::say(checked.sentence);
    }
    match args.output {
        Output::Text => newest.values().for_each(|found| out::data(found.line())),
        Output::Json => {
            let entries: Vec<Value> = newest.values().map(Found::json).collect();
            out::data(json!({ "entries": entries, "matching": matching }));
        }
    }
    if matching > newest.len() {
        out::say(format_args!("the newest {} of {matching} entries; `--limit` tells more", newest.len()));
    }
    Ok(Exit::Ok)
}

impl Args {
    fn matches(&self, record: &Record) -> bool {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        let is_caller = self.caller.as_deref().is_none_or(|wanted| {
            let own = record.caller == wanted || record.caller.starts_with(&format!("{wanted}/"));
            own || record.on_behalf_of == wanted
        });
        let is_method = self.method.as_deref().is_none_or(|wanted| {
            let end = record.method.strip_suffix(wanted);
            end.is_some_and(|before| before.is_empty() || before.ends_with(['.', '/']))
        });
        let time = i64::try_from(record.time_unix_ms).unwrap_or(i64::MAX);
        let is_since = self.since.is_none_or(|since| time >= since.as_millisecond());
        let is_until = self.until.is_none_or(|until| time < until.as_millisecond());
        is(&self.clerk, &record.clerk)
            && is(&self.case, &record.case)
            && is(&self.purpose, &record.purpose)
            && is(&self.outcome, &record.outcome)
            && is_caller
            && is_method
            && is_since
            && is_until
    }
}

impl Found {
    fn line(&self) -> String {
        let Self { entry, record } = self;
        let behalf = match record.on_behalf_of.as_str() {
            "" => String::new(),
            member => format!(" for {member}"),
        };
        let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let more = if record.count == 0 { String::new() } else { format!(" × {}", record.count) };
        format!(
            "{}  {}{behalf}  {}  {}  {}  {}{more}  {} fields  {entry}",
            time(record),
            record.caller,
            or_dash(&record.clerk),
            or_dash(&record.method),
            or_dash(&record.purpose),
            record.outcome,
            record.disclosed.len()
        )
    }

    fn json(&self) -> Value {
        let Self { entry, record } = self;
        json!({
            "entry": entry,
            "time": time(record),
            "kind": kind(record),
            "call_id": to_hex(&record.call_id),
            "request_id": record.request_id,
            "attempt": record.attempt,
            "caller": record.caller,
            "on_behalf_of": record.on_behalf_of,
            "clerk": record.clerk,
            "case": record.case,
            "purpose": record.purpose,
            "method": record.method,
            "grant": record.grant,
            "disclosed": record.disclosed,
            "withheld": record.withheld,
            "messages": record.messages,
            "opening": (record.kind() == Kind::Close).then_some(record.opening),
            "outcome": record.outcome,
            "count": record.count,
            "trace_id": to_hex(&record.trace_id),
            "subject_pseudonym": to_hex(&record.subject_pseudonym),
        })
    }
}

/// When the call came in, in UTC.
fn time(record: &Record) -> String {
    let millis = i64::try_from(record.time_unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map_or_else(|_| "?".to_owned(), |time| format!("{time:.3}"))
}

fn kind(record: &Record) -> &'static str {
    match record.kind() {
        Kind::Unary => "unary",
        Kind::Open => "open",
        Kind::Close => "close",
        Kind::Refusal => "refusal",
        Kind::Lost => "lost",
        Kind::Unspecified => "unknown",
    }
}
