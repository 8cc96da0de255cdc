//! `chapar registry`: checks the policy before it is in force.

use std::path::{Path, PathBuf};

use chapar_contract::Contract;
use chapar_registry::Registry;

use super::{Exit, Failure, Outcome, out};

/// Check the registry
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Check(Check),
}

/// Load a registry as the gateway would, and run its tests
///
/// All findings at once, with file, line and caret. On success, the registry's digest, by which evidence names it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry check registry --contracts contracts")]
pub(super) struct Check {
    /// The registry's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// A contract folder, or a folder of contract folders; may be repeated
    #[arg(long, required = true, value_name = "DIR")]
    contracts: Vec<PathBuf>,
}

pub(super) fn run(command: Command) -> Outcome {
    let Command::Check(check) = command;
    let mut contracts = Vec::new();
    for folder in &check.contracts {
        for found in contract_folders(folder)? {
            contracts.push(Contract::load(&found).map_err(Failure::finding)?);
        }
    }
    let registry = Registry::load(&check.folder, &contracts).map_err(Failure::finding)?;
    let (services, grants) = (registry.services().count(), registry.grants().count());
    out::say(format_args!("{}: {services} services, {grants} grants", check.folder.display()));
    out::data(registry.digest());
    Ok(Exit::Ok)
}

/// `folder` itself if a version folder with a `.proto` is in it, else every contract folder directly beneath it but the
/// imports that are built in.
fn contract_folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if is_contract(folder)? {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for beneath in folders(folder)? {
        if is_contract(&beneath)? {
            found.push(beneath);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(Exit::Finding, format_args!("{}: no contract in it", folder.display())));
    }
    Ok(found)
}

fn is_contract(folder: &Path) -> Result<bool, Failure> {
    for version in folders(folder)? {
        let is_version = version.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            name.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        if is_version && entries(&version)?.iter().any(|file| file.extension().is_some_and(|it| it == "proto")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Exit::Finding, format_args!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)
}
