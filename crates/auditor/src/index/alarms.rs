//! Alarms about logs: one of a kind is open for a log at a time. `late` and `unreachable` end by themselves;
//! those that mean that a log is not what it was stay open until a person ends them, since the log may be
//! changed back.

use jiff::Timestamp;
use rusqlite::params;

use super::{Index, IndexError};

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AlarmKind {
    /// Its entries are not those that it signed before, or that it signs now.
    Forked,
    /// It holds fewer entries than it signed before.
    Cut,
    /// An entry is no record, or cannot stand where it stands.
    Damaged,
    /// Its checkpoint is not signed by its key.
    Unsigned,
    /// Entries come under a checkpoint too late.
    Late,
    /// It cannot be read.
    Unreachable,
}

impl AlarmKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Forked, Self::Cut, Self::Damaged, Self::Unsigned, Self::Late, Self::Unreachable];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Cut => "cut",
            Self::Damaged => "damaged",
            Self::Unsigned => "unsigned",
            Self::Late => "late",
            Self::Unreachable => "unreachable",
        }
    }
}

/// An alarm.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Alarm {
    /// The log's name.
    pub log: String,
    /// [`AlarmKind::as_str`].
    pub kind: String,
    /// What was found, in a sentence.
    pub sentence: String,
    /// Signed notes that show it, one after the other; empty where there are none.
    pub proof: String,
    /// When it was found first, and last.
    pub since: Timestamp,
    /// As `since`.
    pub last: Timestamp,
    /// When it ended; none while it is open.
    pub ended: Option<Timestamp>,
    /// Who ended it, and why; none if it ended by itself.
    pub ended_by: Option<String>,
    /// As `ended_by`.
    pub reason: Option<String>,
}

impl Index {
    /// Raises an alarm, or notes that it is still so. Returns whether it is new.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn raise(
        &self,
        log: &str,
        kind: AlarmKind,
        sentence: &str,
        proof: &str,
        now: Timestamp,
    ) -> Result<bool, IndexError> {
        let now = now.as_millisecond();
        self.with(|db| {
            // The first proof is kept: a later one may be of what the log was changed to since.
            let open = db.execute(
                "UPDATE alarms SET last_ms = ?3, proof = CASE proof WHEN '' THEN ?4 ELSE proof END
                 WHERE log = ?1 AND kind = ?2 AND ended_ms IS NULL",
                params![log, kind.as_str(), now, proof],
            )?;
            if open > 0 {
                return Ok(false);
            }
            db.execute(
                "INSERT INTO alarms (log, kind, since_ms, last_ms, sentence, proof) VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
                params![log, kind.as_str(), now, sentence, proof],
            )?;
            Ok(true)
        })
    }

    /// Ends an alarm that ends by itself, if it was found last before a time. Returns whether there was one.
    pub(crate) fn clear(
        &self,
        log: &str,
        kind: AlarmKind,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, IndexError> {
        self.with(|db| {
            let mut end = db.prepare_cached(
                "UPDATE alarms SET ended_ms = ?4 WHERE log = ?1 AND kind = ?2 AND ended_ms IS NULL AND last_ms <= ?3",
            )?;
            let ended =
                end.execute(params![log, kind.as_str(), before.as_millisecond(), now.as_millisecond()])?;
            Ok(ended > 0)
        })
    }

    /// Ends all open alarms of a log, on a person's word. Returns how many there were.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn acknowledge(
        &self,
        log: &str,
        who: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<usize, IndexError> {
        self.with(|db| {
            db.execute(
                "UPDATE alarms SET ended_ms = ?4, ended_by = ?2, reason = ?3 WHERE log = ?1 AND ended_ms IS NULL",
                params![log, who, reason, now.as_millisecond()],
            )
        })
    }

    /// Alarms, those that were raised last first; with `all` also those that have ended.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn alarms(&self, all: bool) -> Result<Vec<Alarm>, IndexError> {
        self.with(|db| {
            let mut alarms = db.prepare(
                "SELECT log, kind, sentence, proof, since_ms, last_ms, ended_ms, ended_by, reason
                 FROM alarms WHERE ended_ms IS NULL OR ?1 ORDER BY id DESC",
            )?;
            let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
            let rows = alarms.query_map([all], |row| {
                Ok(Alarm {
                    log: row.get(0)?,
                    kind: row.get(1)?,
                    sentence: row.get(2)?,
                    proof: row.get(3)?,
                    since: time(row.get(4)?),
                    last: time(row.get(5)?),
                    ended: row.get::<_, Option<i64>>(6)?.map(time),
                    ended_by: row.get(7)?,
                    reason: row.get(8)?,
                })
            })?;
            rows.collect()
        })
    }
}
