//! This module implements `chapar auditor report`: what the rules have found.

use std::path::PathBuf;

use chapar_auditor::Finding;
use chapar_model::Clock;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::evidence::Output;
use super::{index, load};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Show what the rules have found: clerks who looked at more, or otherwise, than is usual
///
/// A finding is a question to the clerk's superior, not a verdict. It names no citizen; the entries are found
/// by `chapar evidence search --auditor FILE`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar auditor report --config auditor.toml --since 2026-11-01T00:00:00Z"
)]
pub(super) struct Args {
    /// The settings file of the auditor, `auditor.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Findings of calls from this moment on; default: the last 31 days
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
}

pub(super) fn run(args: &Args) -> Outcome {
    let index = index(&load(&args.config)?)?;
    let month = SignedDuration::from_hours(31 * 24);
    let since = args.since.or_else(|| Clock::system().now().checked_sub(month).ok());
    let found = index.findings(since.unwrap_or(Timestamp::UNIX_EPOCH));
    let found = found.map_err(|error| Failure::error(Exit::Finding, error))?;
    match args.output {
        Output::Json => out::data(json!({ "findings": found })),
        Output::Text => {
            found.iter().for_each(|finding| out::data(line(finding)));
            if found.is_empty() {
                out::say("nothing was found");
            }
        }
    }
    Ok(Exit::Ok)
}

fn line(finding: &Finding) -> String {
    let Finding { rule, caller, clerk, first, last, count, entry } = finding;
    let clerk = if clerk.is_empty() { "-" } else { clerk };
    format!("{last:.0}  {rule}  {caller}  {clerk}  {count} since {first:.0}  {entry}")
}
