//! This module loads registries and contracts for the commands. A registry is a folder, or a store with
//! generations; contracts are contract folders, or a folder of them.

use std::path::{Path, PathBuf};

use chapar_contract::Contract;
use chapar_gateway::Config;
use chapar_registry::Registry;
use chapar_registry::store::{Directory, Generation, Store as _};

use crate::exit::{Exit, Failure};

/// The contracts of a registry.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Contracts {
    /// A contract folder, or a folder of contract folders; may be repeated
    #[arg(long, required_unless_present = "config", value_name = "DIR")]
    contracts: Vec<PathBuf>,
    /// The settings file of the gateway, `gateway.toml`: its `contracts` are used
    #[arg(long, conflicts_with = "contracts", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Contracts {
    pub(in crate::cli) fn load(&self) -> Result<Vec<Contract>, Failure> {
        match &self.config {
            Some(file) => contracts(&Config::load(file).map_err(Failure::finding)?.gateway.contracts),
            None => contracts(&self.contracts),
        }
    }
}

/// Compiles what is in each folder.
pub(super) fn contracts(folders: &[PathBuf]) -> Result<Vec<Contract>, Failure> {
    let loaded: Result<Vec<_>, _> = folders.iter().map(|folder| Contract::load_all(folder)).collect();
    let contracts = loaded.map_err(Failure::finding)?.concat();
    // Contracts that are valid by themselves may still contradict each other.
    Contract::agree(&contracts).map_err(Failure::finding)?;
    Ok(contracts)
}

/// The registry in a folder, or in force in a store.
pub(in crate::cli) fn load(folder: &Path, contracts: &[Contract]) -> Result<Registry, Failure> {
    Registry::load(&in_force(folder)?, contracts).map_err(Failure::finding)
}

/// The same with the contracts in these folders.
pub(in crate::cli) fn load_with_contracts(folder: &Path, folders: &[PathBuf]) -> Result<Registry, Failure> {
    load(folder, &contracts(folders)?)
}

/// The files of a folder, or of what is in force in a store.
pub(super) fn in_force(folder: &Path) -> Result<PathBuf, Failure> {
    Ok(generation_in_force(folder)?.map_or_else(|| folder.to_owned(), |generation| generation.folder))
}

/// The generation in force in a store; `None` if the folder is no store.
pub(super) fn generation_in_force(folder: &Path) -> Result<Option<Generation>, Failure> {
    if !Directory::is_at(folder) {
        return Ok(None);
    }
    let current = Directory::open(folder).and_then(|store| store.current()).map_err(failed)?;
    match current {
        Some(generation) => Ok(Some(generation)),
        None => Err(Failure::new(
            Exit::Finding,
            format_args!("{}: the store has no registry in force yet", folder.display()),
        )),
    }
}

/// A folder for one command at a time.
pub(super) fn alone(folder: &Path) -> Result<chapar_files::FolderLock, Failure> {
    chapar_files::lock(folder).map_err(|error| {
        Failure::new(Exit::Finding, format_args!("cannot lock {}: {error}", folder.display()))
    })
}

pub(super) fn failed(error: chapar_registry::store::StoreError) -> Failure {
    Failure::error(Exit::Finding, error)
}
