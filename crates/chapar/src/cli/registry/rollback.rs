//! `chapar registry history` and `rollback`.

use std::path::PathBuf;

use chapar_model::Clock;
use chapar_registry::Registry;
use chapar_registry::store::{Directory, Files, Store as _, StoreError};

use super::journal;
use super::load::{Contracts, failed};
use crate::cli::rights::table;
use crate::cli::{Exit, Failure, Outcome, out};

/// List the generations of a store
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry history /var/lib/chapar/registry")]
pub(in crate::cli) struct HistoryArgs {
    /// The store
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

/// Put an old generation in force again, as a new one
///
/// For one person, at once; it must still load with the contracts of today. Who did it and why is kept.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar registry rollback /var/lib/chapar/registry 11 --contracts contracts --by bahar --reason \"wrong county\""
)]
pub(in crate::cli) struct Args {
    /// The store
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The generation
    #[arg(value_name = "NUMBER")]
    number: u64,
    #[command(flatten)]
    contracts: Contracts,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn history(args: &HistoryArgs) -> Outcome {
    let store = Directory::open(&args.store).map_err(failed)?;
    let current = store.current().map_err(failed)?.map(|generation| generation.number);
    let row = |generation: chapar_registry::store::Generation| {
        let mark = if Some(generation.number) == current { "in force" } else { "" };
        vec![generation.number.to_string(), generation.at.to_string(), generation.digest, mark.to_owned()]
    };
    let rows: Vec<Vec<String>> = store.generations().map_err(failed)?.into_iter().map(row).collect();
    table(&rows).into_iter().for_each(out::data);
    Ok(Exit::Ok)
}

pub(super) fn run(args: &Args) -> Outcome {
    let store = Directory::open(&args.store).map_err(failed)?;
    let now = Clock::system().now();
    journal::told(journal::kept(&args.store, now, "rollback", &args.by, || {
        let generations = store.generations().map_err(failed)?;
        let old = generations.into_iter().find(|generation| generation.number == args.number);
        let old = old.ok_or(StoreError::Unknown(args.number)).map_err(failed)?;
        Registry::load(&old.folder, &args.contracts.load()?).map_err(Failure::finding)?;
        let current = store.current().map_err(failed)?.map(|generation| generation.digest);
        let note = format!("rollback to generation {}\nby: {}\nreason: {}\n", args.number, args.by, args.reason);
        let files = Files { folder: &old.folder, digest: &old.digest, note: &note };
        let generation = store.put(current.as_deref(), &files, now).map_err(failed)?;
        Ok(format!("generation {} is in force, as {} was: {}", generation.number, args.number, generation.digest))
    }))
}
