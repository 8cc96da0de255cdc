//! When to leave an endpoint alone. It is ejected after failures in a row, or when most calls of late failed; where a service has
//! others, they take its calls, and where it has none, callers are told at once instead of waiting for what hangs. After a
//! pause one call at a time tries whether it works again.

use std::time::Duration;

use chapar_transport::dial::chance;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::place::Outcome;

/// Failures in a row after which an endpoint is left alone.
const IN_A_ROW: u32 = 5;
/// How far back the rate of failures looks; in two halves, of which the older is dropped whole.
const HALF: Duration = Duration::from_secs(5);
/// Calls below which the rate says nothing.
const ENOUGH: u32 = 20;
/// The first pause, doubled with each failed try up to the longest, and lengthened by up to a half by chance.
const PAUSE: Duration = Duration::from_secs(1);
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

#[derive(Clone, Copy, Default)]
struct Count {
    all: u32,
    failed: u32,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Closed,
    /// Ejected until then.
    Open(Instant),
    /// One call is trying it.
    Trying,
}

/// A call's leave to use an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leave {
    Ordinary,
    /// Its outcome decides whether the endpoint is used again.
    Trial,
}

impl Breaker {
    /// Whether a call would be let through now.
    pub(super) fn is_open(&self) -> bool {
        match self.0.lock().phase {
            Phase::Closed => false,
            Phase::Open(until) => Instant::now() < until,
            Phase::Trying => true,
        }
    }

    /// Lets a call through, unless the endpoint is to be left alone.
    pub(super) fn enter(&self) -> Option<Leave> {
        let mut state = self.0.lock();
        match state.phase {
            Phase::Closed => Some(Leave::Ordinary),
            Phase::Open(until) if Instant::now() >= until => {
                state.phase = Phase::Trying;
                Some(Leave::Trial)
            }
            Phase::Open(_) | Phase::Trying => None,
        }
    }

    /// Takes in how a call ended; nothing, if that says nothing of the endpoint. True if it is ejected by that.
    pub(super) fn leave(&self, leave: Leave, outcome: Option<Outcome>) -> bool {
        let mut state = self.0.lock();
        match (outcome, state.phase, leave) {
            (Some(Outcome::Ok), Phase::Trying, Leave::Trial) => {
                *state = State { times: state.times, ..State::default() };
                false
            }
            (Some(Outcome::Failed), Phase::Trying, Leave::Trial) => state.eject(),
            (None, Phase::Trying, Leave::Trial) => {
                // The next may try.
                state.phase = Phase::Open(Instant::now());
                false
            }
            (Some(outcome), Phase::Closed, _) => state.count(outcome),
            // What was begun before the ejection is known already.
            _ => false,
        }
    }
}

impl State {
    fn count(&mut self, outcome: Outcome) -> bool {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= HALF {
            let stale = now.duration_since(since) >= 2 * HALF;
            self.halves = [if stale { Count::default() } else { self.halves[1] }, Count::default()];
            self.since = Some(now);
        }
        self.halves[1].all = self.halves[1].all.saturating_add(1);
        if outcome == Outcome::Ok {
            self.in_a_row = 0;
            if self.times > 0 && self.failed() == 0 && self.all() >= ENOUGH {
                self.times = 0;
            }
            return false;
        }
        self.in_a_row += 1;
        self.halves[1].failed += 1;
        let mostly = self.all() >= ENOUGH && self.failed() * 2 > self.all();
        if self.in_a_row >= IN_A_ROW || mostly { self.eject() } else { false }
    }

    fn all(&self) -> u32 {
        self.halves[0].all.saturating_add(self.halves[1].all)
    }

    fn failed(&self) -> u32 {
        self.halves[0].failed.saturating_add(self.halves[1].failed)
    }

    fn eject(&mut self) -> bool {
        let pause = PAUSE.saturating_mul(1 << self.times.min(16)).min(PAUSE_MOST);
        let pause = pause.mul_f64(0.5 + chance::half_to_one());
        *self = Self { phase: Phase::Open(Instant::now() + pause), times: self.times + 1, ..Self::default() };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(breaker: &Breaker, outcome: Outcome) -> bool {
        let leave = breaker.enter().expect("the endpoint is in use");
        breaker.leave(leave, Some(outcome))
    }

    fn ejected() -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..IN_A_ROW {
            assert!(!call(&breaker, Outcome::Failed));
        }
        assert!(call(&breaker, Outcome::Failed), "the last one ejects it");
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..IN_A_ROW {
                assert!(!call(&breaker, Outcome::Failed));
            }
            for _ in 0..2 * IN_A_ROW {
                assert!(!call(&breaker, Outcome::Ok));
            }
        }
        assert!(!breaker.is_open());
        assert!(ejected().is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn most_of_enough_calls_failing_ejects_though_never_in_a_row() {
        let breaker = Breaker::default();
        let mut calls = 0;
        while !breaker.is_open() {
            assert!(calls < 2 * ENOUGH, "never");
            call(&breaker, if calls % 3 == 0 { Outcome::Ok } else { Outcome::Failed });
            calls += 1;
        }
        assert!(calls >= ENOUGH, "not before there were enough: {calls}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_past_does_not_count() {
        let breaker = Breaker::default();
        for call_number in 0..ENOUGH - 1 {
            call(&breaker, if call_number % 3 == 0 { Outcome::Ok } else { Outcome::Failed });
        }
        tokio::time::advance(2 * HALF).await;
        call(&breaker, Outcome::Ok);
        for _ in 1..IN_A_ROW {
            call(&breaker, Outcome::Failed);
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_call_at_a_time_tries_and_its_success_lets_all_through() {
        let breaker = ejected();
        assert_eq!(breaker.enter(), None);
        tokio::time::advance(PAUSE * 3 / 2).await;
        assert_eq!(breaker.enter(), Some(Leave::Trial));
        assert_eq!(breaker.enter(), None, "one at a time");
        assert!(!breaker.leave(Leave::Ordinary, Some(Outcome::Ok)), "an old call's success is no news");
        assert_eq!(breaker.enter(), None);
        breaker.leave(Leave::Trial, Some(Outcome::Ok));
        assert_eq!(breaker.enter(), Some(Leave::Ordinary));
        assert_eq!(breaker.enter(), Some(Leave::Ordinary));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_whose_caller_went_away_is_followed_by_another() {
        let breaker = ejected();
        tokio::time::advance(PAUSE * 3 / 2).await;
        assert_eq!(breaker.enter(), Some(Leave::Trial));
        breaker.leave(Leave::Trial, None);
        assert_eq!(breaker.enter(), Some(Leave::Trial));
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_trial_doubles_the_pause_up_to_the_longest() {
        let breaker = ejected();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let began = Instant::now();
            while breaker.enter().is_none() {
                tokio::time::advance(Duration::from_millis(10)).await;
            }
            pauses.push(began.elapsed());
            assert!(breaker.leave(Leave::Trial, Some(Outcome::Failed)));
        }
        assert!(pauses[0] >= PAUSE && pauses[0] <= PAUSE * 3 / 2 + Duration::from_millis(10), "{pauses:?}");
        assert!(pauses[2] >= PAUSE * 4, "{pauses:?}");
        assert!(pauses[9] >= PAUSE_MOST && pauses[9] <= PAUSE_MOST * 3 / 2 + Duration::from_millis(10), "{pauses:?}");
    }
}
