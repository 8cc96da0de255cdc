//! `Follower` reads one log as it grows and verifies it: every entry, and every checkpoint that it meets
//! against all entries before it (a monitor, by RFC 9162's word). What it finds wrong becomes an alarm.
//!
//! Nothing that a log does ends it: trouble is met by trying again, later each time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chapar_evidence::verify::{self, Prefix, Witnesses};
use chapar_evidence::{Checkpoint, Hash, Pseudonyms, SignedCheckpoint, VerifierKey};
use chapar_model::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use crate::handed::{Handed, Verdict};
use crate::index::{AlarmKind, Entry, Index, IndexError, KnownLog};
use crate::metrics::LogMetrics;
use crate::rules::{Rules, look};
use crate::source::{Source, SourceError};

/// How often a log is looked at. What happens to it is seen within a second or two.
const EVERY: Duration = Duration::from_millis(500);
/// The first pause while something is wrong; it doubles up to the longest.
const AFTER_TROUBLE: Duration = Duration::from_secs(2);
/// The longest: a bad log is read from where it was good each time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// For how long a log may be unreachable before that is an alarm: a gateway that starts again takes seconds.
const UNREACHABLE_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// Entries that come after the last good look by more than this may have waited for this auditor.
const RECENT: SignedDuration = SignedDuration::from_secs(30);
/// For how long the alarm `late` stays after the last late entry, so that a scrape sees it.
const LATE_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How often it is noted that a log was looked at.
const NOTED_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// Entries that are read and stored at once.
const PART: usize = 4096;
/// Checkpoints whose roots are remembered, to hold cosigned ones to: some minutes of a busy log.
const REMEMBERED: usize = 256;

/// What a follower follows, and for what.
pub(crate) struct Followed {
    pub(crate) key: VerifierKey,
    pub(crate) source: Source,
    pub(crate) periods: Vec<Pseudonyms>,
    pub(crate) protected: HashSet<Vec<u8>>,
    pub(crate) rules: Rules,
    pub(crate) late: Duration,
    pub(crate) metrics: LogMetrics,
}

/// Follows one log.
pub(crate) struct Follower {
    followed: Followed,
    index: Arc<Index>,
    clock: Clock,
    log: KnownLog,
    /// Size and root of the last verified checkpoints.
    roots: BTreeMap<u64, Hash>,
    /// When the log was last read without trouble; at first the start.
    well_at: Timestamp,
    /// Whether it has been since the start: what comes next is new.
    is_current: bool,
    /// What a folder showed at the last look that would be an alarm: it may be in the middle of a copy.
    suspected: Option<AlarmKind>,
    noted_at: Option<Timestamp>,
}

/// Why a look at the log ended.
#[derive(Debug)]
enum Trouble {
    /// The log is not what it should be.
    Alarm { kind: AlarmKind, sentence: String, proof: String },
    /// It gives fewer entries than a checkpoint signs.
    Short { given: u64, signed: SignedCheckpoint },
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
    pub(crate) fn new(followed: Followed, index: &Arc<Index>, log: KnownLog, clock: &Clock) -> Self {
        followed.metrics.verified(log.verified.size());
        Self {
            followed,
            index: Arc::clone(index),
            log,
            roots: BTreeMap::new(),
            well_at: clock.now(),
            clock: clock.clone(),
            is_current: false,
            suspected: None,
            noted_at: None,
        }
    }

    /// Follows the log without end.
    pub(crate) async fn run(mut self, mut handed: mpsc::Receiver<Handed>) {
        let mut pause = EVERY;
        loop {
            let looked = self.look().await;
            pause = match self.settle(looked).await {
                true => EVERY,
                false => (2 * pause).clamp(AFTER_TROUBLE, LONGEST_PAUSE),
            };
            let pausing = tokio::time::sleep(pause);
            tokio::pin!(pausing);
            loop {
                tokio::select! {
                    () = &mut pausing => break,
                    Some(Handed { signed, verdict }) = handed.recv() => {
                        verdict.send(self.judge(signed).await).ok();
                    }
                }
            }
        }
    }

    fn origin(&self) -> &str {
        self.followed.key.name()
    }

    /// Verifies the entries under a checkpoint that a witness is asked to cosign.
    async fn judge(&mut self, signed: SignedCheckpoint) -> Verdict {
        if signed.0.size < self.log.verified.size() {
            // More has been read since; the log asks with a newer one.
            return Verdict::NotNow;
        }
        match self.verify(&signed).await {
            Ok(()) => Verdict::Verified,
            Err(Trouble::Alarm { kind, sentence, proof }) => {
                self.raise(kind, sentence, proof).await.ok();
                Verdict::Wrong
            }
            // A copy of the log may be some seconds older than what the log asks for.
            Err(_) => Verdict::NotNow,
        }
    }

    /// Looks at the newest checkpoints.
    async fn look(&mut self) -> Result<(), Trouble> {
        let (note, cosigned) = self.followed.source.checkpoints().await?;
        if !cosigned.is_empty() {
            let cosigned = self.signed(cosigned)?;
            match self.roots.get(&cosigned.0.size) {
                Some(root) if *root != cosigned.0.root => return Err(self.forked(&cosigned)),
                // Witnesses may have been shown what this look has not come to yet.
                None if cosigned.0.size > self.log.verified.size() => self.verify(&cosigned).await?,
                _ => {}
            }
        }
        if note.is_empty() {
            // Before the first one there is nothing to verify.
            return if self.least() == 0 { Ok(()) } else { Err(self.shorter(0, &note)) };
        }
        let signed = self.signed(note)?;
        self.verify(&signed).await?;
        self.apply_rules().await?;
        Ok(())
    }

    /// A note that the log's key has signed.
    fn signed(&self, note: String) -> Result<SignedCheckpoint, Trouble> {
        match verify::checkpoint(note.as_bytes(), &self.followed.key, &Witnesses::default()) {
            Ok(checkpoint) => Ok((checkpoint, note)),
            Err(_) => {
                let sentence = "its checkpoint is not signed by its key".to_owned();
                Err(Trouble::Alarm { kind: AlarmKind::Unsigned, sentence, proof: note })
            }
        }
    }

    /// What the log has been known to hold at least.
    fn least(&self) -> u64 {
        let held_to = self.log.held_to.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size);
        held_to.max(self.log.verified.size())
    }

    /// The notes that show what is wrong: that of the last verified checkpoint, and another.
    fn proof(&self, note: &str) -> String {
        let known = self.log.held_to.as_ref().map_or(&self.log.note, |(_, note)| note);
        [known.as_str(), note].into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn shorter(&self, size: u64, note: &str) -> Trouble {
        let sentence = format!("it has {size} entries, and {} were verified before", self.least());
        Trouble::Alarm { kind: AlarmKind::Cut, sentence, proof: self.proof(note) }
    }

    fn forked(&self, (checkpoint, note): &SignedCheckpoint) -> Trouble {
        let sentence = format!("its first {} entries are not those that it signs", checkpoint.size);
        Trouble::Alarm { kind: AlarmKind::Forked, sentence, proof: self.proof(note) }
    }

    /// Reads up to a checkpoint, and compares its root.
    async fn verify(&mut self, signed: &SignedCheckpoint) -> Result<(), Trouble> {
        let (checkpoint, note) = signed;
        if checkpoint.size < self.least() {
            return Err(self.shorter(checkpoint.size, note));
        }
        // The index was lost, and the log must still be what was verified with it.
        if let Some(held_to) = self.log.held_to.clone() {
            if self.reach(&held_to.0, signed).await? != held_to.0.root {
                self.discard().await?;
                return Err(self.forked(signed));
            }
            self.keep(&held_to).await?;
            self.log.held_to = None;
        }
        if self.reach(checkpoint, signed).await? != checkpoint.root {
            self.discard().await?;
            return Err(self.forked(signed));
        }
        if checkpoint.size > self.log.verified.size() || self.log.note.is_empty() {
            self.keep(signed).await?;
        }
        Ok(())
    }

    /// Reads up to the size of a checkpoint, for what `signed` signs; the root of what has been read.
    async fn reach(&mut self, until: &Checkpoint, signed: &SignedCheckpoint) -> Result<Hash, Trouble> {
        if self.log.read.size() > until.size {
            // What was read beyond it was not verified, and is read again.
            self.discard().await?;
        }
        while self.log.read.size() < until.size {
            let start = self.log.read.size();
            let read = self.followed.source.entries(start, until.size, signed.0.size).await?;
            if read.is_empty() {
                return Err(Trouble::Short { given: start, signed: signed.clone() });
            }
            self.judge_time(&read).await?;
            for part in read.chunks(PART) {
                self.store(part, signed).await?;
            }
        }
        Ok(self.log.read.root())
    }

    /// Reads entries and stores them as read.
    async fn store(&mut self, part: &[Vec<u8>], signed: &SignedCheckpoint) -> Result<(), Trouble> {
        let mut prefix: Prefix = self.log.read.clone();
        let mut entries = Vec::with_capacity(part.len());
        for bytes in part {
            let index = prefix.size();
            match prefix.push(bytes) {
                Ok(record) => entries.push(Entry { index, bytes: bytes.clone(), record }),
                Err(problem) => {
                    self.discard().await?;
                    let sentence = format!("entry {index}: {problem}");
                    return Err(Trouble::Alarm {
                        kind: AlarmKind::Damaged,
                        sentence,
                        proof: self.proof(&signed.1),
                    });
                }
            }
        }
        let (index, log) = (Arc::clone(&self.index), self.log.clone());
        let periods = std::mem::take(&mut self.followed.periods);
        let (periods, appended, prefix) = in_thread(move || {
            let appended = index.append(&log, &entries, &prefix, &periods);
            (periods, appended, prefix)
        })
        .await;
        self.followed.periods = periods;
        appended?;
        self.log.read = prefix;
        Ok(())
    }

    /// All that has been read is under this checkpoint.
    async fn keep(&mut self, signed: &SignedCheckpoint) -> Result<(), IndexError> {
        let (index, log, kept) = (Arc::clone(&self.index), self.log.clone(), signed.clone());
        in_thread(move || index.verified(&log, &kept.0, &kept.1)).await?;
        let (checkpoint, note) = signed;
        // After the write: if that failed, it is done again.
        self.log.verified = self.log.read.clone();
        self.log.note.clone_from(note);
        self.followed.metrics.verified(checkpoint.size);
        self.roots.insert(checkpoint.size, checkpoint.root);
        if self.roots.len() > REMEMBERED {
            self.roots.pop_first();
        }
        Ok(())
    }

    /// Raises the alarm that entries come under a checkpoint too late, or ends it.
    async fn judge_time(&self, read: &[Vec<u8>]) -> Result<(), IndexError> {
        let now = self.clock.now();
        // After a pause of this auditor's, entries are old for another reason.
        if !self.is_current || now.duration_since(self.well_at) > RECENT {
            return Ok(());
        }
        let written = read.iter().filter_map(|entry| verify::written_ms(entry)).min();
        let age = now.as_millisecond().unsigned_abs().saturating_sub(written.unwrap_or(u64::MAX));
        if u128::from(age) <= self.followed.late.as_millis() {
            return Ok(());
        }
        let sentence = format!("an entry came under a checkpoint {} s after it was written", age / 1000);
        self.raise(AlarmKind::Late, sentence, String::new()).await
    }

    /// Looks through what has been verified, and not been looked at, by the rules.
    async fn apply_rules(&mut self) -> Result<(), IndexError> {
        while self.log.looked < self.log.verified.size() {
            let (index, log, rules) =
                (Arc::clone(&self.index), self.log.clone(), self.followed.rules.clone());
            let (origin, protected) = (self.origin().to_owned(), self.followed.protected.clone());
            let looked = in_thread(move || look(&index, &log, &origin, &rules, &protected)).await?;
            self.log.looked = looked.until;
        }
        Ok(())
    }

    async fn discard(&mut self) -> Result<(), IndexError> {
        if self.log.read.size() == self.log.verified.size() {
            return Ok(());
        }
        let (index, log) = (Arc::clone(&self.index), self.log.clone());
        in_thread(move || index.discard(&log)).await?;
        self.log.read = self.log.verified.clone();
        Ok(())
    }

    /// Notes how a look ended: whether all was well.
    async fn settle(&mut self, looked: Result<(), Trouble>) -> bool {
        let settled = match looked {
            Ok(()) => self.all_is_well().await.map(|()| true),
            Err(Trouble::Index(error)) => Err(error),
            Err(trouble) => self.trouble(trouble).await.map(|()| false),
        };
        settled.unwrap_or_else(|error| {
            // Another process may hold the index, or its disk be full; nothing is lost by waiting.
            tracing::error!(log = self.origin(), %error, "an auditor's index cannot be written; it is tried again");
            false
        })
    }

    async fn all_is_well(&mut self) -> Result<(), IndexError> {
        let now = self.clock.now();
        self.suspected = None;
        (self.well_at, self.is_current) = (now, true);
        if self.noted_at.is_some_and(|noted| now.duration_since(noted) < NOTED_EVERY) {
            return Ok(());
        }
        let (index, origin) = (Arc::clone(&self.index), self.origin().to_owned());
        in_thread(move || {
            let is_over = now.checked_sub(LATE_FOR).unwrap_or(Timestamp::MIN);
            index.clear(&origin, AlarmKind::Late, is_over, now)?;
            index.clear(&origin, AlarmKind::Unreachable, now, now)?;
            index.looked_at(&origin, now)
        })
        .await?;
        self.noted_at = Some(now);
        Ok(())
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<(), IndexError> {
        // The next good look is noted at once, and ends what ends by itself.
        self.noted_at = None;
        let (kind, sentence, proof) = match trouble {
            Trouble::Alarm { kind, sentence, proof } => (kind, sentence, proof),
            Trouble::Short { given, signed: (checkpoint, note) } => {
                let sentence = format!("it signs {} entries, and gives {given}", checkpoint.size);
                (AlarmKind::Cut, sentence, self.proof(&note))
            }
            Trouble::Unreachable(error) => {
                tracing::debug!(log = self.origin(), %error, "a log cannot be read");
                if self.clock.now().duration_since(self.well_at) > UNREACHABLE_AFTER {
                    let sentence = format!("it cannot be read: {error}");
                    self.raise(AlarmKind::Unreachable, sentence, String::new()).await?;
                }
                return Ok(());
            }
            Trouble::Index(error) => return Err(error),
        };
        // A folder may be in the middle of a copy: what is wrong there must be so at the next look too.
        let is_certain = !self.followed.source.is_folder() || self.suspected == Some(kind);
        self.suspected = Some(kind);
        if is_certain { self.raise(kind, sentence, proof).await } else { Ok(()) }
    }

    async fn raise(&self, kind: AlarmKind, sentence: String, proof: String) -> Result<(), IndexError> {
        let (index, origin, now) = (Arc::clone(&self.index), self.origin().to_owned(), self.clock.now());
        let told = sentence.clone();
        let is_new = in_thread(move || index.raise(&origin, kind, &sentence, &proof, now)).await?;
        if is_new {
            tracing::error!(log = self.origin(), kind = kind.as_str(), "alarm: {told}");
        }
        Ok(())
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
