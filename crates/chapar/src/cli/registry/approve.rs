//! This module implements `chapar registry approve`, and reads the key with which it signs.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chapar_tlog::SigningKey;

use super::load::alone;
use super::note::Note;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Make an approver's key
///
/// The command writes the private key to a file that only you can read, and prints the public key for an
/// `[[approver]]` of `bus.toml`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry key bahar --out bahar.key")]
pub(in crate::cli) struct KeyArgs {
    /// The approver's id
    #[arg(value_name = "NAME")]
    name: String,
    /// The file to write the private key to
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// Approve a plan by signing it
///
/// The command prints the plan and adds your signature to the plan's file. When the plan is applied, the
/// registry in force decides whose approval counts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar registry approve change.plan --key bahar.key")]
pub(in crate::cli) struct Args {
    /// The plan's file
    #[arg(value_name = "FILE")]
    plan: PathBuf,
    /// Your private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn key(args: &KeyArgs) -> Outcome {
    let key = SigningKey::generate(&args.name)
        .map_err(|_| Failure::usage("an approver's name must have no space and no `+`"))?;
    // `create_new`, because a key that is overwritten cannot be made again.
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    written.and_then(|mut file| writeln!(file, "{}", key.to_secret_text())).map_err(|error| {
        Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", args.out.display()))
    })?;
    out::data(key.verifier());
    Ok(Exit::Ok)
}

pub(super) fn run(args: &Args) -> Outcome {
    let key = secret(&args.key)?;
    // Two who sign at once would each write a plan without the other's signature.
    let _alone = alone(args.plan.parent().unwrap_or(Path::new(".")))?;
    let mut note = Note::parse(&read(&args.plan)?)?;
    out::data(note.body().trim_end());
    // A plan that could not be shown whole is not signed, because a signature says that its signer has read
    // it.
    if let Some(error) = out::failed() {
        return Err(Failure::new(
            Exit::Finding,
            format_args!("nothing was signed, because the plan cannot be shown: {error}"),
        ));
    }
    // `apply` would not count this approval, so the author is told at once.
    if key.verifier().name() == note.author {
        return Err(Failure::new(
            Exit::Finding,
            "the author of a plan cannot approve it: another approver must",
        ));
    }
    note.sign(&key);
    chapar_files::replace(&args.plan, note.text().as_bytes(), 0o644).map_err(|error| {
        Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", args.plan.display()))
    })?;
    out::say(format_args!("approved by {}", key.verifier().name()));
    Ok(Exit::Ok)
}

/// The private key in a file.
pub(super) fn secret(file: &Path) -> Result<SigningKey, Failure> {
    chapar_files::read_secret(file)
        .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", file.display())))?
        .trim()
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, format_args!("{}: {error}", file.display())))
}

pub(super) fn read(file: &Path) -> Result<String, Failure> {
    chapar_files::read_text(file)
        .map_err(|error| Failure::new(Exit::Finding, format_args!("cannot read {}: {error}", file.display())))
}
