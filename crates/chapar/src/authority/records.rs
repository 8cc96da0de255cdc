//! What an authority has issued and revoked, as lines of JSON in `issued.jsonl` and `revoked.jsonl`. A line
//! is on disk before what it is about leaves the authority.

use std::io::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::to_hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Authority, Error, file};

/// One line of `issued.jsonl`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Entry {
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The identity that the certificate names.
    pub identity: String,
    /// SHA-256 of the certificate (DER), in hexadecimal.
    pub(super) sha256: String,
    /// SHA-256 of its SubjectPublicKeyInfo (DER), in hexadecimal; empty in entries of earlier versions.
    #[serde(default)]
    pub(super) key: String,
    /// When it was issued.
    pub at: Timestamp,
}

/// One line of `revoked.jsonl`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Revoked {
    pub(super) serial: String,
    pub(super) reason: Reason,
    pub(super) at: Timestamp,
}

/// Why a certificate is revoked (RFC 5280, §5.3.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No reason is given.
    Unspecified,
    /// The private key is, or may be, in other hands.
    KeyCompromise,
    /// The system has another certificate now.
    Superseded,
    /// The system is no longer in use.
    CessationOfOperation,
}

impl Authority {
    /// Refuses a key of which a certificate was revoked because others may have it.
    pub(super) fn check_key(&self, key_sha256: &str) -> Result<(), Error> {
        let compromised = |revoked: &Revoked| revoked.reason == Reason::KeyCompromise;
        let revoked: Vec<Revoked> = self.revoked()?.into_iter().filter(compromised).collect();
        let found = self.issued()?.into_iter().find(|entry| {
            entry.key == key_sha256 && revoked.iter().any(|revoked| revoked.serial == entry.serial)
        });
        found.map_or(Ok(()), |entry| Err(Error::Compromised(entry.serial)))
    }

    pub(super) fn entry_of(&self, der: &[u8]) -> Result<Entry, Error> {
        let sha256 = to_hex(digest(&SHA256, der).as_ref());
        self.issued()?.into_iter().find(|entry| entry.sha256 == sha256).ok_or(Error::Stranger)
    }

    pub(super) fn issued(&self) -> Result<Vec<Entry>, Error> {
        self.lines("issued.jsonl")
    }

    pub(super) fn revoked(&self) -> Result<Vec<Revoked>, Error> {
        self.lines("revoked.jsonl")
    }

    fn lines<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, Error> {
        let path = self.dir.join(name);
        let text = chapar_files::read_text_if_any(&path).map_err(|error| file(&path, &error.to_string()))?;
        // A new authority has issued and revoked nothing yet.
        let text = text.unwrap_or_default();
        // What would be appended to such a line could not be read again.
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(file(
                &path,
                "its last line is incomplete, as after a crash: complete or remove that line",
            ));
        }
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).map_err(|error| file(&path, &error.to_string())))
            .collect()
    }

    pub(super) fn append(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.dir.join(name);
        let line = serde_json::to_string(value).map_err(|error| file(&path, &error.to_string()))?;
        // Appended and synced, so that a crash cannot lose a certificate that was handed out.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = opened.and_then(|mut file| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| file(&path, &error.to_string()))
    }
}
