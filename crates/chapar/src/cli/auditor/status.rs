//! This module implements `chapar auditor status`: how far each log has been verified, and open alarms.

use std::path::PathBuf;

use chapar_auditor::{AuditStatus, LogProgress};
use chapar_model::Clock;
use jiff::SignedDuration;
use serde_json::json;

use super::super::evidence::Output;
use super::super::rights::table;
use super::{index, load};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// A log is looked at twice a second, and that is noted every 10 s.
const STALE: SignedDuration = SignedDuration::from_mins(10);

/// Show how far each log has been verified, and the open alarms
///
/// Reads the auditor's index, also while the auditor runs. Exits with 4 if an alarm is open, and with 3 if a
/// log has not been looked at for 10 minutes: the auditor does not run, or cannot reach it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar auditor status --config auditor.toml")]
pub(super) struct Args {
    /// The settings file of the auditor, `auditor.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Also show alarms that have ended
    #[arg(long)]
    all: bool,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
}

pub(super) fn run(args: &Args) -> Outcome {
    let failed = |error| Failure::error(Exit::Finding, error);
    let index = index(&load(&args.config)?)?;
    let AuditStatus { logs, alarms } = AuditStatus::of(&index).map_err(failed)?;
    let is_well = alarms.is_empty();
    let now = Clock::system().now();
    let is_fresh = |log: &LogProgress| log.last_look.is_some_and(|last| now.duration_since(last) < STALE);
    let stale: Vec<String> = logs.iter().filter(|log| !is_fresh(log)).map(|log| log.origin.clone()).collect();
    let alarms = if args.all { index.alarms(true).map_err(failed)? } else { alarms };
    match args.output {
        Output::Json => out::data(json!({ "logs": logs, "alarms": alarms })),
        Output::Text => {
            let head =
                ["LOG", "VERIFIED", "READ", "LAST LOOK", "NOT FINDABLE FROM"].map(str::to_owned).to_vec();
            let rows: Vec<Vec<String>> = std::iter::once(head).chain(logs.iter().map(row)).collect();
            table(&rows).iter().for_each(out::data);
            for alarm in &alarms {
                let state = if alarm.ended.is_some() { "ended" } else { "ALARM" };
                out::data(format_args!(
                    "{state}  {}  {}  since {:.0}: {}",
                    alarm.log, alarm.kind, alarm.since, alarm.sentence
                ));
            }
        }
    }
    for log in &stale {
        out::say(format_args!("{log} has not been looked at for 10 minutes: does the auditor run?"));
    }
    Ok(match (is_well, stale.is_empty()) {
        (false, _) => Exit::EvidenceInvalid,
        (true, false) => Exit::Unreachable,
        (true, true) => Exit::Ok,
    })
}

fn row(log: &LogProgress) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        log.origin.clone(),
        log.verified.to_string(),
        log.read.to_string(),
        or_dash(log.last_look.map(|last| format!("{last:.0}"))),
        or_dash(log.unfindable_from.map(|entry| entry.to_string())),
    ]
}
