//! Where registries and contracts are read from: a folder, or a store with generations; contract folders, or a folder of them.

use std::path::{Path, PathBuf};

use chapar_contract::Contract;
use chapar_registry::Registry;
use chapar_registry::store::{Directory, Store as _};

use crate::cli::{Exit, Failure};

/// The contracts of a registry.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Contracts {
    /// A contract folder, or a folder of contract folders; may be repeated
    #[arg(long, required = true, value_name = "DIR")]
    contracts: Vec<PathBuf>,
}

impl Contracts {
    pub(in crate::cli) fn load(&self) -> Result<Vec<Contract>, Failure> {
        contracts(&self.contracts)
    }
}

/// Compiles what is in each folder.
pub(super) fn contracts(folders: &[PathBuf]) -> Result<Vec<Contract>, Failure> {
    let mut contracts = Vec::new();
    for folder in folders {
        for found in contract_folders(folder)? {
            contracts.push(Contract::load(&found).map_err(Failure::finding)?);
        }
    }
    Ok(contracts)
}

/// The registry in a folder, or in force in a store.
pub(in crate::cli) fn load(folder: &Path, contracts: &[Contract]) -> Result<Registry, Failure> {
    Registry::load(&in_force(folder)?, contracts).map_err(Failure::finding)
}

/// The files of a folder, or of what is in force in a store.
pub(super) fn in_force(folder: &Path) -> Result<PathBuf, Failure> {
    if !Directory::is_at(folder) {
        return Ok(folder.to_owned());
    }
    let current = Directory::open(folder).and_then(|store| store.current()).map_err(failed)?;
    match current {
        Some(generation) => Ok(generation.folder),
        None => Err(Failure::new(Exit::Finding, format_args!("{}: nothing is in force yet", folder.display()))),
    }
}

pub(super) fn failed(error: chapar_registry::store::StoreError) -> Failure {
    Failure::error(Exit::Finding, error)
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
