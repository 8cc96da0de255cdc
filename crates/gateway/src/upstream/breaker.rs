//! Circuit breakers of one endpoint, one for each caller, so that no caller's failures take the endpoint from
//! another (as with linkerd's failure accrual, where each client's proxy has its own). A breaker opens after
//! 5 consecutive failures, or when more than half of at least 20 calls in the last 5 to 10 s failed. After a
//! pause of 1 to 30 s, and up to half as much jitter, it is half-open: one trial call decides whether it
//! closes.
//!
//! That an endpoint cannot be reached, or reports that it does not serve, holds for all callers at once: that
//! is in `Pool` and `Endpoint`.

use std::collections::HashMap;
use std::time::Duration;

use chapar_model::SubsystemId;
use chapar_transport::dial::jitter;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::blame::Blame;

/// Consecutive failures that open the breaker.
const CONSECUTIVE_FAILURES: u32 = 5;
/// Half of the sliding window of the failure rate, so that the window spans 5 to 10 s.
const HALF_WINDOW: Duration = Duration::from_secs(5);
/// Calls below which the failure rate says nothing.
const MIN_CALLS: u32 = 20;
/// The first pause. It doubles with each failed trial up to `MAX_PAUSE`; jitter lengthens it by up to a half.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The breakers of one endpoint. Holds only callers with a failure of late, of whom there are no more than
/// the registry names.
#[derive(Default)]
pub(super) struct Breakers(Mutex<HashMap<SubsystemId, Breaker>>);

/// One caller's breaker.
#[derive(Default)]
struct Breaker {
    phase: Phase,
    consecutive_failures: u32,
    halves: [Count; 2],
    since: Option<Instant>,
    /// Times that it opened since it last worked for good; doubles the pause.
    openings: u32,
    /// When it last closed.
    closed_at: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    all: u32,
    failed: u32,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Closed,
    /// Calls are refused until then.
    Open(Instant),
    /// One trial call is under way.
    HalfOpen,
}

/// A call's permit to use an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BreakerPermit {
    Ordinary,
    /// Its outcome decides whether the caller may use the endpoint again.
    Trial,
}

/// What the end of a call did to its caller's breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transition {
    None,
    Opened,
    /// The trial call succeeded.
    Closed,
}

impl Breakers {
    /// Whether a call of `caller` would be refused now.
    pub(super) fn is_open(&self, caller: &SubsystemId) -> bool {
        self.0.lock().get(caller).is_some_and(Breaker::is_open)
    }

    /// Callers whose breaker is open or half-open.
    pub(super) fn open(&self) -> usize {
        self.0.lock().values().filter(|breaker| breaker.is_open()).count()
    }

    /// Lets a call through, unless its caller's breaker is open.
    pub(super) fn enter(&self, caller: &SubsystemId) -> Option<BreakerPermit> {
        // Under one lock, so that of many calls that arrive after the pause exactly one becomes the trial.
        self.0.lock().get_mut(caller).map_or(Some(BreakerPermit::Ordinary), Breaker::enter)
    }

    /// Takes in whose fault the end of a call was; nothing if the call never got to the endpoint.
    pub(super) fn release(
        &self,
        permit: BreakerPermit,
        caller: &SubsystemId,
        blame: Option<Blame>,
    ) -> Transition {
        let mut breakers = self.0.lock();
        if blame == Some(Blame::Provider) && !breakers.contains_key(caller) {
            breakers.insert(caller.clone(), Breaker::default());
        }
        let Some(breaker) = breakers.get_mut(caller) else { return Transition::None };
        let transition = breaker.release(permit, blame);
        if breaker.has_nothing_to_remember() {
            breakers.remove(caller);
        }
        transition
    }
}

impl Breaker {
    fn is_open(&self) -> bool {
        match self.phase {
            Phase::Closed => false,
            Phase::Open(until) => Instant::now() < until,
            Phase::HalfOpen => true,
        }
    }

    fn enter(&mut self) -> Option<BreakerPermit> {
        match self.phase {
            Phase::Closed => Some(BreakerPermit::Ordinary),
            Phase::Open(until) if Instant::now() >= until => {
                self.phase = Phase::HalfOpen;
                Some(BreakerPermit::Trial)
            }
            Phase::Open(_) | Phase::HalfOpen => None,
        }
    }

    fn release(&mut self, permit: BreakerPermit, blame: Option<Blame>) -> Transition {
        match (self.phase, permit, blame) {
            (Phase::HalfOpen, BreakerPermit::Trial, Some(Blame::Nobody)) => {
                // The number of openings outlives the close: an endpoint that fails again soon gets a longer
                // pause.
                let closed_at = Some(Instant::now());
                *self = Self { openings: self.openings, closed_at, ..Self::default() };
                Transition::Closed
            }
            (Phase::HalfOpen, BreakerPermit::Trial, Some(Blame::Provider)) => self.trip(),
            (Phase::HalfOpen, BreakerPermit::Trial, Some(Blame::Caller) | None) => {
                // The trial said nothing of the endpoint, so the next call is one.
                self.phase = Phase::Open(Instant::now());
                Transition::None
            }
            (Phase::Closed, _, Some(Blame::Nobody)) => self.count(false),
            (Phase::Closed, _, Some(Blame::Provider)) => self.count(true),
            // A caller's own failure says nothing, nor does a call that began before the breaker opened.
            _ => Transition::None,
        }
    }

    fn count(&mut self, failed: bool) -> Transition {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        // Two halves give a sliding window at the price of two counters. One window that is reset would
        // forget all failures at once.
        if now.duration_since(since) >= HALF_WINDOW {
            let is_stale = now.duration_since(since) >= 2 * HALF_WINDOW;
            let last = std::mem::take(&mut self.halves[1]);
            self.halves = [if is_stale { Count::default() } else { last }, Count::default()];
            self.since = Some(now);
        }
        self.halves[1].all = self.halves[1].all.saturating_add(1);
        if !failed {
            self.consecutive_failures = 0;
            // A window with enough calls and no failure shows that the endpoint works for good, and for a
            // caller with little traffic a longer time without one.
            let is_long_ago = self.closed_at.is_none_or(|at| now.duration_since(at) >= 2 * MAX_PAUSE);
            if self.failed() == 0 && (self.all() >= MIN_CALLS || is_long_ago) {
                self.openings = 0;
            }
            return Transition::None;
        }
        self.consecutive_failures += 1;
        self.halves[1].failed += 1;
        let mostly = self.all() >= MIN_CALLS && self.failed() * 2 > self.all();
        if self.consecutive_failures >= CONSECUTIVE_FAILURES || mostly {
            self.trip()
        } else {
            Transition::None
        }
    }

    /// Whether a new breaker would behave the same.
    fn has_nothing_to_remember(&self) -> bool {
        matches!(self.phase, Phase::Closed) && self.openings == 0 && self.failed() == 0
    }

    fn all(&self) -> u32 {
        self.halves[0].all.saturating_add(self.halves[1].all)
    }

    fn failed(&self) -> u32 {
        self.halves[0].failed.saturating_add(self.halves[1].failed)
    }

    fn trip(&mut self) -> Transition {
        // The shift is capped at 16, because `1 << 32` would overflow. The maximum is reached long before.
        let pause = FIRST_PAUSE.saturating_mul(1 << self.openings.min(16)).min(MAX_PAUSE);
        // The factor is 1 to 1.5: `half_to_one` gives 0.5 to 1, and a pause is never shortened.
        let pause = pause.mul_f64(0.5 + jitter::half_to_one());
        let openings = self.openings + 1;
        *self = Self { phase: Phase::Open(Instant::now() + pause), openings, ..Self::default() };
        Transition::Opened
    }
}

#[cfg(test)]
mod tests;
