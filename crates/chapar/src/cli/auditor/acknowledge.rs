//! This module implements `chapar auditor acknowledge`: a person ends the alarms of a log.

use std::path::PathBuf;

use chapar_auditor::IndexError;
use chapar_model::{ClerkId, Clock};

use super::{index, load};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// End the alarms of a log, on a person's word
///
/// An alarm that a log was changed stays open also if the log is changed back. Look at it first: `chapar
/// auditor status --output json` has the signed notes that prove it. If the log goes on from where it is now,
/// because a loss was accepted there, read it anew with `--read-again`; the alarm and this word stay on file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar auditor acknowledge --config auditor.toml --log bus.lorestan.example/evidence --who m.rezaei --reason 'loss accepted on 3 Azar, see entry 81224' --read-again"
)]
pub(super) struct Args {
    /// The settings file of the auditor, `auditor.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The log's name
    #[arg(long, value_name = "ORIGIN")]
    log: String,
    /// The person: 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `@`, `-`
    #[arg(long, value_name = "NAME")]
    who: ClerkId,
    /// The reason: 1 to 200 characters; name no citizen
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Forget what was read of the log, and read it from its beginning. Stop the auditor first
    #[arg(long)]
    read_again: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    check_reason(&args.reason)?;
    let failed = |error: IndexError| Failure::error(Exit::Finding, error);
    let config = load(&args.config)?;
    let index = index(&config)?;
    // Taken before anything is changed: a running auditor would go on from what it has in memory.
    let _lock = match args.read_again {
        true => {
            let locked = chapar_auditor::lock(&config.state);
            Some(locked.map_err(|error| Failure::error(Exit::Finding, error))?)
        }
        false => None,
    };
    let now = Clock::system().now();
    if !index.progress().map_err(failed)?.iter().any(|log| log.origin == args.log) {
        return Err(Failure::usage(format_args!("the auditor follows no log {}", args.log)));
    }
    let ended = index.acknowledge(&args.log, args.who.as_str(), &args.reason, now).map_err(failed)?;
    if args.read_again {
        index.forget(&args.log).map_err(failed)?;
    }
    out::say(format_args!("{ended} alarms ended"));
    Ok(Exit::Ok)
}

/// A reason is on file, on one line.
pub(in crate::cli) fn check_reason(reason: &str) -> Result<(), Failure> {
    if !(1..=200).contains(&reason.chars().count()) || reason.chars().any(char::is_control) {
        return Err(Failure::usage("a reason is 1 to 200 characters, on one line"));
    }
    Ok(())
}
