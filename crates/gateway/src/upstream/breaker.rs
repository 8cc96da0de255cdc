//! Circuit breaker of one endpoint. It opens after 5 consecutive failures, or when more than half of at least
//! 20 calls in the last 5 to 10 s failed, but not if all failures are of one caller and others call too.
//! After a pause of 1 to 30 s, and up to half as much jitter, it is half-open: one trial call decides whether
//! it closes.

use std::time::Duration;

use chapar_model::SubsystemId;
use chapar_transport::dial::jitter;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::blame::Blame;

/// Failures in a row after which an endpoint is left alone.
const IN_A_ROW: u32 = 5;
/// How far back the rate of failures looks; in two halves, of which the older is dropped whole.
const HALF: Duration = Duration::from_secs(5);
/// Calls below which the rate says nothing.
const MIN_CALLS: u32 = 20;
/// The first pause, doubled with each failed try up to the longest, and lengthened by up to a half by chance.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// The breaker of one endpoint.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    phase: Phase,
    in_a_row: u32,
    halves: [Count; 2],
    since: Option<Instant>,
    /// Ejections since it last worked for good.
    times: u32,
}

#[derive(Clone, Default)]
struct Count {
    all: u32,
    failed: u32,
    callers: Callers,
    failing: Callers,
}

/// The first two different callers: enough to know whether there are several.
#[derive(Clone, Default)]
struct Callers([Option<SubsystemId>; 2]);

impl Callers {
    fn add(&mut self, caller: &SubsystemId) {
        let [first, second] = &mut self.0;
        if first.is_none() {
            *first = Some(caller.clone());
        } else if second.is_none() && first.as_ref() != Some(caller) {
            *second = Some(caller.clone());
        }
    }

    fn are_several_with(&self, other: &Self) -> bool {
        let mut all = self.0.iter().chain(&other.0).flatten();
        all.next().is_some_and(|first| all.any(|caller| caller != first))
    }
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Closed,
    /// Ejected until then.
    Open(Instant),
    /// One trial call is under way.
    HalfOpen,
}

/// A call's permit to use an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BreakerPermit {
    Ordinary,
    /// Its outcome decides whether the endpoint is used again.
    Trial,
}

/// What the end of a call did to a breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transition {
    None,
    /// The endpoint is ejected.
    Opened,
    /// The trial call succeeded.
    Closed,
}

impl Breaker {
    /// Whether a call would be let through now.
    pub(super) fn is_open(&self) -> bool {
        match self.0.lock().phase {
            Phase::Closed => false,
            Phase::Open(until) => Instant::now() < until,
            Phase::HalfOpen => true,
        }
    }

    /// Lets a call through, unless the endpoint is to be left alone.
    pub(super) fn enter(&self) -> Option<BreakerPermit> {
        // Under one lock, so that of many calls that arrive after the pause exactly one becomes the trial.
        let mut state = self.0.lock();
        match state.phase {
            Phase::Closed => Some(BreakerPermit::Ordinary),
            Phase::Open(until) if Instant::now() >= until => {
                state.phase = Phase::HalfOpen;
                Some(BreakerPermit::Trial)
            }
            Phase::Open(_) | Phase::HalfOpen => None,
        }
    }

    /// Takes in whose fault the end of a call was.
    pub(super) fn release(&self, permit: BreakerPermit, caller: &SubsystemId, blame: Blame) -> Transition {
        let mut state = self.0.lock();
        match (blame, state.phase, permit) {
            (Blame::Nobody, Phase::HalfOpen, BreakerPermit::Trial) => {
                // The number of ejections outlives the close: an endpoint that fails again soon gets a longer
                // pause.
                *state = State { times: state.times, ..State::default() };
                Transition::Closed
            }
            (Blame::Provider, Phase::HalfOpen, BreakerPermit::Trial) => state.eject(),
            (Blame::Caller, Phase::HalfOpen, BreakerPermit::Trial) => {
                // The next may try.
                state.phase = Phase::Open(Instant::now());
                Transition::None
            }
            (Blame::Caller, Phase::Closed, _) => Transition::None,
            (blame, Phase::Closed, _) => state.count(caller, blame == Blame::Provider),
            // What was begun before the ejection is known already.
            _ => Transition::None,
        }
    }
}

impl State {
    fn count(&mut self, caller: &SubsystemId, failed: bool) -> Transition {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        // Two halves give a sliding window at the price of two counters. One window that is reset would
        // forget all failures at once.
        if now.duration_since(since) >= HALF {
            let stale = now.duration_since(since) >= 2 * HALF;
            let last = std::mem::take(&mut self.halves[1]);
            self.halves = [if stale { Count::default() } else { last }, Count::default()];
            self.since = Some(now);
        }
        self.halves[1].all = self.halves[1].all.saturating_add(1);
        self.halves[1].callers.add(caller);
        if !failed {
            self.in_a_row = 0;
            // Only a window with enough calls and no failure shows that the endpoint works for good.
            if self.times > 0 && self.failed() == 0 && self.all() >= MIN_CALLS {
                self.times = 0;
            }
            return Transition::None;
        }
        self.in_a_row += 1;
        self.halves[1].failed += 1;
        self.halves[1].failing.add(caller);
        let mostly = self.all() >= MIN_CALLS && self.failed() * 2 > self.all();
        // Several callers must be affected in both cases, else one caller could take the provider from all
        // others.
        if (self.in_a_row >= IN_A_ROW || mostly) && self.concerns_all() {
            self.eject()
        } else {
            Transition::None
        }
    }

    /// Whether the failures are not one caller's alone, where there are others: its requests may be what
    /// fails, and no caller takes a provider away from the rest.
    fn concerns_all(&self) -> bool {
        let several = |of: fn(&Count) -> &Callers| of(&self.halves[0]).are_several_with(of(&self.halves[1]));
        several(|count| &count.failing) || !several(|count| &count.callers)
    }

    fn all(&self) -> u32 {
        self.halves[0].all.saturating_add(self.halves[1].all)
    }

    fn failed(&self) -> u32 {
        self.halves[0].failed.saturating_add(self.halves[1].failed)
    }

    fn eject(&mut self) -> Transition {
        // The shift is capped at 16, because `1 << 32` would overflow. The maximum is reached long before.
        let pause = FIRST_PAUSE.saturating_mul(1 << self.times.min(16)).min(PAUSE_MOST);
        let pause = pause.mul_f64(0.5 + jitter::half_to_one());
        *self = Self { phase: Phase::Open(Instant::now() + pause), times: self.times + 1, ..Self::default() };
        Transition::Opened
    }
}

#[cfg(test)]
mod tests;
