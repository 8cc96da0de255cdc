//! This module defines a log's settings and its errors.

use std::path::PathBuf;
use std::time::Duration;

/// A log's place, name and keys.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log's folder; made if it does not exist.
    pub path: PathBuf,
    /// The folder that remembers what was signed last, apart from the log: best on another disk, and not in
    /// the log's backup.
    pub state: PathBuf,
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
    /// Bytes that the disk must have free for records to be taken; what is under way is written into them.
    pub low_water: u64,
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
    /// There is no room on the disk. Nothing is damaged: the log goes on when there is.
    #[error("evidence: the disk has no room for {}: {source}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log holds fewer entries than were signed, or others: it was cut, replaced, or is an older copy.
    #[error(
        "evidence: {} holds {found} entries{problem}, and {signed} were signed according to {}. If a newer \
         copy of the folder exists, put it back. If not, accept the loss, which is then recorded in the log: \
         `chapar evidence accept-loss --config FILE --who NAME --reason TEXT`",
        path.display(), state.display()
    )]
    Lost {
        /// The log's folder.
        path: PathBuf,
        /// The file that remembers what was signed.
        state: PathBuf,
        /// Entries in the log.
        found: u64,
        /// Entries that were signed.
        signed: u64,
        /// How the log differs, if it is not just shorter.
        problem: &'static str,
    },
    /// There is no loss to accept.
    #[error("evidence: {} holds all entries that were signed: there is no loss to accept", .0.display())]
    NothingLost(PathBuf),
    /// The log has entries, but there is no state file that says what was signed last.
    #[error(
        "evidence: {} holds {found} entries, but {} is missing, the file that records what was signed last. \
         If the file was moved, name its folder as `state` in `[evidence]`. If the file is lost, or an older \
         version without such a file wrote the log, accept that: \
         `chapar evidence accept-loss --config FILE --who NAME --reason TEXT`",
        path.display(), state.display()
    )]
    StateMissing {
        /// The log's folder.
        path: PathBuf,
        /// The file that should be there.
        state: PathBuf,
        /// Entries in the log.
        found: u64,
    },
    /// The log's folder or its newest segment is not at its path any more, or is shorter than what was
    /// written.
    #[error(
        "evidence: {} was {change} while the log was in use: restart the gateway, which verifies the log",
        path.display()
    )]
    Moved {
        /// The folder or file.
        path: PathBuf,
        /// What happened to it.
        change: &'static str,
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
    /// A note that is not of a checkpoint of this log.
    #[error("evidence: not written to {}: the note is not of a checkpoint that this log published", .0.display())]
    Cosigned(PathBuf),
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
    QueueFull,
    /// The disk has less room than [`Config::low_water`].
    #[error("the evidence log's disk is full")]
    DiskFull,
    /// No checkpoint has been cosigned by witnesses for too long.
    #[error("witnesses have not cosigned the evidence log for too long")]
    Unwitnessed,
    /// The log can no longer be written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The log cannot take an entry: a write has failed and will not be retried, or the log is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the evidence log cannot be written")]
pub struct Unavailable;
