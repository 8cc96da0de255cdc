//! `Witnessing` has witnesses cosign the evidence log's checkpoints (C2SP `tlog-witness`): each new one is
//! sent to all witnesses at once, and is kept as cosigned when the quorum has answered. A witness that is
//! down, slow or wrong delays this and nothing else, until the grace is over; then no more calls are taken.
//!
//! Asking one witness is in `ask`; keeping what is cosigned is the log's work.

mod ask;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chapar_evidence::verify::Witnesses;
use chapar_evidence::{Log, SignedCheckpoint};
use chapar_model::Clock;
use chapar_telemetry::WitnessesState;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{self, WitnessError};
use ask::Asked;

/// The longest wait for one witness. It writes to its disk before it answers, over a slow line perhaps.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the other witnesses have once the quorum has answered.
const MORE: Duration = Duration::from_secs(2);
/// The pause after a round without quorum.
const RETRY: Duration = Duration::from_secs(2);
/// The least time from one round to the next. Receipts may force ten checkpoints a second.
const LEAST: Duration = Duration::from_millis(500);
/// How often a witness that did not cosign is asked again while the log is quiet.
const AGAIN: Duration = Duration::from_secs(30);
/// How often the grace is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The witnesses of one log.
pub(crate) struct Witnessing {
    log: Log,
    clock: Clock,
    policy: Witnesses,
    witnesses: Vec<Asked>,
    grace: Option<Duration>,
    started: Timestamp,
    /// The first entry that no cosigned checkpoint covers, and when it was written.
    oldest: Mutex<Option<(u64, Timestamp)>>,
}

/// What an operator sees of them.
pub(crate) struct WitnessingState {
    pub(crate) quorum: usize,
    pub(crate) grace: Option<Duration>,
    /// Entries that the newest cosigned checkpoint covers.
    pub(crate) cosigned: u64,
    /// Since when there have been signed entries beyond those; none if there are none.
    pub(crate) uncosigned_since: Option<Timestamp>,
    pub(crate) witnesses: Vec<WitnessState>,
}

impl WitnessingState {
    pub(crate) fn metrics(&self) -> WitnessesState {
        let up = |witness: &WitnessState| (witness.name.clone(), witness.is_up());
        WitnessesState {
            cosigned: self.cosigned,
            uncosigned_since: self.uncosigned_since.map(Timestamp::as_second).unwrap_or_default(),
            witnesses: self.witnesses.iter().map(up).collect(),
        }
    }
}

/// What an operator sees of one witness.
#[derive(Clone, Debug, Default)]
pub(crate) struct WitnessState {
    pub(crate) name: String,
    pub(crate) url: String,
    /// Entries of the newest checkpoint that it has cosigned since the start.
    pub(crate) cosigned: u64,
    /// When it did, by this machine's clock; none before the first.
    pub(crate) at: Option<Timestamp>,
    /// Why it did not cosign the last one that it was asked for; nothing if it did.
    pub(crate) problem: Option<String>,
}

impl WitnessState {
    /// Whether it cosigned the last checkpoint that it was asked for, if it was asked since the start.
    pub(crate) fn is_up(&self) -> bool {
        self.problem.is_none()
    }
}

impl Witnessing {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// [`WitnessError`] naming what is at fault.
    pub(crate) fn new(settings: &config::Witnesses, log: Log, clock: Clock) -> Result<Self, WitnessError> {
        let (witnesses, policy) = settings.read()?;
        let witnesses = witnesses.into_iter().map(Asked::new).collect();
        let started = clock.now();
        let oldest = Mutex::default();
        Ok(Self { log, clock, policy, witnesses, grace: settings.grace, started, oldest })
    }

    /// Has each checkpoint cosigned, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        stop.run_until_cancelled(self.go_on()).await;
    }

    async fn go_on(&self) {
        let mut changes = self.log.watch_published();
        let mut last_round = Instant::now();
        loop {
            // Seen before the checkpoint is read, so that none is missed.
            changes.borrow_and_update();
            let is_due =
                |size: u64| size > self.cosigned() || (self.has_problem() && last_round.elapsed() > AGAIN);
            let newest = self.log.published().filter(|(checkpoint, _)| is_due(checkpoint.size));
            let mut pause = LOOK_EVERY;
            if let Some(newest) = newest {
                let is_kept = self.round(&newest).await && self.cosigned() >= newest.0.size;
                last_round = Instant::now();
                pause = if is_kept { LEAST } else { RETRY };
            }
            self.judge().await;
            // A pause after a round is kept, however fast the log grows.
            let is_waiting = pause != LOOK_EVERY;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = changes.changed(), if !is_waiting => {}
            }
        }
    }

    fn has_problem(&self) -> bool {
        self.witnesses.iter().any(|witness| witness.state().problem.is_some())
    }

    /// Entries that the newest cosigned checkpoint covers, by this policy: the file may have been cosigned by
    /// others, before the settings were changed.
    fn cosigned(&self) -> u64 {
        let cosigned = self.log.cosigned().filter(|(_, note)| self.policy.check(note).is_ok());
        cosigned.map_or(0, |(checkpoint, _)| checkpoint.size)
    }

    /// Sends a checkpoint to all witnesses. Returns whether it has been cosigned and kept.
    async fn round(&self, signed: &SignedCheckpoint) -> bool {
        let (checkpoint, note) = signed;
        let asking = self.witnesses.iter().enumerate().map(|(number, witness)| async move {
            let asking = witness.cosign(&self.log, signed, &self.clock);
            (number, witness, tokio::time::timeout(PATIENCE, asking).await)
        });
        let mut asking: FuturesUnordered<_> = asking.collect();
        let mut cosigned = note.clone();
        let mut count = 0;
        let mut late: BTreeSet<usize> = (0..self.witnesses.len()).collect();
        // Each answer comes within its own time limit.
        let mut until = Instant::now() + 2 * PATIENCE;
        while let Ok(Some((number, witness, answer))) = tokio::time::timeout_at(until, asking.next()).await {
            let answer = answer.unwrap_or_else(|_| Err("it did not answer within 5 s".to_owned()));
            late.remove(&number);
            if let Some(line) = witness.note(answer, checkpoint.size, self.clock.now()) {
                cosigned.push_str(&line);
                count += 1;
            }
            if count == self.policy.quorum() {
                until = until.min(Instant::now() + MORE);
            }
        }
        for witness in late.into_iter().filter_map(|number| self.witnesses.get(number)) {
            let problem = "it had not answered 2 s after the others".to_owned();
            witness.note(Err(problem), checkpoint.size, self.clock.now());
        }
        if count < self.policy.quorum() {
            return false;
        }
        match self.log.set_cosigned(cosigned).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "a cosigned checkpoint could not be kept");
                false
            }
        }
    }

    /// Stops the log's taking of records once entries have been without a cosigned checkpoint for longer than
    /// the grace, and lets it go on when they have one.
    async fn judge(&self) {
        self.look_for_oldest().await;
        let Some(grace) = self.grace else { return };
        let waits = self.uncosigned_since().map(|since| self.clock.now().duration_since(since));
        let grace = jiff::SignedDuration::try_from(grace).unwrap_or(jiff::SignedDuration::MAX);
        self.log.hold_back(waits.is_some_and(|waits| waits > grace));
    }

    /// Reads when the first entry was written that is not cosigned, where it is another one than at the last
    /// look.
    async fn look_for_oldest(&self) {
        let cosigned = self.cosigned();
        let signed = self.log.published().map_or(0, |(checkpoint, _)| checkpoint.size);
        if cosigned >= signed {
            *self.oldest.lock() = None;
            return;
        }
        if self.oldest.lock().is_some_and(|(index, _)| index == cosigned) {
            return;
        }
        let written = match self.log.record(cosigned).await {
            // When it was written: the end of a stream is recorded long after its call came in.
            Ok(record) => i64::try_from(record.time_unix_ms.saturating_add(record.latency_us / 1000)).ok(),
            Err(_) => None,
        };
        let written = written.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let since = match (cosigned, written) {
            // A log that was there before its first witness has old entries: then the start counts.
            (0, Some(written)) => written.max(self.started),
            // The record's own time, which a restart does not change.
            (_, Some(written)) => written,
            (_, None) => self.oldest.lock().map_or(self.started, |(_, since)| since),
        };
        *self.oldest.lock() = Some((cosigned, since));
    }

    fn uncosigned_since(&self) -> Option<Timestamp> {
        self.oldest.lock().map(|(_, since)| since)
    }

    pub(crate) fn state(&self) -> WitnessingState {
        WitnessingState {
            quorum: self.policy.quorum(),
            grace: self.grace,
            cosigned: self.cosigned(),
            uncosigned_since: self.uncosigned_since(),
            witnesses: self.witnesses.iter().map(Asked::state).collect(),
        }
    }
}
