//! This module implements `chapar registry plan`.

use std::path::PathBuf;

use chapar_model::Clock;
use chapar_registry::Plan;

use super::load::{Contracts, contracts, generation_in_force};
use super::note::Note;
use super::{approve, usage};
use crate::cli::result_file::{ForceArgs, ResultFile};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Show the effects of a change of the registry before the change is made
///
/// The command loads both registries and runs the tests of the new one. It prints which entries are added,
/// changed and removed, who may see more or less, whose approval the change needs, and a summary at the end.
/// With `--out` it writes the plan for `approve` and `apply`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar registry plan /var/lib/chapar/registry draft --contracts contracts --key dara.key --out change.plan"
)]
pub(in crate::cli) struct Args {
    /// The registry in force: a store, or without `--out` a folder
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// The folder of the new registry
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    contracts: Contracts,
    /// The contracts of BASE, if they differ; may be repeated
    #[arg(long, value_name = "DIR")]
    base_contracts: Vec<PathBuf>,
    /// The folder of an evidence log: shows the last use of each changed or removed grant or delegation
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// The private key of the author, which signs the plan; the author cannot approve it. Needed with `--out`
    #[arg(long, requires = "out", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file to write the plan to
    #[arg(long, short, requires = "key", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
}

pub(super) fn run(args: &Args) -> Outcome {
    let new = args.contracts.load()?;
    let old = if args.base_contracts.is_empty() { new.clone() } else { contracts(&args.base_contracts)? };
    let now = Clock::system().now();
    let generation = generation_in_force(&args.base)?;
    let base = generation.as_ref().map_or(&args.base, |generation| &generation.folder);
    let plan = Plan::between((base, &old), (&args.new, &new), now).map_err(Failure::finding)?;
    if plan.is_empty() {
        out::say("the two registries are the same: nothing changes");
        return Ok(Exit::Ok);
    }
    out::data(plan.to_string().trim_end());
    if let Some(log) = &args.evidence {
        // Printed beside the plan and not in it, because each gateway has its own log, and logs grow.
        let lines = usage::lines(&plan, log, now)?;
        out::data("Used:");
        lines.into_iter().for_each(out::data);
    }
    if let (Some(file), Some(key)) = (&args.out, &args.key) {
        // `apply` compares the number of the generation, and a plain folder has none.
        let Some(generation) = generation else {
            return Err(Failure::usage(
                "a plan that is to be applied is made for a generation of a store: give the store as BASE",
            ));
        };
        let note = Note::new(&plan, generation.number, &approve::secret(key)?, now);
        // A plan that only its author has signed can be made again, and is while a change is worked on.
        let is_draft =
            std::fs::read_to_string(file).ok().and_then(|text| Note::parse(&text).ok()).is_some_and(
                |earlier| earlier.other_signatures(std::slice::from_ref(&earlier.author)).is_empty(),
            );
        let force = ForceArgs { force: args.force.force || is_draft };
        ResultFile::new(file, force)?.write(note.text().as_bytes())?;
        out::say(format_args!("the plan was written to {}", file.display()));
    }
    Ok(Exit::Ok)
}
