//! This module implements `chapar evidence`: it checks what the bus has recorded, offline and with public
//! keys only. Questions to logs are in `search` and `citizen`.

mod by_auditor;
mod citizen;
mod filter;
mod found;
mod logs;
mod search;
mod verify;

use std::path::{Path, PathBuf};

pub(super) use logs::LogArgs;
pub(super) use search::Output;

use chapar_model::{ClerkId, Clock};

use super::auditor::check_reason;
use super::connect::ConnectArgs;
use super::result_file::{ForceArgs, ResultFile};
use super::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::gateway_log::invalid;
use crate::out;

/// Verify, fetch and search evidence
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Keygen(Keygen),
    Verify(verify::Args),
    AcceptLoss(AcceptLoss),
    Receipt(Box<Receipt>),
    Search(Box<search::Args>),
    Citizen(Box<citizen::Args>),
}

/// Make the keys of a new evidence log
///
/// DIR gets `evidence.key`, which signs checkpoints, its public half `evidence.pub`, which everyone may have,
/// and `period.key`, the key of pseudonyms and salts. None of them is ever overwritten. The public key is
/// printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar evidence keygen bus.lorestan.example/evidence --out keys")]
pub(super) struct Keygen {
    /// The log's name in checkpoints and receipts, `origin` in `gateway.toml`; it never changes
    #[arg(value_name = "ORIGIN")]
    origin: String,
    /// The folder that gets the keys
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Accept that a log has lost entries, so that its gateway can start again
///
/// A gateway does not start on a log that holds fewer entries than were signed, or other entries. If no newer
/// copy of the folder exists, this command accepts the log as it is. For each lost entry it writes an entry
/// that names who accepted the loss and why, and it signs a new checkpoint. An older checkpoint or receipt
/// still shows that the log does not extend it. Stop the gateway first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar evidence accept-loss --config gateway.toml --who m.rezaei --reason 'disk 2 failed, no copy after 14:10'"
)]
pub(super) struct AcceptLoss {
    /// The settings file of the gateway, `gateway.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The person who accepts the loss: 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `@`, `-`
    #[arg(long, value_name = "NAME")]
    who: ClerkId,
    /// The reason, which readers of the log see: 1 to 200 characters; name no citizen
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Fetch the receipt of an entry
///
/// The gateway gives the receipt only to a party of the call. With `--dir`, the command makes the receipt
/// from the log's folder or a copy of the folder, without the salt: such a receipt proves who received what
/// and when, but not which bytes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar evidence receipt bus.lorestan.example/evidence/12 --demo DIR --as gov/welfare/benefits -o receipt.txt\n  chapar evidence receipt bus.lorestan.example/evidence/12 --dir DIR/evidence -o receipt.txt"
)]
pub(super) struct Receipt {
    /// The entry in the evidence log, `ORIGIN/INDEX`, which `chapar call` prints
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// The folder of the log, or a copy of the folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The file to write the receipt to; default: standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

fn keygen(args: &Keygen) -> Outcome {
    let [signing, public, period] =
        ["evidence.key", "evidence.pub", "period.key"].map(|name| args.out.join(name));
    std::fs::create_dir_all(&args.out)
        .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", args.out.display())))?;
    chapar_evidence::create_keys(&args.origin, &signing, &public, &period)
        .map_err(|error| Failure::error(Exit::Finding, error))?;
    let key = std::fs::read_to_string(&public)
        .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", public.display())))?;
    out::data(key.trim_end());
    Ok(Exit::Ok)
}

pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Keygen(args) => keygen(&args),
        Command::Verify(args) => verify::run(&args),
        Command::AcceptLoss(args) => accept_loss(&args),
        Command::Search(args) => Box::pin(search::run(&args)).await,
        Command::Citizen(args) => citizen::run(&args),
        Command::Receipt(receipt) => {
            let file = receipt.out.as_deref().map(|file| ResultFile::new(file, receipt.force)).transpose()?;
            let bytes = match &receipt.dir {
                Some(dir) => from_folder(dir, &receipt.entry)?,
                None => Session::open(&receipt.connect).await?.receipt(&receipt.entry).await?,
            };
            match file {
                Some(file) => file.write(&bytes)?,
                None => out::bytes(&bytes),
            }
            Ok(Exit::Ok)
        }
    }
}

/// A receipt from the published files of a log.
fn from_folder(dir: &Path, entry: &str) -> Result<Vec<u8>, Failure> {
    let named = entry.rsplit_once('/').and_then(|(origin, index)| Some((origin, index.parse().ok()?)));
    let (origin, index) = named.ok_or_else(|| Failure::usage("an entry is ORIGIN/INDEX"))?;
    let receipt = chapar_evidence::from_directory(dir, index).map_err(invalid)?;
    if receipt.origin() == origin {
        Ok(receipt.to_bytes())
    } else {
        Err(Failure::new(
            Exit::Finding,
            format_args!("the log in {} is {}, not {origin}", dir.display(), receipt.origin()),
        ))
    }
}

fn accept_loss(args: &AcceptLoss) -> Outcome {
    check_reason(&args.reason)?;
    let config =
        chapar_gateway::Config::load(&args.config).map_err(|error| Failure::error(Exit::Finding, error))?;
    let config = chapar_gateway::evidence_config(&config);
    let loss = chapar_evidence::accept_loss(&config, &Clock::system(), args.who.as_str(), &args.reason);
    let loss = loss.map_err(|error| Failure::error(Exit::Finding, error))?;
    let signed = loss.signed.map_or_else(|| "an unknown number".to_owned(), |signed| signed.to_string());
    out::data(format_args!(
        "accepted: the log held {} entries, {signed} were signed; {} entries from index {} on say so, under a new checkpoint",
        loss.found, loss.written, loss.found
    ));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use chapar_evidence::{Kind, RECORD_VERSION, RecordDraft};

    use super::*;

    #[tokio::test]
    async fn a_receipt_from_the_folder_verifies_and_is_of_the_log_that_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        chapar_evidence::create_keys(
            "bus.example/evidence",
            &file("evidence.key"),
            &file("evidence.pub"),
            &file("period.key"),
        )
        .unwrap();
        let config = chapar_evidence::Config {
            path: file("evidence"),
            state: file("evidence.state"),
            origin: "bus.example/evidence".to_owned(),
            signing_key: file("evidence.key"),
            period_key: file("period.key"),
            checkpoint_every: std::time::Duration::from_secs(60),
            queue: 1,
            low_water: 0,
        };
        let log = chapar_evidence::Log::open(config, chapar_model::Clock::system()).unwrap();
        let record = RecordDraft {
            version: RECORD_VERSION,
            kind: Kind::Refusal,
            outcome: "NOT_GRANTED",
            ..RecordDraft::default()
        };
        log.reserve().unwrap().append(record).await.unwrap();
        log.close().await.unwrap();

        let receipt = from_folder(&file("evidence"), "bus.example/evidence/0").unwrap();
        std::fs::write(file("receipt.txt"), receipt).unwrap();
        assert_eq!(verify::run(&verify::Args::of(&file("receipt.txt"), None)).unwrap(), Exit::Ok);

        let exit = |entry| from_folder(&file("evidence"), entry).unwrap_err().exit;
        assert_eq!(exit("bus.example/evidence/1"), Exit::EvidenceInvalid, "no such entry");
        assert_eq!(exit("other.example/evidence/0"), Exit::Finding, "another log");
        assert_eq!(exit("bus.example/evidence"), Exit::Usage, "no index");
    }
}
