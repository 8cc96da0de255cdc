//! This module implements `chapar registry suspend`.

use std::path::{Path, PathBuf};

use chapar_model::Clock;
use chapar_registry::Registry;
use chapar_registry::store::{Directory, Files, Store as _};
use jiff::{SignedDuration, Timestamp};

use super::journal;
use super::load::{Contracts, alone, failed, in_force};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;
use crate::suspension::Suspension;

/// Suspend a member, a subsystem, a grant or a delegation, at once and for a time
///
/// One person can suspend in an emergency, without a plan. The command adds a suspension to
/// `suspensions.toml`. In a store it makes a new generation, if the registry with the suspension loads.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar registry suspend /var/lib/chapar/registry office/khorramabad-12 --for 2h --reason \"a stolen key\" --by bahar --contracts contracts"
)]
pub(in crate::cli) struct Args {
    /// The store, or the registry's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The member, the subsystem, or `grant/ID`
    #[arg(value_name = "WHAT")]
    of: String,
    /// How long the suspension lasts: `90m`, `2h`, `3d`; at most 30 days
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    time: SignedDuration,
    /// The reason, which callers are not told
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The person who suspends
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    contracts: Contracts,
}

/// Maximum time of a suspension by one person, 30 days.
const MAX_SUSPENSION: SignedDuration = SignedDuration::from_hours(30 * 24);

fn duration(text: &str) -> Result<SignedDuration, String> {
    // The unit is the last character, which may have several bytes.
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: i64 = number.parse().map_err(|_| "give a number and a unit: m, h or d")?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return Err("give a number and a unit: m, h or d".to_owned()),
    };
    let minutes =
        number.checked_mul(minutes).filter(|minutes| (1..=MAX_SUSPENSION.as_mins()).contains(minutes));
    minutes
        .map(SignedDuration::from_mins)
        .ok_or_else(|| "the time must be from one minute to 30 days".to_owned())
}

pub(super) fn run(args: &Args) -> Outcome {
    let now = Clock::system().now();
    if Directory::is_at(&args.folder) {
        journal::print_outcome(journal::run_journaled(&args.folder, now, "suspend", &args.by, || {
            in_store(args, now)
        }))
    } else {
        in_folder(args, now)
    }
}

fn in_store(args: &Args, now: Timestamp) -> Result<String, Failure> {
    let store = Directory::open(&args.folder).map_err(failed)?;
    let base = store.current().map_err(failed)?;
    let base = base.ok_or_else(|| Failure::new(Exit::Finding, "the store has no registry in force yet"))?;
    // The files of a generation are never edited: the suspension is a new generation.
    let draft = tempfile::tempdir().map_err(|error| Failure::new(Exit::Finding, error))?;
    copy(&in_force(&args.folder)?, draft.path())?;
    add(args, draft.path(), now)?;
    let registry = Registry::load(draft.path(), &args.contracts.load()?).map_err(Failure::finding)?;
    let note = format!("suspension of {}\nby: {}\nreason: {}\n", args.of, args.by, args.reason);
    let files = Files { folder: draft.path(), digest: registry.digest(), note: &note };
    let generation = store.put(Some(base.number), &files, now).map_err(failed)?;
    Ok(format!(
        "{} is suspended; generation {} is in force: {}",
        args.of, generation.number, generation.digest
    ))
}

fn in_folder(args: &Args, now: Timestamp) -> Outcome {
    // Tried on a copy first, so that a suspension that does not load never reaches the folder that a gateway
    // reads.
    let draft = tempfile::tempdir().map_err(|error| Failure::new(Exit::Finding, error))?;
    copy(&args.folder, draft.path())?;
    add(args, draft.path(), now)?;
    Registry::load(draft.path(), &args.contracts.load()?).map_err(Failure::finding)?;
    // Two suspensions at once would each write the file without the other's.
    let folder = &args.folder;
    let _alone = alone(folder)?;
    add(args, folder, now)?;
    out::say(format_args!("{} is suspended", args.of));
    Ok(Exit::Ok)
}

fn add(args: &Args, folder: &Path, now: Timestamp) -> Result<(), Failure> {
    let suspension = Suspension { of: &args.of, by: &args.by, reason: &args.reason };
    suspension.add(folder, now, args.time).map(drop)
}

/// The files of a registry, two levels deep.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Finding, format_args!("{}: {error}", from.display()));
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let target = to.join(entry.file_name());
        // Hidden files are not part of a registry.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            std::fs::create_dir(&target).map_err(failed)?;
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_is_from_a_minute_to_thirty_days() {
        assert_eq!(duration("90m"), Ok(SignedDuration::from_mins(90)));
        assert_eq!(duration("2h"), Ok(SignedDuration::from_hours(2)));
        assert_eq!(duration("30d"), Ok(MAX_SUSPENSION));
        for text in
            ["", "2", "h", "-1h", "0m", "31d", "2w", "۲h", "9999999999999999999d", "153722867280912931d"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
