//! This module adds entries to an index, and says how far they have been verified.

use std::collections::HashMap;

use chapar_evidence::verify::Prefix;
use chapar_evidence::{Pseudonyms, Record};
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
        self.with(|db| {
            let transaction = db.transaction()?;
            let mut clerks = HashMap::new();
            let mut unknown_period = 0;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO entries (log, idx, kind, time_ms, clerk, subject, has_case, record)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?;
                for Entry { index, bytes, record } in entries {
                    let clerk = clerk_id(&transaction, &mut clerks, record)?;
                    let subject = record.subject_pseudonym.get(..SUBJECT);
                    if subject.is_some() && !periods.iter().any(|period| period.made(record)) {
                        unknown_period += 1;
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
            }
            transaction.execute(
                "UPDATE logs SET read = ?2, unknown_period = unknown_period + ?3 WHERE id = ?1",
                params![log.id, read.to_bytes(), unknown_period],
            )?;
            transaction.commit()
        })
    }

    /// All that has been read is under this note's checkpoint.
    pub(crate) fn verified(&self, log: &KnownLog, verified: &Prefix, note: &str) -> Result<(), IndexError> {
        self.with(|db| {
            db.execute(
                "UPDATE logs SET verified = ?2, read = ?2, note = ?3, verified_size = ?4 WHERE id = ?1",
                params![log.id, verified.to_bytes(), note, verified.size()],
            )
            .map(drop)
        })
    }

    /// Takes back what has been read beyond what is verified.
    pub(crate) fn discard(&self, log: &KnownLog) -> Result<(), IndexError> {
        self.with(|db| {
            let transaction = db.transaction()?;
            transaction.execute(
                "DELETE FROM entries WHERE log = ?1 AND idx >= ?2",
                params![log.id, log.verified.size()],
            )?;
            transaction.execute(
                "UPDATE logs SET read = ?2 WHERE id = ?1",
                params![log.id, log.verified.to_bytes()],
            )?;
            transaction.commit()
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
