//! `Refusals` limits the records of refusals, because a caller that is refused again and again must not fill
//! the log. One caller and reason get at most one record a second, and all together 500 a second (token
//! bucket, burst 500). Refusals beyond that are counted exactly, and the next record carries the count.
//!
//! Only calls that were never sent to a provider are folded. A call that may have asked an agency about a
//! citizen has its own record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_evidence::{Appended, Kind, Log};
use chapar_model::{Reason, SubsystemId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::facts::{EndFacts, Facts};
use crate::metadata::Metadata;

/// Interval in which at most one record of a caller and reason is written.
const FOLD_WINDOW: Duration = Duration::from_secs(1);
/// Maximum number of refusal records per second, of all callers. They are some 300 KB, so that a flood of
/// refusals cannot fill the disk fast.
const PER_SECOND: f64 = 500.0;
/// Interval at which windows that have ended are written.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `Refusals` counts the refusals of one gateway. Clones share the same state.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Mutex<RefusalState>>);

struct RefusalState {
    windows: HashMap<(SubsystemId, Reason), RefusalWindow>,
    /// Token bucket of [`PER_SECOND`], as large as a second of it.
    tokens: f64,
    refilled: Instant,
}

struct RefusalWindow {
    /// Time at which the last record of this caller and reason was written.
    since: Instant,
    /// Number of refusals after it.
    folded: u64,
    /// Facts of the first of those; the folded record is written from them.
    first: Option<Facts>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(RefusalState {
            windows: HashMap::new(),
            tokens: PER_SECOND,
            refilled: now,
        })))
    }

    /// Counts a refusal. Returns true if it gets a record of its own now; otherwise it is counted into a
    /// later one.
    pub(crate) fn is_recorded_now(&self, facts: &Facts, reason: Reason) -> bool {
        self.0.lock().take(facts, reason, Instant::now())
    }

    /// Writes the counts of windows as they end, until `stop`, and then all that are left.
    pub(crate) async fn run(self, log: Log, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            self.flush(&log, Some(Instant::now()));
        }
        // The calls have ended, so no refusal follows. All counts are written before the log is closed.
        for appended in self.flush(&log, None) {
            appended.await.ok();
        }
    }

    /// Writes the windows that have ended at `now`, or all of them. The lock is not held while a record is
    /// queued.
    fn flush(&self, log: &Log, now: Option<Instant>) -> Vec<Appended> {
        let due = self.0.lock().due(now);
        let mut written = Vec::with_capacity(due.len());
        for (key, count, facts) in due {
            let Ok(slot) = log.reserve() else {
                // The log's queue is full. The count is put back, and is written with the refusals that
                // follow.
                self.0.lock().put_back(key, count, facts);
                continue;
            };
            let end = EndFacts { count, ..EndFacts::refusal(key.1.as_str()) };
            debug_assert_eq!(end.kind, Kind::Refusal);
            written.push(facts.tell(&end, |draft| slot.append(draft)));
        }
        written
    }
}

impl RefusalState {
    fn take(&mut self, facts: &Facts, reason: Reason, now: Instant) -> bool {
        let has_token = self.refill(now) >= 1.0;
        let window = self.windows.entry((facts.caller.id.clone(), reason)).or_insert_with(|| RefusalWindow {
            // The window begins in the past, so that the first refusal of a caller and reason is recorded at
            // once.
            since: now.checked_sub(FOLD_WINDOW).unwrap_or(now),
            folded: 0,
            first: None,
        });
        if has_token && window.folded == 0 && now.duration_since(window.since) >= FOLD_WINDOW {
            window.since = now;
            self.tokens -= 1.0;
            return true;
        }
        window.folded += 1;
        match &mut window.first {
            None => {
                // The record stands for several calls, so only what holds for all of them stays: no metadata
                // and no permit.
                window.first = Some(Facts { metadata: Metadata::default(), permit: None, ..facts.clone() })
            }
            // The record names a method only if all that it stands for asked for that one.
            Some(first) if first.method() != facts.method() => first.entry = None,
            Some(_) => {}
        }
        false
    }

    fn due(&mut self, now: Option<Instant>) -> Vec<((SubsystemId, Reason), u64, Facts)> {
        // At the end nothing is held back by the rate: a count that is not written now is lost.
        let mut tokens = now.map_or(f64::INFINITY, |now| self.refill(now));
        let mut due = Vec::new();
        self.windows.retain(|key, window| {
            if now.is_some_and(|now| now.duration_since(window.since) < FOLD_WINDOW) {
                return true;
            }
            if window.folded == 0 {
                return false;
            }
            // Without a token the window keeps its count and is tried again at the next look.
            if tokens >= 1.0
                && let Some(first) = window.first.take()
            {
                tokens -= 1.0;
                due.push((key.clone(), std::mem::take(&mut window.folded), first));
                window.since = now.unwrap_or(window.since);
            }
            true
        });
        if now.is_some() {
            self.tokens = tokens;
        }
        due
    }

    fn put_back(&mut self, key: (SubsystemId, Reason), count: u64, facts: Facts) {
        let since = facts.started;
        let window =
            self.windows.entry(key).or_insert_with(|| RefusalWindow { since, folded: 0, first: None });
        window.folded += count;
        match &mut window.first {
            // What was folded meanwhile may have asked for another method.
            Some(first) if first.method() != facts.method() => first.entry = None,
            Some(_) => {}
            None => window.first = Some(facts),
        }
    }

    fn refill(&mut self, now: Instant) -> f64 {
        let earned = now.saturating_duration_since(self.refilled).as_secs_f64() * PER_SECOND;
        self.refilled = now;
        self.tokens = (self.tokens + earned).min(PER_SECOND);
        self.tokens
    }
}

#[cfg(test)]
mod tests {
    use chapar_model::CallId;
    use chapar_registry::{Name, Registry, Subsystem};

    use super::*;

    /// A refused call of a caller of this number.
    fn refused() -> impl Fn(u32) -> Facts {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bus.toml"), "[bus]\ntrust_domain = \"bus.example\"\n").unwrap();
        let registry = Arc::new(Registry::load(folder.path(), &[]).unwrap());
        let name = Arc::new(Name { fa: "بانک".to_owned(), en: "Bank".to_owned() });
        move |number| Facts {
            call: CallId::now(),
            time_unix_ms: 0,
            started: Instant::now(),
            caller: Arc::new(Subsystem {
                id: format!("com/bank-{number}/loans").parse().unwrap(),
                name: Arc::clone(&name),
                issuers: Arc::new([[0; 32]]),
            }),
            salt_hash: [0; 32],
            trace_id: [0; 16],
            registry: Arc::clone(&registry),
            entry: None,
            metadata: Metadata::default(),
            attempt: 0,
            permit: None,
            subject: None,
            request: None,
            was_asked: Arc::default(),
        }
    }

    #[test]
    fn all_callers_share_one_budget_and_what_is_over_it_is_counted_exactly() {
        let refused = refused();
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut state = RefusalState { windows: HashMap::new(), tokens: PER_SECOND, refilled: now };
        let taken = |state: &mut RefusalState, now| {
            (0..600).filter(|number| state.take(&refused(*number), Reason::NotGranted, now)).count()
        };
        let counts = |state: &mut RefusalState, now| -> Vec<u64> {
            state.due(Some(now)).into_iter().map(|(_, count, _)| count).collect()
        };
        assert_eq!(taken(&mut state, now), 500, "of 600 callers with one refusal each");
        assert_eq!(taken(&mut state, now), 0, "and of the same a moment later");
        assert!(counts(&mut state, now).is_empty(), "nothing is left of the budget");
        assert_eq!(counts(&mut state, at(111)), [2; 55], "500 a second");
        assert_eq!(counts(&mut state, at(333)), [2; 45], "the other 45 of 100 that had no record yet");
        assert_eq!(counts(&mut state, at(9_000)), [1; 500], "the second refusals of the first 500");
        assert_eq!(taken(&mut state, at(9_000)), 0, "the budget of nine seconds is that of one");
    }
}
