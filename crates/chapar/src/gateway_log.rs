//! The evidence log of one gateway as those who are asked about it read it: with the settings file of the gateway, which
//! names the log, the key that verifies it and the period key. It leaves out which entries are wanted.

use std::path::Path;

use chapar_evidence::verify::{self, Invalid, Verified};
use chapar_evidence::{Pseudonyms, Record, VerifierKey};
use chapar_gateway::Config;

use crate::exit::{Exit, Failure};

/// One gateway's log.
pub(crate) struct GatewayLog {
    pub(crate) config: Config,
    trust: VerifierKey,
    pub(crate) pseudonyms: Pseudonyms,
}

impl GatewayLog {
    /// Reads settings and keys, not the log.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::error(Exit::Finding, error);
        let config = Config::load(file).map_err(failed)?;
        // The public half lies beside the key that signs. The key itself is not read.
        let public = config.evidence.signing_key.with_extension("pub");
        let text = chapar_files::read_text(&public)
            .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", public.display())))?;
        let trust = text
            .trim()
            .parse()
            .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", public.display())))?;
        let pseudonyms = Pseudonyms::read(&config.evidence.period_key)
            .map_err(|error| Failure::error(Exit::Finding, error))?;
        Ok(Self { config, trust, pseudonyms })
    }

    /// Verifies the log and shows each record to `visit`; what was verified.
    ///
    /// # Errors
    /// Exit 4 if the log is not valid: then nothing that was seen counts.
    pub(crate) fn read(&self, visit: &mut dyn FnMut(u64, &Record)) -> Result<Verified, Failure> {
        match verify::read_directory(&self.config.evidence.path, &self.trust, None, visit) {
            Ok(verified) => Ok(verified),
            Err(unreadable @ Invalid::Read { .. }) => Err(Failure::error(Exit::Finding, unreadable)),
            Err(invalid) => Err(Failure::error(Exit::EvidenceInvalid, invalid)),
        }
    }

    /// The name of an entry.
    pub(crate) fn entry(&self, index: u64) -> String {
        format!("{}/{index}", self.config.evidence.origin)
    }
}

/// Opens the logs of the gateways whose settings, `gateway.toml`, `gateway-2.toml`, …, are in a folder.
///
/// # Errors
/// If there are none, or what cannot be read.
pub(crate) fn in_folder(dir: &Path) -> Result<Vec<GatewayLog>, Failure> {
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
    found.iter().map(|file| GatewayLog::open(file)).collect()
}
