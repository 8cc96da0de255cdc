//! Findings of the rules: what a person should ask about. They name clerks, never citizens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::params;

use super::{Index, IndexError};

/// One finding.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Finding {
    /// The rule, e.g. `many-subjects`.
    pub rule: String,
    /// The clerk's subsystem.
    pub caller: String,
    /// The clerk; empty for calls that name none.
    pub clerk: String,
    /// When the first call came in, and the last one.
    pub first: Timestamp,
    /// As `first`.
    pub last: Timestamp,
    /// Citizens or calls, as the rule counts.
    pub count: u64,
    /// The last entry, `ORIGIN/INDEX`.
    pub entry: String,
}

/// A finding as a rule makes it.
pub(crate) struct New<'a> {
    pub(crate) rule: &'static str,
    pub(crate) caller: &'a str,
    pub(crate) clerk: &'a str,
    /// What makes it one finding.
    pub(crate) about: String,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) count: u64,
    pub(crate) entry: String,
}

impl Index {
    /// Adds a finding, or what is more of one that is there. Returns whether it is new.
    pub(crate) fn find(&self, new: &New<'_>) -> Result<bool, IndexError> {
        self.with(|db| {
            let known = db.execute(
                "UPDATE findings SET last_ms = max(last_ms, ?5), count = max(count, ?6), entry = ?7
                 WHERE rule = ?1 AND caller = ?2 AND clerk = ?3 AND about = ?4",
                params![new.rule, new.caller, new.clerk, new.about, new.last_ms, new.count, new.entry],
            )?;
            if known > 0 {
                return Ok(false);
            }
            db.execute(
                "INSERT INTO findings (rule, caller, clerk, about, first_ms, last_ms, count, entry)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    new.rule,
                    new.caller,
                    new.clerk,
                    new.about,
                    new.first_ms,
                    new.last_ms,
                    new.count,
                    new.entry
                ],
            )?;
            Ok(true)
        })
    }

    /// The findings of calls since a time, the newest first.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn findings(&self, since: Timestamp) -> Result<Vec<Finding>, IndexError> {
        self.with(|db| {
            let mut findings = db.prepare(
                "SELECT rule, caller, clerk, first_ms, last_ms, count, entry FROM findings
                 WHERE last_ms >= ?1 ORDER BY last_ms DESC, id DESC",
            )?;
            let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
            let rows = findings.query_map([since.as_millisecond()], |row| {
                Ok(Finding {
                    rule: row.get(0)?,
                    caller: row.get(1)?,
                    clerk: row.get(2)?,
                    first: time(row.get(3)?),
                    last: time(row.get(4)?),
                    count: row.get(5)?,
                    entry: row.get(6)?,
                })
            })?;
            rows.collect()
        })
    }

    /// How many findings there are of each rule.
    pub(crate) fn findings_by_rule(&self) -> Result<BTreeMap<String, u64>, IndexError> {
        self.with(|db| {
            let mut counts = db.prepare("SELECT rule, count(*) FROM findings GROUP BY rule")?;
            let rows = counts.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }
}
