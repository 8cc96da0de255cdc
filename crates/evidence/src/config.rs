//! Where a log lies and what can be wrong with it.

use std::path::PathBuf;
use std::time::Duration;

/// A log's place, name and keys.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log's folder; made if it does not exist.
    pub path: PathBuf,
    /// The log's name in checkpoints and receipts; never changes.
    pub origin: String,
    /// File with the C2SP signed-note private key whose name is the origin.
    pub signing_key: PathBuf,
    /// File with the period's key: 64 hexadecimal digits.
    pub period_key: PathBuf,
    /// Time between checkpoints while the log grows.
    pub checkpoint_every: Duration,
    /// Entries that may wait for the disk at once; at least 1.
    pub queue: usize,
}

/// Why a log cannot be opened, read or closed. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refuses.
    #[error("evidence: {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process holds the log.
    #[error("evidence: {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A key file does not hold what it should.
    #[error("evidence: {}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The bytes on disk are not what was written.
    #[error("evidence: {} is damaged at byte {offset}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        problem: &'static str,
    },
    /// The log does not extend its own last checkpoint: it was cut or replaced.
    #[error("evidence: {} does not extend its checkpoint of {size} entries: {problem}", path.display())]
    Checkpoint {
        /// The log's folder.
        path: PathBuf,
        /// The checkpoint's size.
        size: u64,
        /// How it differs.
        problem: &'static str,
    },
    /// There is no such entry.
    #[error("evidence: the log has no entry {0}")]
    NoEntry(u64),
    /// The log can no longer be written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why there is no slot for a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoSlot {
    /// As many records as [`Config::queue`] wait for the disk, or calls hold their slots.
    #[error("the evidence log's queue is full")]
    Full,
    /// The log can no longer be written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The log cannot take an entry: a write has failed and will not be retried, or the log is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the evidence log cannot be written")]
pub struct Unavailable;
