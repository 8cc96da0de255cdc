//! This module implements `chapar contract`: it checks contracts before they are published, and a new version
//! against the one in use.

use std::path::PathBuf;

use chapar_contract::{Contract, breaking};

use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Check contracts
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Check(Check),
    Breaking(Breaking),
}

/// Compile contract folders and check Chapar's rules
///
/// The command prints all findings at once, with file, line and column. On success it prints one line for
/// each contract: the digest that a registry names, and the folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar contract check proto/civil proto/health")]
pub(super) struct Check {
    /// Contract folders, each holding `v1/….proto`, or folders of them
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
}

/// Compare a new version of a contract with the one in use
///
/// The command prints every breaking change on a line with its place in the new version, and exits 1 if there
/// is one. Besides the changes that break the wire format or JSON, these are breaking: a lower class, a
/// purpose that is removed or added, a removed row scope, another subject or key, a looser or tighter format.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar contract breaking published/civil proto/civil")]
pub(super) struct Breaking {
    /// The folder of the version in use, or a folder of contract folders
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The folder of the new version
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

pub(super) fn run(command: Command) -> Outcome {
    match command {
        Command::Check(args) => check(&args),
        Command::Breaking(args) => compare(&args),
    }
}

fn check(args: &Check) -> Outcome {
    let mut exit = Exit::Ok;
    let folders: Result<Vec<_>, _> = args.folders.iter().map(|folder| Contract::folders(folder)).collect();
    let mut contracts = Vec::new();
    for folder in folders.map_err(Failure::finding)?.concat() {
        match Contract::load(&folder) {
            Ok(contract) => {
                out::data(format_args!("{}  {}", contract.digest(), folder.display()));
                contracts.push(contract.clone());
                for service in contract.services() {
                    out::say(format_args!("  {}: {} methods", service.name(), service.methods().len()));
                }
            }
            // The other contracts are checked as well, so that all findings show at once.
            Err(error) => {
                out::say(format_args!("{:?}", Failure::finding(error).report));
                exit = Exit::Finding;
            }
        }
    }
    // Contracts that are valid by themselves may still contradict each other.
    Contract::agree(&contracts).map_err(Failure::finding)?;
    Ok(exit)
}

fn compare(args: &Breaking) -> Outcome {
    let old = Contract::load_all(&args.old).map_err(Failure::finding)?;
    let new = Contract::load_all(&args.new).map_err(Failure::finding)?;
    let mut count = 0;
    for contract in &old {
        // Contracts are paired by a common service, because their folders may have other names.
        let has_service_of = |new: &&Contract| contract.services().any(|it| new.service(it.name()).is_some());
        let changes = match new.iter().find(has_service_of) {
            Some(new) => breaking(contract, new).iter().map(ToString::to_string).collect(),
            // One contract each: the same folder in two versions, of which the new one may have renamed all.
            None if old.len() == 1 && new.len() == 1 => {
                new.iter().flat_map(|new| breaking(contract, new)).map(|change| change.to_string()).collect()
            }
            None => {
                let gone =
                    |service: &chapar_contract::Service| format!("the service {} is gone", service.name());
                contract.services().map(gone).collect::<Vec<_>>()
            }
        };
        count += changes.len();
        for change in changes {
            out::data(change);
        }
    }
    out::say(format_args!("{count} breaking changes from {} to {}", args.old.display(), args.new.display()));
    Ok(if count == 0 { Exit::Ok } else { Exit::Finding })
}
