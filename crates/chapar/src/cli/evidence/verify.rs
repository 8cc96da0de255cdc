//! This module implements `chapar evidence verify`: it verifies a receipt or a log's folder, offline and with
//! public keys only.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chapar_evidence::verify::{self, Invalid, Witnesses};
use chapar_evidence::{CosignerKey, VerifierKey, cosigned_path};

use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Verify a receipt or a whole log, offline
///
/// For a receipt, the command verifies that its record is in the log, under a checkpoint that the log's key
/// has signed. For a folder, it verifies that every record is in the Merkle tree which the newest checkpoint
/// signs, and that no record is missing or altered. With `--witness`, witnesses must have cosigned the
/// receipt's checkpoint, or the newest checkpoint in the folder that is cosigned. The exit code is 4 if the
/// evidence is not valid.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar evidence verify receipt.txt --trust evidence.pub\n  chapar evidence verify DIR/evidence\n  chapar evidence verify receipt.txt --trust evidence.pub --witness a.pub --witness b.pub"
)]
pub(in crate::cli) struct Args {
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
    /// The public key of a witness (C2SP vkey), or a file that holds the key; may be repeated
    #[arg(long, value_name = "KEY|FILE")]
    witness: Vec<String>,
    /// How many of the witnesses must have cosigned; default: all
    #[arg(long, value_name = "N", requires = "witness")]
    quorum: Option<usize>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let trust = trust(args)?;
    let witnesses = witnesses(args)?;
    let read = |file: &Path| {
        let unreadable =
            |error| Failure::new(Exit::Finding, format_args!("cannot read {}: {error}", file.display()));
        std::fs::read(file).map_err(unreadable)
    };
    let since = args.since.as_deref().map(read).transpose()?;
    let since = since.map(|bytes| verify::checkpoint(&bytes, &trust, &Witnesses::default())).transpose();
    let since = since.map_err(|error| Failure::usage(format_args!("--since: {error}")))?;
    let verified = if args.what.is_dir() {
        folder(&args.what, &trust, since, &witnesses)
    // A receipt carries its own checkpoint, so holding it to an older one would prove nothing.
    } else if since.is_some() {
        return Err(Failure::usage("--since holds a whole log to a checkpoint: give the log's folder"));
    } else {
        let verified = verify::receipt_cosigned(&read(&args.what)?, &trust, &witnesses);
        verified.map(|verified| verified.sentence().to_owned())
    };
    match verified {
        Ok(sentence) => {
            out::data(sentence);
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

/// Verifies a log's folder. Its newest cosigned checkpoint is older than its newest one, and so is one that
/// it must extend.
fn folder(
    log: &Path,
    trust: &VerifierKey,
    since: Option<chapar_evidence::Checkpoint>,
    witnesses: &Witnesses,
) -> Result<String, Invalid> {
    let mut since: Vec<_> = since.into_iter().collect();
    let mut cosigned = String::new();
    if !witnesses.keys().is_empty() {
        let path = cosigned_path(log);
        let note = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let problem = format!("no checkpoint is cosigned: there is no {}", path.display());
                return Err(Invalid::Log(problem));
            }
            read => read.map_err(|source| Invalid::Read { path: path.clone(), source })?,
        };
        let of_file = |problem: String| Invalid::Log(format!("{}: {problem}", path.display()));
        let checkpoint =
            verify::checkpoint(&note, trust, witnesses).map_err(|error| of_file(error.to_string()))?;
        let text = String::from_utf8_lossy(&note);
        let seen = witnesses.check(&text).map_err(|problem| of_file(problem.to_owned()))?;
        // When it was is told: an older copy of the whole folder was cosigned too.
        let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
        cosigned = format!(" The first {} entries are cosigned by {}.", checkpoint.size, seen.join(" and "));
        since.push(checkpoint);
    }
    let verified = verify::directory(log, trust, &since)?;
    Ok(format!("{}{cosigned}", verified.sentence()))
}

/// The keys of `--witness`, and how many of them must have cosigned.
fn witnesses(args: &Args) -> Result<Witnesses, Failure> {
    if args.witness.is_empty() {
        return Ok(Witnesses::default());
    }
    let keys = args.witness.iter().map(|given| {
        let (text, from) = key_text(given, "--witness")?;
        text.trim()
            .parse()
            .map_err(|error| Failure::usage(format_args!("{from} is no key of a witness: {error}")))
    });
    let keys: Vec<CosignerKey> = keys.collect::<Result<_, Failure>>()?;
    let quorum = args.quorum.unwrap_or(keys.len());
    Witnesses::new(keys, quorum).map_err(|error| Failure::usage(format_args!("--witness: {error}")))
}

/// The key that verifies the evidence: `--trust`, or `evidence.pub` beside the evidence. The second is
/// announced, because whoever replaced the evidence could have replaced that file as well.
fn trust(args: &Args) -> Result<VerifierKey, Failure> {
    let (text, from) = match &args.trust {
        Some(given) => key_text(given, "--trust")?,
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

/// A key that was given as such or as a file, and where it is from.
fn key_text(given: &str, option: &str) -> Result<(String, String), Failure> {
    // A key contains `+`. A file of such a name is still read as a file.
    if given.contains('+') && !Path::new(given).exists() {
        return Ok((given.to_owned(), option.to_owned()));
    }
    Ok((read_key(Path::new(given))?, given.to_owned()))
}

fn read_key(file: &Path) -> Result<String, Failure> {
    chapar_files::read_text(file)
        .map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
impl Args {
    pub(super) fn of(what: &Path, trust: Option<&str>) -> Self {
        let trust = trust.map(str::to_owned);
        Self { what: what.to_owned(), trust, since: None, witness: Vec::new(), quorum: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example key of the Go package `sumdb/note`.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn what_is_no_receipt_is_invalid_and_what_cannot_be_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("receipt.txt");
        std::fs::write(&file, "no receipt").unwrap();
        assert_eq!(run(&Args::of(&file, Some(KEY))).unwrap(), Exit::EvidenceInvalid);
        let absent = run(&Args::of(&folder.path().join("absent"), Some(KEY))).unwrap_err();
        assert_eq!(absent.exit, Exit::Finding);
    }

    #[test]
    fn the_trusted_key_is_given_or_lies_beside_and_is_never_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let what = folder.path().join("receipt.txt");
        assert_eq!(trust(&Args::of(&what, None)).unwrap_err().exit, Exit::Usage);
        assert_eq!(trust(&Args::of(&what, Some("no+key"))).unwrap_err().exit, Exit::Usage);
        std::fs::write(folder.path().join("evidence.pub"), format!("{KEY}\n")).unwrap();
        assert_eq!(trust(&Args::of(&what, None)).unwrap().name(), "PeterNeumann");
        assert_eq!(trust(&Args::of(&what, Some(KEY))).unwrap().name(), "PeterNeumann");
    }
}
