//! `Index` is what an auditor knows of logs, in two SQLite files. `index.sqlite` has their entries with their
//! records and how far each log has been verified; it is derived, and is built again from the logs if it is
//! removed. `alarms.sqlite` has alarms, findings, and the last checkpoint that was verified of each log, to
//! which the log is held also when the other file is lost.
//!
//! Entries that have been read and not yet verified are in the file too, so that a start goes on where the
//! last one ended; no question and no rule sees them.

mod alarms;
mod entries;
mod findings;
mod schema;
mod search;
mod seen;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_evidence::verify::Prefix;
use chapar_evidence::{Checkpoint, Hash};
use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params,
};

pub use alarms::{Alarm, AlarmKind};
pub(crate) use entries::{Entry, key_of};
pub use findings::Finding;
pub(crate) use findings::New;
pub use search::{Found, Query};
pub(crate) use seen::Seen;

/// How long a command waits for another process's transaction: one holds some thousand entries.
const BUSY: Duration = Duration::from_secs(10);

/// An open index.
pub struct Index {
    path: PathBuf,
    db: Mutex<Connection>,
}

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// SQLite refuses.
    #[error("the index {}: {problem}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        problem: String,
    },
    /// A file cannot be made or read.
    #[error("the index {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// It was made by another version.
    #[error(
        "the index {} is of another version of Chapar: remove it, and it is built again from the logs",
        .0.display()
    )]
    Version(PathBuf),
    /// What is in it is not what was written.
    #[error(
        "the index {} is damaged: remove `index.sqlite`, and it is built again from the logs; put \
         `alarms.sqlite` back from a copy, if that is the damaged one",
        .0.display()
    )]
    Damaged(PathBuf),
    /// A log of this name was read under another key.
    #[error("the index {} holds {origin} under another key: which is the right one?", path.display())]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// The log.
        origin: String,
    },
}

/// A log as it is in the index.
#[derive(Clone, Debug)]
pub(crate) struct KnownLog {
    pub(crate) id: i64,
    /// All entries under the last good checkpoint.
    pub(crate) verified: Prefix,
    /// The note of that checkpoint; empty before the first.
    pub(crate) note: String,
    /// What has been read: those entries, and more where a start goes on.
    pub(crate) read: Prefix,
    /// How many of the verified entries the rules have seen.
    pub(crate) looked: u64,
    /// The last checkpoint that was verified, with its note, where the index has lost the entries under it.
    pub(crate) held_to: Option<(Checkpoint, String)>,
}

/// How far a log has been verified.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct LogProgress {
    /// Its name.
    pub origin: String,
    /// Entries that have been verified.
    pub verified: u64,
    /// Entries that have been read.
    pub read: u64,
    /// The first entry about a citizen whom no period key makes findable that the auditor had when it read
    /// it.
    pub unfindable_from: Option<u64>,
    /// When the log was last looked at without trouble, to 10 s; none if it never was.
    pub last_look: Option<Timestamp>,
}

/// The file of entries in an auditor's state folder.
pub fn index_path(state: &Path) -> PathBuf {
    state.join("index.sqlite")
}

/// The file of alarms and findings.
fn kept_path(state: &Path) -> PathBuf {
    state.join("alarms.sqlite")
}

impl Index {
    /// Opens the files in a state folder, and makes those that are not there.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open(state: &Path) -> Result<Self, IndexError> {
        for path in [index_path(state), kept_path(state)] {
            // They tell who asked about whom: nobody else may read them, whatever the folder's mode is.
            let made = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
            made.map_err(|error| IndexError::File { path, problem: error.to_string() })?;
        }
        Self::open_existing(state)
    }

    /// Opens the files that an auditor has made, also while one writes them.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open_existing(state: &Path) -> Result<Self, IndexError> {
        let path = index_path(state);
        let failed = |error| failed(&path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags).map_err(failed)?;
        db.busy_timeout(BUSY).map_err(failed)?;
        if !schema::prepare(&db, &kept_path(state)).map_err(failed)? {
            return Err(IndexError::Version(path));
        }
        Ok(Self { path, db: Mutex::new(db) })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, IndexError> {
        work(&mut self.db.lock()).map_err(|error| failed(&self.path, &error))
    }

    /// Does several writes together or not at all.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, IndexError> {
        self.with(|db| {
            // Begun as a writer: a reader that turns into one does not wait for another process.
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// The log of this name and key; a new one has no entries.
    pub(crate) fn log(&self, origin: &str, key: &str) -> Result<KnownLog, IndexError> {
        let (known, log, seen) = self.write(|db| {
            db.execute("INSERT OR IGNORE INTO logs (origin, key) VALUES (?1, ?2)", params![origin, key])?;
            db.execute("INSERT OR IGNORE INTO seen (log) VALUES (?1)", params![origin])?;
            let columns = "id, key, verified, note, read, looked";
            let mut log = db.prepare(&format!("SELECT {columns} FROM logs WHERE origin = ?1"))?;
            let (known, log) = log.query_row([origin], |row| {
                let prefix = |bytes: Option<Vec<u8>>| {
                    bytes.map_or(Some(Prefix::default()), |bytes| Prefix::from_bytes(&bytes))
                };
                let (verified, read) = (prefix(row.get(2)?), prefix(row.get(4)?));
                let (id, note, looked) = (row.get(0)?, row.get(3)?, row.get(5)?);
                let whole = verified.zip(read);
                let held_to = None;
                let log =
                    whole.map(|(verified, read)| KnownLog { id, verified, note, read, looked, held_to });
                Ok((row.get::<_, String>(1)?, log))
            })?;
            let mut seen = db.prepare("SELECT size, root, note FROM seen WHERE log = ?1")?;
            let seen = seen.query_row([origin], |row| {
                Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?))
            })?;
            Ok((known, log, seen))
        })?;
        if known != key {
            return Err(IndexError::OtherKey { path: self.path.clone(), origin: origin.to_owned() });
        }
        let damaged = || IndexError::Damaged(self.path.clone());
        let mut log = log.ok_or_else(damaged)?;
        let (size, root, note) = seen;
        if size > log.verified.size() {
            let root: Hash = root.try_into().map_err(|_| damaged())?;
            log.held_to = Some((Checkpoint { origin: origin.to_owned(), size, root }, note));
        }
        Ok(log)
    }

    /// Notes that a log was looked at without trouble.
    pub(crate) fn looked_at(&self, origin: &str, now: Timestamp) -> Result<(), IndexError> {
        self.with(|db| {
            let mut update = db.prepare_cached("UPDATE seen SET looked_ms = ?2 WHERE log = ?1")?;
            update.execute(params![origin, now.as_millisecond()]).map(drop)
        })
    }

    /// How far each log has been verified, by name.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn progress(&self) -> Result<Vec<LogProgress>, IndexError> {
        self.with(|db| {
            let mut logs = db.prepare(
                "SELECT l.origin, l.verified_size, l.read, p.first, s.looked_ms FROM logs l
                 LEFT JOIN seen s ON s.log = l.origin
                 LEFT JOIN periods p ON p.log = l.id AND p.period = x'' AND p.first < l.verified_size
                 ORDER BY l.origin",
            )?;
            let rows = logs.query_map([], |row| {
                let read = row.get::<_, Option<Vec<u8>>>(2)?.and_then(|bytes| Prefix::from_bytes(&bytes));
                let looked: Option<i64> = row.get(4)?;
                Ok(LogProgress {
                    origin: row.get(0)?,
                    verified: row.get(1)?,
                    read: read.map_or(0, |prefix| prefix.size()),
                    unfindable_from: row.get(3)?,
                    last_look: looked.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
                })
            })?;
            rows.collect()
        })
    }

    /// For each log with verified entries about citizens whom none of these period keys makes findable: its
    /// name, and the first of them.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn unfindable(&self, periods: &[[u8; 8]]) -> Result<Vec<(String, u64)>, IndexError> {
        let all = self.with(|db| {
            let mut all = db.prepare(
                "SELECT l.origin, p.first, p.period FROM periods p JOIN logs l ON l.id = p.log
                 WHERE p.first < l.verified_size ORDER BY p.first",
            )?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, u64, Vec<u8>)>>>()
        })?;
        let is_unknown = |period: &[u8]| !periods.iter().any(|known| known == period);
        Ok(all
            .into_iter()
            .filter(|(.., period)| is_unknown(period))
            .map(|(log, first, _)| (log, first))
            .collect())
    }

    /// Forgets a log's entries and what it was held to, so that it is read from its beginning; its alarms
    /// stay. Returns whether there was such a log.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn forget(&self, origin: &str) -> Result<bool, IndexError> {
        self.write(|db| {
            let id: Option<i64> = db
                .query_row("SELECT id FROM logs WHERE origin = ?1", [origin], |row| row.get(0))
                .optional()?;
            let Some(id) = id else { return Ok(false) };
            db.execute("DELETE FROM entries WHERE log = ?1", [id])?;
            db.execute("DELETE FROM periods WHERE log = ?1", [id])?;
            db.execute("DELETE FROM seen WHERE log = ?1", [origin])?;
            db.execute("DELETE FROM logs WHERE id = ?1", [id])?;
            Ok(true)
        })
    }
}

fn failed(path: &Path, error: &rusqlite::Error) -> IndexError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => IndexError::Damaged(path.to_owned()),
        _ => IndexError::Sqlite { path: path.to_owned(), problem: error.to_string() },
    }
}

#[cfg(test)]
pub(crate) mod tests;
