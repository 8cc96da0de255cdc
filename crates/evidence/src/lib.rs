//! The evidence log keeps durable records of disclosures and refusals, in a Merkle tree with signed
//! checkpoints, and gives receipts that verify with public keys only. The bytes are described in
//! `docs/reference/evidence-format.md`.
//!
//! Left out: what a call means and who may make it. `verify` reads the same format and calls none of this
//! crate's code that writes it.

mod accept_loss;
mod bundle;
mod completions;
mod config;
mod disk;
mod draft;
mod entry;
mod files;
mod keys;
mod last_signed;
mod log;
mod publisher;
mod receipt;
mod recent;
mod recheck;
mod recover;
mod resume;
mod scan;
mod segment;
mod slot;
mod state;
mod tiles;
pub mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use accept_loss::{Loss, accept_loss};
pub use chapar_tlog::{
    AddCheckpoint, AddCheckpointError, Checkpoint, CosignerKey, Hash, KeyError, NoteError, VerifierKey,
    WitnessKey, cosigned_at, leaf_hash, only_signed_by, open_note, verify_consistency,
};
pub use config::{Config, Error, NoSlot, Unavailable};
pub use disk::{Disk, DiskFile, Identity, OsDisk};
pub use draft::RecordDraft;
pub use entry::{Entry, Opening};
pub use keys::{Pseudonyms, create_keys};
pub use last_signed::path as last_signed_path;
pub use log::{Log, SignedCheckpoint, check, cosigned_path};
pub use receipt::{Receipt, from_directory, published_entries};
pub use record::pb::{Kind, Record};
pub use slot::{Appended, Slot};
pub use state::{Commit, Condition, LogStatus, SLOW_DISK};

/// The version of [`Record`] that this crate writes.
pub const RECORD_VERSION: u32 = 1;

/// The outcome with which a stream is closed whose gateway ended before it.
pub const UNKNOWN_OUTCOME: &str = "UNKNOWN_OUTCOME";

mod record {
    /// Generated from `proto/chapar/evidence/v1/evidence.proto`.
    #[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    pub mod pb {
        include!(concat!(env!("OUT_DIR"), "/chapar.evidence.v1.rs"));
    }
}
