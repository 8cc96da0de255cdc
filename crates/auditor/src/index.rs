//! `Index` is what an auditor has read of logs, in an SQLite file: entries with their records, how far each
//! log has been verified, alarms and findings. Entries are derived: the file may be removed and is built
//! again from the logs.
//!
//! Entries that have been read and not yet verified are in the file too, so that a start goes on where the
//! last one ended; no question and no rule sees them.

mod alarms;
mod entries;
mod findings;
mod schema;
mod search;
mod seen;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_evidence::verify::Prefix;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

pub use alarms::{Alarm, AlarmKind};
pub(crate) use entries::{Entry, key_of};
pub use findings::Finding;
pub(crate) use findings::New;
pub use search::{Found, Query};
pub(crate) use seen::Seen;

/// How long a command waits for another process's transaction: one holds 1 MiB of entries.
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
    #[error("the index {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It was made by another version.
    #[error(
        "the index {} is of another version of Chapar: remove it, and it is built again from the logs",
        .0.display()
    )]
    Version(PathBuf),
    /// What is in it is not what was written.
    #[error("the index {} is damaged: remove it, and it is built again from the logs", .0.display())]
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
    /// Entries about citizens whom no configured period key made findable.
    pub unknown_period: u64,
}

impl Index {
    /// Opens the file, and makes it if it is not there.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        Self::opened(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a file that an auditor has made, also while one writes it.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open_existing(path: &Path) -> Result<Self, IndexError> {
        Self::opened(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn opened(path: &Path, flags: OpenFlags) -> Result<Self, IndexError> {
        let failed = |source| IndexError::Sqlite { path: path.to_owned(), source };
        let db =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
        db.busy_timeout(BUSY).map_err(failed)?;
        if !schema::prepare(&db).map_err(failed)? {
            return Err(IndexError::Version(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), db: Mutex::new(db) })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, IndexError> {
        work(&mut self.db.lock()).map_err(|source| IndexError::Sqlite { path: self.path.clone(), source })
    }

    /// The log of this name and key; a new one has no entries.
    pub(crate) fn log(&self, origin: &str, key: &str) -> Result<KnownLog, IndexError> {
        let found = self.with(|db| {
            db.execute("INSERT OR IGNORE INTO logs (origin, key) VALUES (?1, ?2)", params![origin, key])?;
            let columns = "id, key, verified, note, read, looked";
            let mut log = db.prepare(&format!("SELECT {columns} FROM logs WHERE origin = ?1"))?;
            log.query_row([origin], |row| {
                let prefix = |bytes: Option<Vec<u8>>| {
                    bytes.map_or(Some(Prefix::default()), |bytes| Prefix::from_bytes(&bytes))
                };
                let (verified, read) = (prefix(row.get(2)?), prefix(row.get(4)?));
                let (id, note, looked) = (row.get(0)?, row.get(3)?, row.get(5)?);
                let whole = verified.zip(read);
                let log = whole.map(|(verified, read)| KnownLog { id, verified, note, read, looked });
                Ok((row.get::<_, String>(1)?, log))
            })
        })?;
        match found {
            (known, _) if known != key => {
                Err(IndexError::OtherKey { path: self.path.clone(), origin: origin.to_owned() })
            }
            (_, None) => Err(IndexError::Damaged(self.path.clone())),
            (_, Some(log)) => Ok(log),
        }
    }

    /// How far each log has been verified, by name.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn progress(&self) -> Result<Vec<LogProgress>, IndexError> {
        let rows = self.with(|db| {
            let mut logs =
                db.prepare("SELECT origin, verified, read, unknown_period FROM logs ORDER BY origin")?;
            let rows = logs.query_map([], |row| {
                let size = |bytes: Option<Vec<u8>>| {
                    bytes.and_then(|bytes| Prefix::from_bytes(&bytes)).map_or(0, |prefix| prefix.size())
                };
                Ok(LogProgress {
                    origin: row.get(0)?,
                    verified: size(row.get(1)?),
                    read: size(row.get(2)?),
                    unknown_period: row.get(3)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(rows)
    }

    /// Forgets a log's entries, so that it is read from its beginning; its alarms stay. Returns whether there
    /// was such a log.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn forget(&self, origin: &str) -> Result<bool, IndexError> {
        self.with(|db| {
            let transaction = db.transaction()?;
            let id: Option<i64> =
                transaction.query_row("SELECT id FROM logs WHERE origin = ?1", [origin], |row| row.get(0)).optional()?;
            let Some(id) = id else { return Ok(false) };
            transaction.execute("DELETE FROM entries WHERE log = ?1", [id])?;
            transaction.execute(
                "UPDATE logs SET verified = NULL, read = NULL, note = '', verified_size = 0, looked = 0, unknown_period = 0 WHERE id = ?1",
                [id],
            )?;
            transaction.commit()?;
            Ok(true)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
