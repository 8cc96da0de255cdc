//! What the rules ask of an index.

use std::collections::{HashMap, HashSet};

use chapar_evidence::Kind;
use rusqlite::params;

use super::{Index, IndexError, KnownLog};

/// What the rules see of an entry.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) index: u64,
    pub(crate) time_ms: i64,
    pub(crate) clerk: i64,
    pub(crate) subject: Option<Vec<u8>>,
    pub(crate) has_case: bool,
}

impl Index {
    /// The entries from `log.looked` to `until`. The end of a stream is no call.
    pub(crate) fn part(&self, log: &KnownLog, until: u64) -> Result<Vec<Seen>, IndexError> {
        self.with(|db| {
            let mut part = db.prepare_cached(
                "SELECT idx, time_ms, clerk, subject, has_case FROM entries
                 WHERE log = ?1 AND idx >= ?2 AND idx < ?3 AND kind <> ?4 ORDER BY idx",
            )?;
            let rows = part.query_map(params![log.id, log.looked, until, Kind::Close as i32], |row| {
                Ok(Seen {
                    index: row.get(0)?,
                    time_ms: row.get(1)?,
                    clerk: row.get(2)?,
                    subject: row.get(3)?,
                    has_case: row.get(4)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Caller and clerk of these ids.
    pub(crate) fn clerk_names(
        &self,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, (String, String)>, IndexError> {
        let ids: HashSet<i64> = ids.collect();
        self.with(|db| {
            let mut name = db.prepare_cached("SELECT caller, clerk FROM clerks WHERE id = ?1")?;
            let names = ids
                .into_iter()
                .map(|id| Ok((id, name.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?)));
            names.collect()
        })
    }

    /// About how many citizens a clerk asked from one time to another.
    pub(crate) fn subjects_of(&self, clerk: i64, from_ms: i64, to_ms: i64) -> Result<u64, IndexError> {
        self.with(|db| {
            let mut count = db.prepare_cached(
                "SELECT count(DISTINCT e.subject) FROM entries e JOIN logs l ON l.id = e.log
                 WHERE e.clerk = ?1 AND e.time_ms > ?2 AND e.time_ms <= ?3 AND e.idx < l.verified_size",
            )?;
            count.query_row(params![clerk, from_ms, to_ms], |row| row.get(0))
        })
    }

    /// How often a clerk asked about one citizen without a case.
    pub(crate) fn times(
        &self,
        clerk: i64,
        subject: &[u8],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<u64, IndexError> {
        self.with(|db| {
            let mut count = db.prepare_cached(
                "SELECT count(*) FROM entries e JOIN logs l ON l.id = e.log
                 WHERE e.subject IS NOT NULL AND e.subject = ?2 AND e.time_ms > ?3 AND e.time_ms <= ?4
                 AND e.clerk = ?1 AND e.has_case = 0 AND e.kind <> ?5 AND e.idx < l.verified_size",
            )?;
            count.query_row(params![clerk, subject, from_ms, to_ms, Kind::Close as i32], |row| row.get(0))
        })
    }

    /// How many calls a clerk made from one moment to before another.
    pub(crate) fn calls_of(&self, clerk: i64, from_ms: i64, until_ms: i64) -> Result<u64, IndexError> {
        self.with(|db| {
            let mut count = db.prepare_cached(
                "SELECT count(*) FROM entries e JOIN logs l ON l.id = e.log
                 WHERE e.clerk = ?1 AND e.time_ms >= ?2 AND e.time_ms < ?3 AND e.kind <> ?4
                 AND e.idx < l.verified_size",
            )?;
            count.query_row(params![clerk, from_ms, until_ms, Kind::Close as i32], |row| row.get(0))
        })
    }

    pub(crate) fn looked(&self, log: &KnownLog, until: u64) -> Result<(), IndexError> {
        self.with(|db| {
            db.execute("UPDATE logs SET looked = ?2 WHERE id = ?1", params![log.id, until]).map(drop)
        })
    }
}
