//! This module implements `chapar registry history` and `chapar registry rollback`.

use std::path::PathBuf;

use chapar_contract::Contract;
use chapar_model::Clock;
use chapar_registry::Registry;
use chapar_registry::store::{Directory, Files, Generation, Store as _, StoreError};
use jiff::Timestamp;

use super::apply::Change;
use super::load::{Contracts, failed};
use super::note::Note;
use super::{approve, journal, load};
use crate::cli::rights::table;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// List the generations of a store
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry history /var/lib/chapar/registry")]
pub(in crate::cli) struct HistoryArgs {
    /// The store
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

/// Put an old generation of the registry in force again, as a new generation
///
/// The old generation must load with the contracts of today, and the change needs the same approvals as any
/// other change. Where the registry in force asks for approvals, make a plan
/// (`registry plan STORE STORE/generations/NUMBER/registry`), have the plan approved and give it as `--plan`.
/// To stop a member or a grant at once, use `suspend`. The journal keeps who rolled back and why.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar registry rollback /var/lib/chapar/registry 11 --contracts contracts --by bahar --reason \"wrong county\""
)]
pub(in crate::cli) struct Args {
    /// The store
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The number of the old generation
    #[arg(value_name = "NUMBER")]
    number: u64,
    #[command(flatten)]
    contracts: Contracts,
    /// The contracts of the registry in force, if they differ; may be repeated
    #[arg(long, value_name = "DIR")]
    base_contracts: Vec<PathBuf>,
    /// The plan with its approvals
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// The person who rolls back, for the journal
    #[arg(long, value_name = "NAME")]
    by: String,
    /// The reason, for the journal
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
    journal::print_outcome(journal::run_journaled(&args.store, now, "rollback", &args.by, || {
        let generations = store.generations().map_err(failed)?;
        let old = generations.into_iter().find(|generation| generation.number == args.number);
        let old = old.ok_or(StoreError::Unknown(args.number)).map_err(failed)?;
        let contracts = args.contracts.load()?;
        // The old generation is loaded again, because contracts may have changed since it was in force.
        Registry::load(&old.folder, &contracts).map_err(Failure::finding)?;
        let current = store.current().map_err(failed)?;
        // A rollback is a change like any other, so it needs the same approvals. Only an empty store has
        // nothing to compare with.
        let plan = match &current {
            Some(base) => approved(args, base, &old, &contracts, now)?,
            None => String::new(),
        };
        let current = current.map(|generation| generation.number);
        let note = format!(
            "rollback to generation {}\nby: {}\nreason: {}\n{plan}",
            args.number, args.by, args.reason
        );
        let files = Files { folder: &old.folder, digest: &old.digest, note: &note };
        // `put` compares the generation in force, so that a change made meanwhile is not overwritten.
        let generation = store.put(current, &files, now).map_err(failed)?;
        Ok(format!(
            "generation {} is in force, as {} was: {}",
            generation.number, args.number, generation.digest
        ))
    }))
}

/// The text of the approved plan, or nothing where what changes needs no approval.
fn approved(
    args: &Args,
    base: &Generation,
    old: &Generation,
    contracts: &[Contract],
    now: Timestamp,
) -> Result<String, Failure> {
    let of_base = if args.base_contracts.is_empty() {
        contracts.to_vec()
    } else {
        load::contracts(&args.base_contracts)?
    };
    let change = Change { base, old: &of_base, folder: &old.folder, new: contracts };
    if let Some(plan) = &args.plan {
        let note = Note::parse(&approve::read(plan)?)?;
        return change.approved(&note, now).map(|_| format!("\n{}", note.text()));
    }
    let needs = change.plan(now)?.needs;
    // A change that needs no approval needs no plan.
    if needs.is_empty() {
        return Ok(String::new());
    }
    let lines: Vec<String> = needs.iter().map(|need| need.to_string()).collect();
    Err(Failure::new(
        Exit::Finding,
        format_args!(
            "not approved: it needs {}. Plan it: `chapar registry plan {} {} --key FILE --out PLAN`",
            lines.join("; and "),
            args.store.display(),
            old.folder.display()
        ),
    ))
}
