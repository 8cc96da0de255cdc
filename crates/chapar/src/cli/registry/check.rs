//! This module implements `chapar registry check`.

use std::path::PathBuf;

use super::load::Contracts;
use super::{load, note};
use crate::exit::{Exit, Outcome};
use crate::out;

/// Load a registry as the gateway would, and run its tests
///
/// The command prints all findings at once, with file, line and caret. On success it prints the registry's
/// digest, which evidence records carry.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry check registry --contracts contracts")]
pub(in crate::cli) struct Args {
    /// The registry's folder, or a store
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    contracts: Contracts,
}

pub(super) fn run(args: &Args) -> Outcome {
    let registry = load(&args.folder, &args.contracts.load()?)?;
    // The loader checks only the form of approvers' keys. Whether they are keys is checked here, as by
    // `apply`.
    note::keys(registry.approvals())?;
    let services = registry.services().count();
    let grants = registry.grants().count();
    let procedures = match registry.procedure_count() {
        0 => String::new(),
        count => format!("{count} procedures, "),
    };
    out::say(format_args!(
        "{}: {services} services, {grants} grants, {procedures}{} tests passed",
        args.folder.display(),
        registry.tests()
    ));
    out::data(registry.digest());
    Ok(Exit::Ok)
}
