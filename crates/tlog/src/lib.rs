//! This crate implements transparency logs by their specifications: RFC 6962 Merkle trees, C2SP tiles,
//! checkpoints, signed notes, cosignatures, requests to witnesses and proof files. It does no I/O and uses
//! none of this project's crates, so it could be published by itself.
//!
//! Sources: RFC 6962 and RFC 9162 §2.1; C2SP `tlog-tiles`, `tlog-checkpoint`, `signed-note`,
//! `tlog-cosignature`, `tlog-witness`, `tlog-proof` (<https://c2sp.org>).

mod add_checkpoint;
mod checkpoint;
mod cosignature;
mod frontier;
mod hash;
mod note;
mod proof;
mod proof_file;
mod tile;

pub use add_checkpoint::{AddCheckpoint, AddCheckpointError};
pub use checkpoint::Checkpoint;
pub use cosignature::{CosignerKey, WitnessKey, cosigned_at};
pub use frontier::Frontier;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use note::{
    KeyError, NoteError, SigningKey, VerifierKey, count_signatures, only_signed_by, open_note, sign_note,
};
pub use proof::{
    HashSource, ProofError, consistency_proof, inclusion_proof, root, verify_consistency, verify_inclusion,
};
pub use proof_file::{ProofFile, ProofFileError};
pub use tile::{TILE_WIDTH, Tile, entries_path, fold};
