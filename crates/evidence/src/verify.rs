//! Verification with public keys only: an independent reader of the bytes on disk and in receipts. It follows
//! `docs/reference/evidence-format.md` and calls none of the code that writes.

mod directory;

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use chapar_tlog::{Checkpoint, ProofFile, VerifierKey, leaf_hash, open_note, verify_inclusion};
use jiff::Timestamp;
use prost::Message as _;

use crate::record::pb::{Kind, ReceiptExtra, Record};

pub use directory::directory;
pub(crate) use directory::read_directory;

/// Evidence that does not hold, and where.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's bytes are wrong.
    #[error("INVALID: {} at byte {offset}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        problem: &'static str,
    },
    /// The log is not what its checkpoint signs.
    #[error("INVALID: {0}")]
    Log(String),
    /// The receipt does not prove its record.
    #[error("INVALID: the receipt {0}")]
    Receipt(&'static str),
}

/// Evidence that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    sentence: String,
    records: Vec<Record>,
}

impl Verified {
    /// What was proved, in one sentence that begins with `VALID`.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The record that a receipt proves; none for a whole log.
    pub fn record(&self) -> Option<&Record> {
        self.records.first()
    }
}

/// Verifies a receipt: the record is in the log that `trust` signs.
///
/// # Errors
/// [`Invalid::Receipt`] saying which part fails.
pub fn receipt(bytes: &[u8], trust: &VerifierKey) -> Result<Verified, Invalid> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::Receipt("is not text"))?;
    let file = ProofFile::parse(text).map_err(|_| Invalid::Receipt("is not a proof file"))?;
    let extra = ReceiptExtra::decode(file.extra.as_slice()).map_err(|_| Invalid::Receipt("holds no record"))?;
    if extra.encode_to_vec() != file.extra {
        return Err(Invalid::Receipt("holds more than a record and its salt"));
    }
    let checkpoint = signed_checkpoint(&file.checkpoint, trust)?;
    let leaf = leaf_hash(&extra.record);
    verify_inclusion(&leaf, file.index, checkpoint.size, &file.proof, &checkpoint.root)
        .map_err(|_| Invalid::Receipt("does not prove that the record is in the log"))?;
    let record =
        Record::decode(extra.record.as_slice()).map_err(|_| Invalid::Receipt("proves something that is no record"))?;
    if !extra.salt.is_empty() && digest(&SHA256, &extra.salt).as_ref() != record.salt_hash {
        return Err(Invalid::Receipt("carries a salt that is not the record's"));
    }
    let sentence = format!(
        "VALID: {} Entry {} of log {}, checkpoint of {} entries signed by {}. Checked offline.",
        tell(&record),
        file.index,
        checkpoint.origin,
        checkpoint.size,
        trust.name()
    );
    Ok(Verified { sentence, records: vec![record] })
}

fn signed_checkpoint(note: &str, trust: &VerifierKey) -> Result<Checkpoint, Invalid> {
    let text =
        open_note(note, trust).map_err(|_| Invalid::Receipt("has a checkpoint that the trusted key did not sign"))?;
    let checkpoint: Checkpoint = text.parse().map_err(|_| Invalid::Receipt("has a malformed checkpoint"))?;
    // The file must be what is signed and nothing more: one signature line, the trusted one.
    let lines = note.get(text.len() + 1..).unwrap_or_default().lines().count();
    if checkpoint.origin == trust.name() && lines == 1 {
        Ok(checkpoint)
    } else {
        Err(Invalid::Receipt("has a checkpoint of another log, or one signed by others too"))
    }
}

/// What a record says, as a sentence.
fn tell(record: &Record) -> String {
    let when = i64::try_from(record.time_unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let purpose = if record.purpose.is_empty() { "no stated purpose".to_owned() } else { record.purpose.clone() };
    let behalf =
        if record.on_behalf_of.is_empty() { String::new() } else { format!(" on behalf of {}", record.on_behalf_of) };
    let case = if record.case.is_empty() { String::new() } else { format!(", case {}", record.case) };
    let method = if record.method.is_empty() { "an unknown method" } else { &record.method };
    match record.kind() {
        Kind::Refusal => {
            format!("on {when} {} was refused {method}{behalf} for {purpose}{case}: {}.", record.caller, record.outcome)
        }
        _ => format!(
            "on {when} {} received {} field{} of {method}{behalf} for {purpose}{case}.",
            record.caller,
            record.disclosed.len(),
            if record.disclosed.len() == 1 { "" } else { "s" }
        ),
    }
}
