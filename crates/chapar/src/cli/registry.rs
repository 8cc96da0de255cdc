//! This module implements `chapar registry`: policy as code, from the check of a draft to the registry in
//! force. Each command below has a file of its own.

mod apply;
mod approve;
mod check;
mod expiring;
mod journal;
mod load;
mod note;
mod plan;
mod rollback;
mod suspend;
mod usage;

use crate::exit::{Exit, Outcome};
use crate::out;
pub(super) use load::{Contracts, load, load_with_contracts};

/// Check, plan, approve and apply changes of the registry
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Check(check::Args),
    Plan(plan::Args),
    Key(approve::KeyArgs),
    Approve(approve::Args),
    Apply(apply::Args),
    History(rollback::HistoryArgs),
    Rollback(rollback::Args),
    Expiring(expiring::Args),
    /// Print the JSON Schema of the registry's files, for editors
    #[command(after_help = "Example:\n  chapar registry schema > registry.schema.json")]
    Schema,
    Suspend(suspend::Args),
}

pub(super) fn run(command: Command) -> Outcome {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Key(args) => approve::key(&args),
        Command::Approve(args) => approve::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::History(args) => rollback::history(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Expiring(args) => expiring::run(&args),
        Command::Schema => {
            out::data(format_args!("{:#}", chapar_registry::schema()));
            Ok(Exit::Ok)
        }
        Command::Suspend(args) => suspend::run(&args),
    }
}
