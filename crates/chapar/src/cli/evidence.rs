//! `chapar evidence`: checks what the bus has recorded, offline and with public keys only.

use std::path::{Path, PathBuf};

use chapar_evidence::verify;

use super::connect::ConnectArgs;
use super::session::Session;
use super::{Exit, Failure, Outcome, out};

/// Verify and fetch evidence
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Verify(Verify),
    Receipt(Receipt),
}

/// Verify a receipt or a whole log, offline
///
/// A receipt: the record in it is in the log, under a checkpoint that the log's key has signed. A folder: every record is in
/// the tree that its newest checkpoint signs, and nothing is missing or altered. Exits with 4 if not.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar evidence verify receipt.txt --trust evidence.pub\n  chapar evidence verify DIR/evidence"
)]
pub(super) struct Verify {
    /// A receipt, or the folder of a log
    #[arg(value_name = "FILE|DIR")]
    what: PathBuf,
    /// The log's public key (C2SP vkey), or a file with it; default: `evidence.pub` beside FILE or DIR
    #[arg(long, value_name = "KEY|FILE")]
    trust: Option<String>,
}

/// Fetch the receipt of an entry
///
/// Only a party to the call gets it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar evidence receipt bus.lorestan.example/evidence/12 --demo DIR --as gov/welfare/benefits -o receipt.txt"
)]
pub(super) struct Receipt {
    /// The entry, `ORIGIN/INDEX`, as the call's end named it
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// Where to write it; default: standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Verify(verify) => self::verify(&verify),
        Command::Receipt(receipt) => {
            let mut session = Session::open(&receipt.connect).await?;
            save(&session.receipt(&receipt.entry).await?, receipt.out.as_deref())?;
            Ok(Exit::Ok)
        }
    }
}

/// Writes a receipt to a file, or to standard output.
pub(super) fn save(receipt: &[u8], file: Option<&Path>) -> Result<(), Failure> {
    match file {
        Some(file) => std::fs::write(file, receipt)
            .map_err(|error| Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", file.display()))),
        None => out::bytes(receipt).map_err(|error| Failure::error(Exit::Finding, error)),
    }
}
