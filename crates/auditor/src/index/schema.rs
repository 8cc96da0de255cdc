//! The tables of an index.

use rusqlite::Connection;

/// The version of these tables (`PRAGMA user_version`).
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    -- Prefixes of the log, and the note of the checkpoint over the verified one.
    verified BLOB,
    read BLOB,
    note TEXT NOT NULL DEFAULT '',
    verified_size INTEGER NOT NULL DEFAULT 0,
    -- Entries that the rules have seen.
    looked INTEGER NOT NULL DEFAULT 0,
    unknown_period INTEGER NOT NULL DEFAULT 0
);
-- A clerk is one of a caller; calls that name none have one with an empty name.
CREATE TABLE clerks (
    id INTEGER PRIMARY KEY,
    caller TEXT NOT NULL,
    clerk TEXT NOT NULL,
    UNIQUE (caller, clerk)
);
CREATE TABLE entries (
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
CREATE INDEX entries_subject ON entries (subject, time_ms) WHERE subject IS NOT NULL;
CREATE INDEX entries_clerk ON entries (clerk, time_ms, subject);
CREATE INDEX entries_time ON entries (time_ms);
CREATE TABLE alarms (
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
CREATE UNIQUE INDEX alarms_open ON alarms (log, kind) WHERE ended_ms IS NULL;
CREATE TABLE findings (
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

/// Makes the tables if the file is new. Returns whether they are of this version.
pub(super) fn prepare(db: &Connection) -> rusqlite::Result<bool> {
    // A reader does not stop the writer. What a power loss takes back of a derived file is read again.
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // Freed pages are reused: an index that is read again is not left twice as large.
    db.pragma_update(None, "cache_size", -65_536)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        db.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
        return Ok(true);
    }
    Ok(version == VERSION)
}
