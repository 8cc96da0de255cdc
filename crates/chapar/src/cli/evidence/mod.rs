//! This module implements `chapar evidence`: it checks what the bus has recorded, offline and with public
//! keys only. Questions to logs are in `search` and `citizen`.

mod citizen;
mod logs;
mod search;

use std::path::{Path, PathBuf};

pub(super) use logs::LogArgs;

use chapar_evidence::VerifierKey;
use chapar_evidence::verify::{self, Invalid};
use chapar_model::{ClerkId, Clock};

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
    Verify(Verify),
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

/// Verify a receipt or a whole log, offline
///
/// For a receipt, the command verifies that its record is in the log, under a checkpoint that the log's key
/// has signed. For a folder, it verifies that every record is in the Merkle tree which the newest checkpoint
/// signs, and that no record is missing or altered. The exit code is 4 if the evidence is not valid.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar evidence verify receipt.txt --trust evidence.pub\n  chapar evidence verify DIR/evidence"
)]
pub(super) struct Verify {
    /// A receipt, or the folder of a log
    #[arg(value_name = "FILE|DIR")]
    what: PathBuf,
    /// The log's public key (C2SP vkey), or a file that holds the key; default: `evidence.pub` beside FILE or
    /// DIR
    #[arg(long, value_name = "KEY|FILE")]
    trust: Option<String>,
    /// A checkpoint or receipt of the same log that was kept elsewhere: a log that does not extend this
    /// checkpoint was cut, forked, or restored from an older copy
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
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
        Command::Verify(args) => verify_file(&args),
        Command::AcceptLoss(args) => accept_loss(&args),
        Command::Search(args) => search::run(&args),
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
    if !(1..=200).contains(&args.reason.chars().count()) || args.reason.chars().any(char::is_control) {
        return Err(Failure::usage("a reason is 1 to 200 characters, on one line"));
    }
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

fn verify_file(args: &Verify) -> Outcome {
    let trust = trust(args)?;
    let read = |file: &Path| {
        let unreadable =
            |error| Failure::new(Exit::Finding, format_args!("cannot read {}: {error}", file.display()));
        std::fs::read(file).map_err(unreadable)
    };
    let since = args.since.as_deref().map(read).transpose()?;
    let since = since.map(|bytes| verify::checkpoint(&bytes, &trust)).transpose();
    let since = since.map_err(|error| Failure::usage(format_args!("--since: {error}")))?;
    let verified = if args.what.is_dir() {
        verify::directory(&args.what, &trust, since.as_ref())
    // A receipt carries its own checkpoint, so holding it to an older one would prove nothing.
    } else if since.is_some() {
        return Err(Failure::usage("--since holds a whole log to a checkpoint: give the log's folder"));
    } else {
        verify::receipt(&read(&args.what)?, &trust)
    };
    match verified {
        Ok(verified) => {
            out::data(verified.sentence());
            Ok(Exit::Ok)
        }
        // A file that cannot be read says nothing about the evidence, so it has another exit code than
        // evidence that is invalid.
        Err(unreadable @ Invalid::Read { .. }) => Err(Failure::error(Exit::Finding, unreadable)),
        Err(invalid) => {
            out::data(invalid);
            Ok(Exit::EvidenceInvalid)
        }
    }
}

/// The key that verifies the evidence: `--trust`, or `evidence.pub` beside the evidence. The second is
/// announced, because whoever replaced the evidence could have replaced that file as well.
fn trust(args: &Verify) -> Result<VerifierKey, Failure> {
    let (text, from) = match &args.trust {
        // A verifier key contains `+`. A file of such a name is still read as a file.
        Some(key) if key.contains('+') && !Path::new(key).exists() => (key.clone(), "--trust".to_owned()),
        Some(file) => (read_key(Path::new(file))?, file.clone()),
        None => {
            let beside = args.what.parent().unwrap_or(Path::new("")).join("evidence.pub");
            if !beside.exists() {
                return Err(Failure::usage("which key is trusted? Give `--trust KEY|FILE`"));
            }
            out::say(format_args!("the trusted key is {}, found beside the evidence", beside.display()));
            (read_key(&beside)?, beside.display().to_string())
        }
    };
    text.trim()
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, format_args!("{from} is no verifier key: {error}")))
}

fn read_key(file: &Path) -> Result<String, Failure> {
    chapar_files::read_text(file)
        .map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use chapar_evidence::{Kind, RECORD_VERSION, RecordDraft};

    use super::*;

    /// The example key of the Go package `sumdb/note`.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn args(what: &Path, trust: Option<&str>) -> Verify {
        Verify { what: what.to_owned(), trust: trust.map(str::to_owned), since: None }
    }

    #[test]
    fn what_is_no_receipt_is_invalid_and_what_cannot_be_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("receipt.txt");
        std::fs::write(&file, "no receipt").unwrap();
        assert_eq!(verify_file(&args(&file, Some(KEY))).unwrap(), Exit::EvidenceInvalid);
        let absent = verify_file(&args(&folder.path().join("absent"), Some(KEY))).unwrap_err();
        assert_eq!(absent.exit, Exit::Finding);
    }

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
        assert_eq!(verify_file(&args(&file("receipt.txt"), None)).unwrap(), Exit::Ok);

        let exit = |entry| from_folder(&file("evidence"), entry).unwrap_err().exit;
        assert_eq!(exit("bus.example/evidence/1"), Exit::EvidenceInvalid, "no such entry");
        assert_eq!(exit("other.example/evidence/0"), Exit::Finding, "another log");
        assert_eq!(exit("bus.example/evidence"), Exit::Usage, "no index");
    }

    #[test]
    fn the_trusted_key_is_given_or_lies_beside_and_is_never_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let what = folder.path().join("receipt.txt");
        assert_eq!(trust(&args(&what, None)).unwrap_err().exit, Exit::Usage);
        assert_eq!(trust(&args(&what, Some("no+key"))).unwrap_err().exit, Exit::Usage);
        std::fs::write(folder.path().join("evidence.pub"), format!("{KEY}\n")).unwrap();
        assert_eq!(trust(&args(&what, None)).unwrap().name(), "PeterNeumann");
        assert_eq!(trust(&args(&what, Some(KEY))).unwrap().name(), "PeterNeumann");
    }
}
