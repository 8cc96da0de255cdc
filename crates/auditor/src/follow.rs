//! `Follower` reads one log as it grows and verifies it: every entry, and every checkpoint that it meets
//! against all entries before it (a monitor, by RFC 9162's word). What it finds wrong becomes an alarm.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chapar_evidence::verify::{self, Witnesses};
use chapar_evidence::{Checkpoint, Pseudonyms, Record, VerifierKey};
use chapar_model::Clock;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::handed::Handed;
use crate::index::{AlarmKind, Entry, Index, IndexError, KnownLog};
use crate::metrics::LogMetrics;
use crate::rules::{Rules, look};
use crate::source::{Source, SourceError};

/// How often a log is looked at. What happens to a log is seen within a second or two.
const EVERY: Duration = Duration::from_millis(500);
/// The same while something is wrong.
const AFTER_TROUBLE: Duration = Duration::from_secs(2);
/// For how long a log may be unreachable before that is an alarm: a gateway that starts again takes seconds.
const UNREACHABLE_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// Entries that were read for the first time this long after the look before may have waited for this auditor
/// and not for a checkpoint.
const RECENT: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// Follows one log.
pub(crate) struct Follower {
    pub(crate) key: VerifierKey,
    pub(crate) source: Source,
    pub(crate) periods: Vec<Pseudonyms>,
    pub(crate) protected: HashSet<Vec<u8>>,
    pub(crate) rules: Rules,
    pub(crate) late: Duration,
    pub(crate) index: Arc<Index>,
    pub(crate) clock: Clock,
    pub(crate) metrics: LogMetrics,
    pub(crate) log: KnownLog,
    /// When the log was last read without trouble; at first the start.
    pub(crate) well_at: Timestamp,
    /// Whether all that was published at the last look has been read: what comes next is new.
    pub(crate) is_current: bool,
}

/// Why a look at the log ended.
#[derive(Debug)]
enum Trouble {
    /// The log is not what it should be.
    Alarm { kind: AlarmKind, sentence: String, proof: String },
    /// It gives fewer entries than a checkpoint signs.
    Short { signed: u64, given: u64 },
    /// It could not be read.
    Unreachable(SourceError),
    /// The index could not be written.
    Index(IndexError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Unreachable(error)
    }
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl Follower {
    /// Follows the log without end.
    ///
    /// # Errors
    /// [`IndexError`]: without the index nothing that is read is kept.
    pub(crate) async fn run(mut self, mut handed: mpsc::Receiver<Handed>) -> Result<(), IndexError> {
        loop {
            let looked = self.look().await;
            let pause = if self.settle(looked)? { EVERY } else { AFTER_TROUBLE };
            let pause = tokio::time::sleep(pause);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(asked) = handed.recv() => {
                        let is_behind = asked.checkpoint.size < self.log.verified.size();
                        // An older one cannot be told from a fork any more; the log asks with a newer one.
                        let is_verified = !is_behind && match self.verify(&asked.checkpoint, "").await {
                            // A copy of the log may be some seconds older than what the log asks for.
                            Err(Trouble::Short { .. }) => false,
                            read => self.settle(read)?,
                        };
                        asked.verified.send(is_verified).ok();
                    }
                }
            }
        }
    }

    fn origin(&self) -> &str {
        self.key.name()
    }

    /// Looks at the newest checkpoint.
    async fn look(&mut self) -> Result<(), Trouble> {
        let note = self.source.checkpoint().await?;
        if note.is_empty() {
            // Before the first one there is nothing to verify.
            return if self.log.verified.size() == 0 { Ok(()) } else { Err(self.shorter(0, &note)) };
        }
        let Ok(checkpoint) = verify::checkpoint(note.as_bytes(), &self.key, &Witnesses::default()) else {
            let sentence = "its checkpoint is not signed by its key".to_owned();
            return Err(Trouble::Alarm { kind: AlarmKind::Unsigned, sentence, proof: note });
        };
        self.verify(&checkpoint, &note).await
    }

    fn shorter(&self, size: u64, note: &str) -> Trouble {
        let sentence =
            format!("it has {size} entries, and {} were verified before", self.log.verified.size());
        Trouble::Alarm { kind: AlarmKind::Cut, sentence, proof: format!("{}\n{note}", self.log.note) }
    }

    /// Reads up to the checkpoint, and compares its root.
    async fn verify(&mut self, checkpoint: &Checkpoint, note: &str) -> Result<(), Trouble> {
        if checkpoint.size < self.log.verified.size() {
            return Err(self.shorter(checkpoint.size, note));
        }
        if self.log.read.size() > checkpoint.size {
            // What an earlier process read beyond: it was not verified, and is read again.
            self.discard()?;
        }
        while self.log.read.size() < checkpoint.size {
            self.read_part(checkpoint.size).await?;
        }
        if self.log.read.root() != checkpoint.root {
            self.discard()?;
            let sentence = format!("its first {} entries are not those that it signs", checkpoint.size);
            let proof = format!("{}\n{note}", self.log.note);
            return Err(Trouble::Alarm { kind: AlarmKind::Forked, sentence, proof });
        }
        if checkpoint.size > self.log.verified.size() {
            self.log.verified = self.log.read.clone();
            note.clone_into(&mut self.log.note);
            self.blocking(|index, log| index.verified(log, &log.verified, &log.note)).await?;
            self.metrics.verified(self.log.verified.size());
            self.apply_rules().await?;
        }
        Ok(())
    }

    /// Reads what comes at once of the entries below `size`.
    async fn read_part(&mut self, size: u64) -> Result<(), Trouble> {
        let start = self.log.read.size();
        let read = self.source.entries(start, size).await?;
        if read.is_empty() {
            return Err(Trouble::Short { signed: size, given: start });
        }
        let mut prefix = self.log.read.clone();
        let mut entries = Vec::with_capacity(read.len());
        for bytes in read {
            let index = prefix.size();
            match prefix.push(&bytes) {
                Ok(record) => entries.push(Entry { index, bytes, record }),
                Err(problem) => {
                    self.discard()?;
                    let sentence = format!("entry {index}: {problem}");
                    let proof = self.log.note.clone();
                    return Err(Trouble::Alarm { kind: AlarmKind::Damaged, sentence, proof });
                }
            }
        }
        self.judge_time(&entries)?;
        let (index, log) = (Arc::clone(&self.index), self.log.clone());
        let periods = std::mem::take(&mut self.periods);
        let (periods, appended, prefix) = in_thread(move || {
            let appended = index.append(&log, &entries, &prefix, &periods);
            (periods, appended, prefix)
        })
        .await;
        self.periods = periods;
        appended?;
        self.log.read = prefix;
        Ok(())
    }

    /// Raises the alarm that entries come under a checkpoint too late, or ends it.
    fn judge_time(&self, entries: &[Entry]) -> Result<(), IndexError> {
        let now = self.clock.now();
        // After a pause of this auditor's, entries are old for another reason.
        if !self.is_current || now.duration_since(self.well_at) > RECENT {
            return Ok(());
        }
        let written = |record: &Record| record.time_unix_ms.saturating_add(record.latency_us / 1000);
        let oldest = entries.iter().map(|entry| written(&entry.record)).min().unwrap_or_default();
        let age = now.as_millisecond().unsigned_abs().saturating_sub(oldest);
        if u128::from(age) > self.late.as_millis() {
            let sentence = format!("an entry came under a checkpoint {} s after it was written", age / 1000);
            self.raise(AlarmKind::Late, &sentence, "")
        } else {
            self.index.clear(self.origin(), AlarmKind::Late, now).map(drop)
        }
    }

    async fn apply_rules(&mut self) -> Result<(), IndexError> {
        while self.log.looked < self.log.verified.size() {
            let (index, log, rules) = (Arc::clone(&self.index), self.log.clone(), self.rules.clone());
            let (origin, protected) = (self.origin().to_owned(), self.protected.clone());
            let looked = in_thread(move || look(&index, &log, &origin, &rules, &protected)).await?;
            self.log.looked = looked.until;
        }
        Ok(())
    }

    fn discard(&mut self) -> Result<(), IndexError> {
        self.index.discard(&self.log)?;
        self.log.read = self.log.verified.clone();
        Ok(())
    }

    /// Notes how a look ended: whether all was well.
    fn settle(&mut self, looked: Result<(), Trouble>) -> Result<bool, IndexError> {
        let now = self.clock.now();
        let well = match looked {
            Ok(()) => {
                self.index.clear(self.origin(), AlarmKind::Unreachable, now)?;
                true
            }
            Err(Trouble::Alarm { kind, sentence, proof }) => {
                self.raise(kind, &sentence, &proof)?;
                false
            }
            Err(Trouble::Short { signed, given }) => {
                let sentence = format!("it signs {signed} entries, and gives {given}");
                self.raise(AlarmKind::Cut, &sentence, &self.log.note)?;
                false
            }
            Err(Trouble::Unreachable(error)) => {
                if now.duration_since(self.well_at) > UNREACHABLE_AFTER {
                    self.raise(AlarmKind::Unreachable, &format!("it cannot be read: {error}"), "")?;
                }
                tracing::debug!(log = self.origin(), %error, "a log cannot be read");
                false
            }
            Err(Trouble::Index(error)) => return Err(error),
        };
        if well {
            self.well_at = now;
        }
        self.is_current = well;
        Ok(well)
    }

    fn raise(&self, kind: AlarmKind, sentence: &str, proof: &str) -> Result<(), IndexError> {
        if self.index.raise(self.origin(), kind, sentence, proof, self.clock.now())? {
            tracing::error!(log = self.origin(), kind = kind.as_str(), "alarm: {sentence}");
        }
        Ok(())
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Index, &KnownLog) -> Result<(), IndexError> + Send + 'static,
    ) -> Result<(), IndexError> {
        let (index, log) = (Arc::clone(&self.index), self.log.clone());
        in_thread(move || work(&index, &log)).await
    }
}

/// Runs work that waits for the disk where nothing else waits for it.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It panicked, and so does the task that asked for it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
