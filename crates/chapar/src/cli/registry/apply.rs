//! This module implements `chapar registry apply`.

use std::path::{Path, PathBuf};

use chapar_contract::Contract;
use chapar_model::Clock;
use chapar_registry::store::{Directory, Files, Generation, Store as _};
use chapar_registry::{Approvals, Need, Plan, Registry};
use jiff::{SignedDuration, Timestamp};

use super::load::{Contracts, contracts, failed};
use super::note::Note;
use super::{approve, journal, note};
use crate::exit::{Exit, Failure, Outcome};

/// Put a new registry in force, as planned and approved
///
/// The command makes the plan again from the registry in force and from the new one, and refuses the change
/// unless this plan equals the approved plan to the last byte. The registry in force decides whose approval
/// counts. The first registry of a store needs no plan.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar registry apply change.plan --store /var/lib/chapar/registry --new draft --contracts contracts --by bahar"
)]
pub(in crate::cli) struct Args {
    /// The plan with its approvals; without one, the store must be empty
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// The store; the gateway reads STORE/current
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// The folder of the new registry
    #[arg(long, value_name = "DIR")]
    new: PathBuf,
    #[command(flatten)]
    contracts: Contracts,
    /// The contracts of the registry in force, if they differ; may be repeated
    #[arg(long, value_name = "DIR")]
    base_contracts: Vec<PathBuf>,
    /// The person who applies the plan, for the journal
    #[arg(long, value_name = "NAME")]
    by: String,
}

/// Maximum age of a plan, 30 days. An older plan must be made again, because its effects depend on the date.
const MAX_PLAN_AGE: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) fn run(args: &Args) -> Outcome {
    let store = Directory::open(&args.store).map_err(failed)?;
    let now = Clock::system().now();
    journal::print_outcome(journal::run_journaled(&args.store, now, "apply", &args.by, || match &args.plan {
        Some(plan) => planned(args, &store, &Note::parse(&approve::read(plan)?)?, now),
        None => first(args, &store, now),
    }))
}

fn first(args: &Args, store: &Directory, now: Timestamp) -> Result<String, Failure> {
    if store.current().map_err(failed)?.is_some() {
        return Err(Failure::usage("the store is not empty, so a change needs a plan: give PLAN"));
    }
    let registry = Registry::load(&args.new, &args.contracts.load()?).map_err(Failure::finding)?;
    // Keys that do not parse, or that are one key under two names, are refused before they can approve
    // anything.
    note::keys(registry.approvals())?;
    let files = Files { folder: &args.new, digest: registry.digest(), note: "the first registry\n" };
    let generation = store.put(None, &files, now).map_err(failed)?;
    Ok(format!("generation {} is in force: {}", generation.number, generation.digest))
}

fn planned(args: &Args, store: &Directory, note: &Note, now: Timestamp) -> Result<String, Failure> {
    let new = args.contracts.load()?;
    // Both registries usually have the same contracts; they differ while a contract changes.
    let old = if args.base_contracts.is_empty() { new.clone() } else { contracts(&args.base_contracts)? };
    let base = store.current().map_err(failed)?;
    let base = base.ok_or_else(|| {
        Failure::new(Exit::Finding, "the store has no registry in force: apply the first one without a plan")
    })?;
    let change = Change { base: &base, old: &old, folder: &args.new, new: &new };
    let (digest, approved) = change.approved(note, now)?;
    let files = Files { folder: &args.new, digest: &digest, note: note.text() };
    let generation = store.put(Some(base.number), &files, now).map_err(failed)?;
    let by = if approved.is_empty() { "no one".to_owned() } else { approved.join(", ") };
    Ok(format!("generation {} is in force, approved by {by}: {}", generation.number, generation.digest))
}

/// A change from the generation in force to the files of a folder, each with its contracts.
pub(super) struct Change<'a> {
    pub(super) base: &'a Generation,
    pub(super) old: &'a [Contract],
    pub(super) folder: &'a Path,
    pub(super) new: &'a [Contract],
}

impl Change<'_> {
    /// The plan of this change: its effects, and the approvals that it needs.
    pub(super) fn plan(&self, at: Timestamp) -> Result<Plan, Failure> {
        Plan::between((&self.base.folder, self.old), (self.folder, self.new), at).map_err(Failure::finding)
    }

    /// The digest of the new registry and who has approved it, if `note` is the plan of this change and is
    /// approved as the registry in force wants it.
    pub(super) fn approved(&self, note: &Note, now: Timestamp) -> Result<(String, Vec<String>), Failure> {
        let refused = |sentence: &str| Failure::new(Exit::Finding, sentence);
        // The plan is made again with the time of the note, so that the two texts can be compared word by
        // word.
        let plan = self.plan(note.made)?;
        let named = |key: &str| note.body().lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        // Approvals are given for a change of one base. Against another base the change may do something
        // else. The number is compared too, because a rollback puts the same files in force again, and a plan
        // that was applied before it must not come back with its old approvals.
        if note.generation != self.base.number || named("base:") != Some(plan.base.as_str()) {
            return Err(refused(
                "the base has moved: the registry in force is not the one that the plan was made for; plan \
                 again",
            ));
        }
        if named("new:") != Some(plan.new.as_str()) {
            return Err(refused("the new registry is not the one that was planned; plan again"));
        }
        let age = now.duration_since(note.made);
        // A plan that is dated in the future would stay valid for longer than `MAX_PLAN_AGE`.
        if age.is_negative() || age > MAX_PLAN_AGE {
            return Err(refused(
                "the plan is older than 30 days or has a date in the future, so its effects may differ; \
                 plan again",
            ));
        }
        // Digests alone do not show what the approvers read, so the text is compared too.
        if !note.is_of(&plan) {
            return Err(refused("the plan's text differs from what the change does; plan again"));
        }
        // The rules of the registry in force count: the new one could otherwise approve itself.
        let approvals =
            Registry::load(&self.base.folder, self.old).map_err(Failure::finding)?.approvals().clone();
        note::keys(Registry::load(self.folder, self.new).map_err(Failure::finding)?.approvals())?;
        let approved = approved(note, &approvals, &plan.needs)?;
        Ok((plan.new, approved))
    }
}

/// The people who have approved, if their approvals are enough. The author must have signed with a registered
/// key: an approval says that someone other than the author has read the change, and a name alone could be
/// anyone's.
fn approved(note: &Note, approvals: &Approvals, needs: &[Need]) -> Result<Vec<String>, Failure> {
    let signed = note.signed(approvals)?;
    if !needs.is_empty() && !signed.contains(&note.author) {
        let author = &note.author;
        return Err(Failure::new(
            Exit::Finding,
            format_args!(
                "the author `{author}` is not known: register the key that signs a plan as an [[approver]] \
                 of bus.toml"
            ),
        ));
    }
    let unmet = approvals.unmet(needs, &note.author, &signed);
    if unmet.is_empty() {
        return Ok(signed.into_iter().filter(|one| *one != note.author).collect());
    }
    let lines: Vec<String> = unmet.iter().map(|need| need.to_string()).collect();
    let counted: Vec<&str> = signed.iter().filter(|one| **one != note.author).map(String::as_str).collect();
    let counted = if counted.is_empty() { "none".to_owned() } else { counted.join(", ") };
    let others = note.other_signatures(&signed);
    let others = match others.is_empty() {
        true => String::new(),
        false => format!("; signatures of keys that are not registered: {}", others.join(", ")),
    };
    Err(Failure::new(
        Exit::Finding,
        format_args!("not approved: it needs {}. Approvals so far: {counted}{others}", lines.join("; and ")),
    ))
}
