//! Questions to an index: the verified entries about a citizen, of a clerk, of a time, the newest first.

use std::ops::ControlFlow;

use chapar_evidence::Record;
use prost::Message as _;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::entries::key_of;
use super::{Index, IndexError};

/// Which entries. What is not set does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Pseudonyms of a citizen, one for each period.
    pub subjects: Option<Vec<[u8; 32]>>,
    /// The clerk's name, of any caller.
    pub clerk: Option<String>,
    /// The first moment, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// The first moment that is too late, likewise.
    pub until_ms: Option<i64>,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Found {
    /// The log's name.
    pub origin: String,
    /// The entry's index there.
    pub index: u64,
    /// Its record.
    pub record: Record,
}

impl Index {
    /// Shows `visit` the entries, the newest first, until it breaks.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn search(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(Found) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        let mut sql = "SELECT l.origin, e.idx, e.record FROM entries e JOIN logs l ON l.id = e.log
                       WHERE e.idx < l.verified_size"
            .to_owned();
        let mut values = Vec::new();
        if let Some(subjects) = &query.subjects {
            let marks = vec!["?"; subjects.len()].join(", ");
            sql.push_str(&format!(" AND e.subject IS NOT NULL AND e.subject IN ({marks})"));
            values.extend(subjects.iter().map(|subject| Value::Blob(key_of(subject).to_vec())));
        }
        if let Some(clerk) = &query.clerk {
            sql.push_str(" AND e.clerk IN (SELECT id FROM clerks WHERE clerk = ?)");
            values.push(Value::Text(clerk.clone()));
        }
        for (condition, ms) in
            [(" AND e.time_ms >= ?", query.since_ms), (" AND e.time_ms < ?", query.until_ms)]
        {
            if let Some(ms) = ms {
                sql.push_str(condition);
                values.push(Value::Integer(ms));
            }
        }
        sql.push_str(" ORDER BY e.time_ms DESC, e.log DESC, e.idx DESC");
        let damaged = self.with(|db| {
            let mut found = db.prepare(&sql)?;
            let mut rows = found.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                let bytes: Vec<u8> = row.get(2)?;
                let Ok(record) = Record::decode(bytes.as_slice()) else { return Ok(true) };
                let is_wanted =
                    |subjects: &Vec<[u8; 32]>| subjects.iter().any(|one| record.subject_pseudonym == one);
                if !query.subjects.as_ref().is_none_or(is_wanted) {
                    continue;
                }
                if visit(Found { origin: row.get(0)?, index: row.get(1)?, record }).is_break() {
                    break;
                }
            }
            Ok(false)
        })?;
        if damaged { Err(IndexError::Damaged(self.path.clone())) } else { Ok(()) }
    }
}
