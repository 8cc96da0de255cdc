//! This module verifies logs and receipts with public keys only, by a reader that is independent of the
//! writer. It follows `docs/reference/evidence-format.md`, and shares with the writer only `chapar_tlog` and
//! the generated record.

mod directory;
mod prefix;
mod sentence;
mod witnesses;

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use chapar_tlog::{
    Checkpoint, ProofFile, VerifierKey, count_signatures, leaf_hash, open_note, verify_inclusion,
};
use prost::Message as _;

use crate::record::pb::{Kind, ReceiptExtra, Record};

pub use directory::{directory, read_directory};
pub use prefix::Prefix;
pub use witnesses::{Cosigned, Witnesses, WitnessesError};

/// The record format that this reader knows.
const VERSION: u32 = 1;

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
    /// An entry is wrong.
    #[error("INVALID: entry {index}, {} at byte {offset}: {problem}", path.display())]
    Entry {
        /// 0-based.
        index: u64,
        /// The segment that holds it.
        path: PathBuf,
        /// Where its frame begins.
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
    record: Option<Record>,
}

impl Verified {
    /// What was proved, in one sentence that begins with `VALID`.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The record that a receipt proves; none for a whole log.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }
}

/// Verifies a receipt: the record is in the log that `trust` signs. Cosignatures are counted in the sentence
/// and not checked.
///
/// # Errors
/// [`Invalid::Receipt`] saying which part fails.
pub fn receipt(bytes: &[u8], trust: &VerifierKey) -> Result<Verified, Invalid> {
    receipt_cosigned(bytes, trust, &Witnesses::default())
}

/// As [`receipt`]; besides, so many of these witnesses have cosigned its checkpoint as must have.
///
/// # Errors
/// As [`receipt`].
pub fn receipt_cosigned(
    bytes: &[u8],
    trust: &VerifierKey,
    witnesses: &Witnesses,
) -> Result<Verified, Invalid> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::Receipt("is not text"))?;
    let file = ProofFile::parse(text).map_err(|_| Invalid::Receipt("is not a proof file"))?;
    let extra =
        ReceiptExtra::decode(file.extra.as_slice()).map_err(|_| Invalid::Receipt("holds no record"))?;
    // Unknown fields would be carried in a file that is called valid, so the encoding must be exactly that of
    // what was read.
    if extra.encode_to_vec() != file.extra {
        return Err(Invalid::Receipt("holds more than a record and its salt"));
    }
    let (checkpoint, others) = signed_checkpoint(&file.checkpoint, trust).map_err(Invalid::Receipt)?;
    let cosigned = witnesses.check(&file.checkpoint).map_err(Invalid::Receipt)?;
    let leaf = leaf_hash(&extra.record);
    verify_inclusion(&leaf, file.index, checkpoint.size, &file.proof, &checkpoint.root)
        .map_err(|_| Invalid::Receipt("does not prove that the record is in the log"))?;
    // The record is read only after its proof holds, so that no text of a forged receipt is shown as
    // evidence.
    let record = known_record(&extra.record).map_err(Invalid::Receipt)?;
    // The salt is optional: a receipt made from a copy of the folder has none.
    if !extra.salt.is_empty() && digest(&SHA256, &extra.salt).as_ref() != record.salt_hash {
        return Err(Invalid::Receipt("carries a salt that is not the record's"));
    }
    let sentence = format!(
        "VALID: {} Entry {} of log {}, checkpoint of {} entries signed by {}{}. Checked offline.",
        sentence::tell(&record),
        file.index,
        checkpoint.origin,
        checkpoint.size,
        trust.name(),
        sentence::cosigned(&cosigned, others.saturating_sub(cosigned.len()))
    );
    Ok(Verified { sentence, record: Some(record) })
}

/// The checkpoint in a signed note, or in a receipt: something to hold a log to later. So many of these
/// witnesses have cosigned it as must have.
///
/// # Errors
/// [`Invalid::Receipt`] if it is neither, `trust` did not sign it, or too few cosigned it.
pub fn checkpoint(bytes: &[u8], trust: &VerifierKey, witnesses: &Witnesses) -> Result<Checkpoint, Invalid> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::Receipt("is not text"))?;
    let note = ProofFile::parse(text).map_or_else(|_| text.to_owned(), |file| file.checkpoint);
    let (checkpoint, _) = signed_checkpoint(&note, trust).map_err(Invalid::Receipt)?;
    witnesses.check(&note).map_err(Invalid::Receipt)?;
    Ok(checkpoint)
}

/// The checkpoint in a note that `trust` signed for its own log, and the number of other signature lines:
/// those of witnesses, and of others (C2SP `signed-note`), which are not checked here.
fn signed_checkpoint(note: &str, trust: &VerifierKey) -> Result<(Checkpoint, usize), &'static str> {
    let text = open_note(note, trust).map_err(|_| "has a checkpoint that the trusted key did not sign")?;
    let checkpoint: Checkpoint = text.parse().map_err(|_| "has a malformed checkpoint")?;
    if checkpoint.origin != trust.name() {
        return Err("has a checkpoint of another log");
    }
    let lines = count_signatures(note).map_err(|_| "has a malformed checkpoint")?;
    Ok((checkpoint, lines.saturating_sub(1)))
}

/// When an entry was written, in milliseconds since the Unix epoch: some time after its call came in. Nothing
/// if it is no record.
pub fn written_ms(entry: &[u8]) -> Option<u64> {
    let record = known_record(entry).ok()?;
    Some(record.time_unix_ms.saturating_add(record.latency_us / 1000))
}

/// The record that an entry encodes, if it is of a format and kind that this reader knows.
fn known_record(entry: &[u8]) -> Result<Record, &'static str> {
    let record = Record::decode(entry).map_err(|_| "holds something that is no record")?;
    match Kind::try_from(record.kind) {
        Ok(Kind::Unspecified) | Err(_) => Err("holds a record of no known kind"),
        Ok(_) if record.version == VERSION => Ok(record),
        Ok(_) => Err("holds a record of another version of the format"),
    }
}
