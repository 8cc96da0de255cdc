//! Receipts: record, proof and signed checkpoint in one file, a C2SP `tlog-proof` that any such tool can read.

use std::path::Path;

use chapar_tlog::{ProofFile, ProofFileError};
use prost::Message as _;

use crate::record::pb::ReceiptExtra;

/// One entry's receipt. Holds no payload and no citizen's id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt(pub(crate) ProofFile);

impl Receipt {
    pub(crate) fn extra(record: &[u8], salt: &[u8; 32]) -> Vec<u8> {
        ReceiptExtra { record: record.to_vec(), salt: salt.to_vec() }.encode_to_vec()
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_text().into_bytes()
    }

    /// Reads a file's bytes. Nothing is verified yet.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ProofFileError)?;
        ProofFile::parse(text).map(Self)
    }

    /// The entry's index.
    pub fn index(&self) -> u64 {
        self.0.index
    }
}

/// The receipt of an entry from a log's folder, up to its published checkpoint. Without the period's key the salt is left out.
///
/// # Errors
/// [`crate::verify::Invalid`] if the folder's bytes do not support one.
pub fn from_directory(path: &Path, index: u64) -> Result<Receipt, crate::verify::Invalid> {
    let log = crate::verify::read_directory(path)?;
    let note = log.note.clone();
    let proof = log.inclusion_proof(index)?;
    let record = log.entry(index)?;
    Ok(Receipt(ProofFile {
        extra: ReceiptExtra { record, salt: Vec::new() }.encode_to_vec(),
        index,
        proof,
        checkpoint: note,
    }))
}
