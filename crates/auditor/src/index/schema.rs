//! The tables of an index, in two files: what is derived from the logs, and what is not (`kept`): alarms,
//! findings, and the last checkpoint that was verified of each log.

use std::path::Path;

use rusqlite::Connection;

/// The version of these tables (`PRAGMA user_version`).
const VERSION: i64 = 1;

const DERIVED: &str = "
CREATE TABLE main.logs (
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    -- Prefixes of the log, and the note of the checkpoint over the verified one.
    verified BLOB,
    read BLOB,
    note TEXT NOT NULL DEFAULT '',
    verified_size INTEGER NOT NULL DEFAULT 0,
    -- Entries that the rules have seen.
    looked INTEGER NOT NULL DEFAULT 0
);
-- Which period keys made the pseudonyms of a log's entries, and in which entry first; empty for a key that the
-- auditor did not have.
CREATE TABLE main.periods (
    log INTEGER NOT NULL,
    period BLOB NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY (log, period)
) WITHOUT ROWID;
-- A clerk is one of a caller; calls that name none have one with an empty name.
CREATE TABLE main.clerks (
    id INTEGER PRIMARY KEY,
    caller TEXT NOT NULL,
    clerk TEXT NOT NULL,
    UNIQUE (caller, clerk)
);
CREATE TABLE main.entries (
    log INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    clerk INTEGER NOT NULL,
    -- The first 16 bytes of the pseudonym.
    subject BLOB,
    has_case INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (log, idx)
) WITHOUT ROWID;
CREATE INDEX main.entries_subject ON entries (subject, time_ms) WHERE subject IS NOT NULL;
CREATE INDEX main.entries_clerk ON entries (clerk, time_ms, subject);
CREATE INDEX main.entries_time ON entries (time_ms);
";

const KEPT: &str = "
CREATE TABLE kept.seen (
    log TEXT PRIMARY KEY,
    size INTEGER NOT NULL DEFAULT 0,
    root BLOB NOT NULL DEFAULT x'',
    note TEXT NOT NULL DEFAULT '',
    -- When the log was last looked at.
    looked_ms INTEGER
);
CREATE TABLE kept.alarms (
    id INTEGER PRIMARY KEY,
    log TEXT NOT NULL,
    kind TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    sentence TEXT NOT NULL,
    -- Signed notes that show it.
    proof TEXT NOT NULL,
    ended_ms INTEGER,
    ended_by TEXT,
    reason TEXT
);
CREATE UNIQUE INDEX kept.alarms_open ON alarms (log, kind) WHERE ended_ms IS NULL;
CREATE TABLE kept.findings (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    caller TEXT NOT NULL,
    clerk TEXT NOT NULL,
    -- What makes it one finding: a stretch of time, or a pseudonym and one.
    about TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    entry TEXT NOT NULL,
    UNIQUE (rule, caller, clerk, about)
);
";

/// Attaches the second file, and makes the tables that a file does not have yet. Returns whether they are of
/// this version.
pub(super) fn prepare(db: &Connection, kept: &Path) -> rusqlite::Result<bool> {
    db.execute("ATTACH DATABASE ?1 AS kept", [kept.to_string_lossy()])?;
    for (file, synchronous, tables) in [("main", "NORMAL", DERIVED), ("kept", "FULL", KEPT)] {
        // A reader does not stop the writer. What a power loss takes back of what is derived is read again.
        db.pragma_update(Some(file), "journal_mode", "WAL")?;
        db.pragma_update(Some(file), "synchronous", synchronous)?;
        let version = |db: &Connection| {
            db.query_row(&format!("PRAGMA {file}.user_version"), [], |row| row.get::<_, i64>(0))
        };
        if version(db)? == 0 {
            // Asked again under the lock: another process may have made them meanwhile.
            db.execute_batch("BEGIN IMMEDIATE")?;
            let made = match version(db)? {
                0 => db.execute_batch(&format!("{tables} PRAGMA {file}.user_version = {VERSION};")),
                _ => Ok(()),
            };
            db.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            made?;
        }
        if version(db)? != VERSION {
            return Ok(false);
        }
    }
    // 64 MiB: the upper pages of the indexes of some ten million entries.
    db.pragma_update(None, "cache_size", -65_536)?;
    Ok(true)
}
