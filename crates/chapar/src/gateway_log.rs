//! `GatewayLog` opens one gateway's evidence log by its settings file, which names the log, the verifying
//! key, the state of the last signature and the period key, and verifies the log while reading it. Which
//! entries are wanted is not decided here.

use std::path::{Path, PathBuf};

use chapar_evidence::verify::{self, Invalid, Witnesses};
use chapar_evidence::{Checkpoint, Pseudonyms, Record, VerifierKey};
use chapar_gateway::Config;

use crate::exit::{Exit, Failure};
use crate::out;

/// One gateway's log.
pub(crate) struct GatewayLog {
    pub(crate) config: Config,
    trust: VerifierKey,
    /// The key in force, and those of other periods.
    keys: Vec<Pseudonyms>,
}

/// What a log held.
pub(crate) struct Checked {
    pub(crate) origin: String,
    /// What was verified, in a sentence.
    pub(crate) sentence: String,
}

impl GatewayLog {
    /// Reads settings and keys, not the log. `periods` holds the keys of other periods.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn open(file: &Path, periods: &[PathBuf]) -> Result<Self, Failure> {
        let config = Config::load(file).map_err(|error| Failure::error(Exit::Finding, error))?;
        // The public half lies beside the key that signs. The key itself is not read.
        let public = config.evidence.signing_key.with_extension("pub");
        let wrong =
            |error: String| Failure::new(Exit::Finding, format_args!("{}: {error}", public.display()));
        let text = chapar_files::read_text(&public).map_err(|error| wrong(error.to_string()))?;
        let trust = text.trim().parse::<VerifierKey>().map_err(|error| wrong(error.to_string()))?;
        let files = std::iter::once(&config.evidence.period_key).chain(periods);
        let keys: Result<Vec<_>, _> = files.map(|file| Pseudonyms::read(file)).collect();
        let keys = keys.map_err(|error| Failure::error(Exit::Finding, error))?;
        Ok(Self { config, trust, keys })
    }

    /// Verifies the log, also against what it has signed last, and shows each record to `visit`.
    ///
    /// # Errors
    /// Exit 4 if the log is not valid, or is an older copy: then nothing that was seen counts.
    pub(crate) fn read(&self, visit: &mut dyn FnMut(u64, &Record)) -> Result<Checked, Failure> {
        // Read before the log, which only grows past it.
        let since = self.last_signed()?;
        let verified =
            verify::read_directory(&self.config.evidence.path, &self.trust, since.as_slice(), visit);
        let verified = verified.map_err(invalid)?;
        Ok(Checked { origin: self.config.evidence.origin.clone(), sentence: verified.sentence().to_owned() })
    }

    /// As [`read`](Self::read), of records about one citizen: an id in its canonical form.
    ///
    /// # Errors
    /// Besides, if records are under a period key that is not there: any of them may be about this citizen.
    pub(crate) fn read_about(
        &self,
        subject: &str,
        visit: &mut dyn FnMut(u64, &Record, bool),
    ) -> Result<Checked, Failure> {
        let pseudonyms: Vec<_> = self.keys.iter().map(|key| (key, key.of(subject))).collect();
        let mut other = 0_u64;
        let checked = self.read(&mut |index, record| {
            let is_about = if record.subject_pseudonym.is_empty() {
                false
            } else if let Some((_, pseudonym)) = pseudonyms.iter().find(|(key, _)| key.made(record)) {
                record.subject_pseudonym == pseudonym
            } else {
                other += 1;
                false
            };
            visit(index, record, is_about);
        })?;
        if other > 0 {
            return Err(Failure::new(
                Exit::Finding,
                format_args!(
                    "{other} entries of {} are under another period key, so nobody can tell whether they are about this \
                     citizen: name that key by `--period-key`",
                    checked.origin
                ),
            ));
        }
        Ok(checked)
    }

    fn last_signed(&self) -> Result<Option<Checkpoint>, Failure> {
        let file = chapar_evidence::last_signed_path(&self.config.evidence_state());
        match std::fs::read(&file) {
            Ok(note) => match verify::checkpoint(&note, &self.trust, &Witnesses::default()) {
                Ok(checkpoint) => Ok(Some(checkpoint)),
                Err(_) => Err(Failure::new(
                    Exit::EvidenceInvalid,
                    format_args!("INVALID: {} is no checkpoint that the log's key signed", file.display()),
                )),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                out::say(format_args!(
                    "{} is not there, so nothing tells whether {} is an older copy",
                    file.display(),
                    self.config.evidence.path.display()
                ));
                Ok(None)
            }
            Err(error) => Err(Failure::new(Exit::Finding, format_args!("{}: {error}", file.display()))),
        }
    }

    /// The name of an entry.
    pub(crate) fn entry(&self, index: u64) -> String {
        format!("{}/{index}", self.config.evidence.origin)
    }
}

/// Evidence that does not hold is exit 4. A file that cannot be read says nothing about the evidence.
pub(crate) fn invalid(invalid: Invalid) -> Failure {
    let exit = if matches!(invalid, Invalid::Read { .. }) { Exit::Finding } else { Exit::EvidenceInvalid };
    Failure::error(exit, invalid)
}

/// The settings files of gateways, `gateway.toml`, `gateway-2.toml`, …, in a folder.
///
/// # Errors
/// If there are none, or it cannot be read.
pub(crate) fn settings_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::new(Exit::Finding, format_args!("{}: {error}", dir.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("gateway") && name.ends_with(".toml") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(Exit::Finding, format_args!("{} has no gateway.toml", dir.display())));
    }
    Ok(found)
}
