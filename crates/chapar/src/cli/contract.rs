//! `chapar contract`: checks contracts before they are published.

use std::path::PathBuf;

use chapar_contract::Contract;

use super::{Exit, Failure, Outcome, out};

/// Check contracts
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Check(Check),
}

/// Compile contract folders and check Chapar's rules
///
/// All findings at once, with file, line and column. On success, one line per contract: the digest that a registry names,
/// and the folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar contract check proto/civil proto/health")]
pub(super) struct Check {
    /// The folders, each holding `v1/….proto`
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
}

pub(super) fn run(command: Command) -> Outcome {
    let Command::Check(check) = command;
    let mut exit = Exit::Ok;
    for folder in &check.folders {
        match Contract::load(folder) {
            Ok(contract) => {
                out::data(format_args!("{}  {}", contract.digest(), folder.display()));
                for service in contract.services() {
                    out::say(format_args!("  {}: {} methods", service.name(), service.methods().len()));
                }
            }
            Err(error) => {
                out::say(format_args!("{:?}", Failure::finding(error).report));
                exit = Exit::Finding;
            }
        }
    }
    Ok(exit)
}
