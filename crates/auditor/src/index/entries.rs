//! This module adds entries to an index, and says how far they have been verified.

use std::collections::{BTreeMap, HashMap};

use chapar_evidence::verify::Prefix;
use chapar_evidence::{Checkpoint, Pseudonyms, Record};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Index, IndexError, KnownLog};

/// An entry that has been read.
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) record: Record,
}

/// How much of a pseudonym is indexed. 128 bits are enough to tell citizens apart, and a record has all of
/// it.
const SUBJECT: usize = 16;

/// A pseudonym as it is indexed.
pub(crate) fn key_of(pseudonym: &[u8; 32]) -> &[u8] {
    &pseudonym[..SUBJECT]
}

impl Index {
    /// Adds entries that follow those that have been read; `read` is the prefix with them.
    pub(crate) fn append(
        &self,
        log: &KnownLog,
        entries: &[Entry],
        read: &Prefix,
        periods: &[Pseudonyms],
    ) -> Result<(), IndexError> {
        self.write(|db| {
            let mut clerks = HashMap::new();
            let mut insert = db.prepare_cached(
                "INSERT INTO entries (log, idx, kind, time_ms, clerk, subject, has_case, record)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            let mut made = BTreeMap::new();
            for Entry { index, bytes, record } in entries {
                let clerk = clerk_id(db, &mut clerks, record)?;
                let subject = record.subject_pseudonym.get(..SUBJECT);
                if subject.is_some() {
                    let period = periods.iter().find(|period| period.made(record));
                    let period = period.map(|period| period.id().to_vec()).unwrap_or_default();
                    made.entry(period).or_insert(*index);
                }
                insert.execute(params![
                    log.id,
                    index,
                    record.kind,
                    // A log that says otherwise is of no use to a rule, and must not stop its auditor.
                    i64::try_from(record.time_unix_ms).unwrap_or(i64::MAX),
                    clerk,
                    subject,
                    !record.case.is_empty(),
                    bytes
                ])?;
            }
            for (period, first) in made {
                db.execute(
                    "INSERT OR IGNORE INTO periods (log, period, first) VALUES (?1, ?2, ?3)",
                    params![log.id, period, first],
                )?;
            }
            db.execute("UPDATE logs SET read = ?2 WHERE id = ?1", params![log.id, read.to_bytes()]).map(drop)
        })
    }

    /// All that has been read is under this checkpoint.
    pub(crate) fn verified(
        &self,
        log: &KnownLog,
        checkpoint: &Checkpoint,
        note: &str,
    ) -> Result<(), IndexError> {
        self.write(|db| {
            db.execute(
                "UPDATE logs SET verified = ?2, read = ?2, note = ?3, verified_size = ?4 WHERE id = ?1",
                params![log.id, log.read.to_bytes(), note, checkpoint.size],
            )?;
            db.execute(
                "UPDATE seen SET size = ?2, root = ?3, note = ?4 WHERE log = ?1",
                params![checkpoint.origin, checkpoint.size, checkpoint.root, note],
            )
            .map(drop)
        })
    }

    /// Takes back what has been read beyond what is verified.
    pub(crate) fn discard(&self, log: &KnownLog) -> Result<(), IndexError> {
        let size = log.verified.size();
        self.write(|db| {
            db.execute("DELETE FROM entries WHERE log = ?1 AND idx >= ?2", params![log.id, size])?;
            db.execute("DELETE FROM periods WHERE log = ?1 AND first >= ?2", params![log.id, size])?;
            let verified = log.verified.to_bytes();
            db.execute("UPDATE logs SET read = ?2 WHERE id = ?1", params![log.id, verified]).map(drop)
        })
    }
}

/// The id of the record's clerk.
fn clerk_id(
    transaction: &Transaction<'_>,
    known: &mut HashMap<(String, String), i64>,
    record: &Record,
) -> rusqlite::Result<i64> {
    let name = (record.caller.clone(), record.clerk.clone());
    if let Some(id) = known.get(&name) {
        return Ok(*id);
    }
    let mut find = transaction.prepare_cached("SELECT id FROM clerks WHERE caller = ?1 AND clerk = ?2")?;
    let id = match find.query_row(params![name.0, name.1], |row| row.get(0)).optional()? {
        Some(id) => id,
        None => {
            let mut insert =
                transaction.prepare_cached("INSERT INTO clerks (caller, clerk) VALUES (?1, ?2)")?;
            insert.insert(params![name.0, name.1])?
        }
    };
    known.insert(name, id);
    Ok(id)
}
