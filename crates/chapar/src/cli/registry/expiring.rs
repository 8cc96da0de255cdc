//! This module implements `chapar registry expiring`.

use std::path::PathBuf;

use chapar_model::Clock;
use jiff::Span;

use super::load;
use super::load::Contracts;
use crate::cli::rights::table;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// List grants, delegations and licences that end soon
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry expiring registry --contracts contracts --days 30")]
pub(in crate::cli) struct Args {
    /// The registry's folder, or a store
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    contracts: Contracts,
    /// List what ends within this many days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(..=3650), value_name = "N")]
    days: u32,
}

pub(super) fn run(args: &Args) -> Outcome {
    let registry = load(&args.folder, &args.contracts.load()?)?;
    let now = Clock::system().now();
    let hours = i64::from(args.days) * 24;
    let until =
        now.checked_add(Span::new().hours(hours)).map_err(|error| Failure::usage(error.to_string()))?;
    // Entries that have ended already are left out: the list is about what can still be renewed.
    let mut ending: Vec<_> = registry
        .endings()
        .into_iter()
        .filter(|ending| !ending.valid.has_expired(now) && ending.valid.has_expired(until))
        .collect();
    ending.sort_by(|a, b| (a.valid.until, &a.what).cmp(&(b.valid.until, &b.what)));
    let rows: Vec<Vec<String>> = ending
        .into_iter()
        .map(|ending| vec![ending.valid.until.to_string(), ending.what, ending.whom])
        .collect();
    table(&rows).into_iter().for_each(out::data);
    out::say(format_args!("{} entries end within {} days", rows.len(), args.days));
    Ok(Exit::Ok)
}
