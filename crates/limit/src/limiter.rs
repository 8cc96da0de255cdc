//! One limiter per grant, built from the registry. A new registry gets a new one, in which a grant whose limits stay goes on
//! counting where it was.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chapar_model::{GrantId, Limits, Rate};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// The limits of every grant. `C` is the monotonic clock; tests bring their own.
pub struct Limiter<C: Clock = DefaultClock> {
    gates: HashMap<GrantId, Arc<Gate<C>>>,
    clock: C,
}

struct Gate<C: Clock> {
    limits: Limits,
    rate: Option<Meter<C>>,
    places: Option<Places>,
}

struct Meter<C: Clock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    text: String,
}

struct Places {
    most: u32,
    taken: Arc<AtomicU32>,
}

/// A call within its grant's limits. Holds its place among the grant's concurrent calls until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Admission {
    taken: Option<Arc<AtomicU32>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(taken) = &self.taken {
            taken.fetch_sub(1, Ordering::Release);
        }
    }
}

/// Why a call is over its grant's limits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Denied {
    /// Over the rate, with the burst spent.
    Rate {
        /// When the next call passes, if no other comes first: whole milliseconds, rounded up, at least one.
        retry_after: Duration,
        /// The limit in words, e.g. `20/s, burst 40`.
        limit: String,
    },
    /// Too many calls of the grant at once.
    Concurrency {
        /// The most that may run; 0 if the limiter was not built with this grant.
        limit: u32,
    },
}

impl Limiter<DefaultClock> {
    /// Limits for `grants`, every bucket full. A grant without limits is unlimited; one that is not listed is denied.
    pub fn new(grants: impl IntoIterator<Item = (GrantId, Limits)>) -> Self {
        Self::with_clock(grants, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiter<C> {
    /// The same with another clock.
    pub fn with_clock(grants: impl IntoIterator<Item = (GrantId, Limits)>, clock: C) -> Self {
        let gates = grants.into_iter().map(|(grant, limits)| (grant, Arc::new(Gate::new(limits, &clock)))).collect();
        Self { gates, clock }
    }

    /// Limits for the grants of a new registry. A grant whose limits are the same keeps what it has spent and what is running;
    /// one whose limits have changed begins anew.
    pub fn next(&self, grants: impl IntoIterator<Item = (GrantId, Limits)>) -> Self {
        let gate = |(grant, limits): (GrantId, Limits)| {
            let same = self.gates.get(&grant).filter(|gate| gate.limits == limits);
            let gate = same.map_or_else(|| Arc::new(Gate::new(limits, &self.clock)), Arc::clone);
            (grant, gate)
        };
        Self { gates: grants.into_iter().map(gate).collect(), clock: self.clock.clone() }
    }

    /// Counts one call of `grant`. A call that is denied counts for nothing.
    ///
    /// # Errors
    /// [`Denied`], with the limit that the call is over. A grant that the limiter does not know is denied: it can only come of
    /// a mistake, and a mistake must not lift a limit.
    pub fn admit(&self, grant: &GrantId) -> Result<Admission, Denied> {
        let gate = self.gates.get(grant).ok_or(Denied::Concurrency { limit: 0 })?;
        // The place first: it can be given back if the rate says no, a token cannot.
        let admission = gate.places.as_ref().map_or(Ok(Admission { taken: None }), Places::take)?;
        gate.rate.as_ref().map_or(Ok(()), Meter::check)?;
        Ok(admission)
    }
}

impl<C: Clock + Clone> Limiter<C> {
    /// Admits another attempt of a call that was counted: it takes a place among the concurrent calls, and counts for nothing
    /// else.
    ///
    /// # Errors
    /// As [`Limiter::admit`], but never for the rate.
    pub fn admit_again(&self, grant: &GrantId) -> Result<Admission, Denied> {
        let gate = self.gates.get(grant).ok_or(Denied::Concurrency { limit: 0 })?;
        gate.places.as_ref().map_or(Ok(Admission { taken: None }), Places::take)
    }
}

impl<C: Clock + Clone> Gate<C> {
    fn new(limits: Limits, clock: &C) -> Self {
        let rate = limits.rate.map(|rate| Meter::new(rate, limits.burst, clock.clone()));
        let places = limits.concurrent.map(|most| Places { most: most.get(), taken: Arc::default() });
        Self { limits, rate, places }
    }
}

impl Places {
    fn take(&self) -> Result<Admission, Denied> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::Acquire, Ordering::Relaxed, more) {
            Ok(_) => Ok(Admission { taken: Some(Arc::clone(&self.taken)) }),
            Err(_) => Err(Denied::Concurrency { limit: self.most }),
        }
    }
}

impl<C: Clock> Meter<C> {
    fn new(rate: Rate, burst: Option<NonZeroU32>, clock: C) -> Self {
        let burst = burst.unwrap_or(rate.calls());
        // `Rate` has no empty interval, so the fallback, one call a second, is never taken.
        let quota = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock);
        Self { limiter, text: format!("{rate}, burst {burst}") }
    }

    fn check(&self) -> Result<(), Denied> {
        self.limiter.check().map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1);
            Denied::Rate { retry_after: Duration::from_millis(millis), limit: self.text.clone() }
        })
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits(rate: &str, burst: u32, concurrent: u32) -> Limits {
        Limits { rate: rate.parse().ok(), burst: NonZeroU32::new(burst), concurrent: NonZeroU32::new(concurrent) }
    }

    fn grant() -> GrantId {
        "welfare-getperson".parse().unwrap()
    }

    fn limiter(limits: Limits) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::with_clock([(grant(), limits)], clock.clone()), clock)
    }

    #[test]
    fn a_burst_admits_exactly_its_size() {
        for (rate, burst, admitted) in [("20/s", 40, 40), ("5/h", 0, 5), ("1/d", 7, 7)] {
            let (limiter, _) = limiter(limits(rate, burst, 0));
            assert_eq!((0..1000).filter(|_| limiter.admit(&grant()).is_ok()).count(), admitted, "{rate}");
        }
    }

    #[test]
    fn the_rate_is_kept_over_an_hour() {
        let (limiter, clock) = limiter(limits("20/s", 40, 0));
        let mut admitted = 0;
        for _ in 0..360_000 {
            admitted += u32::from(limiter.admit(&grant()).is_ok());
            clock.advance(Duration::from_millis(10));
        }
        assert_eq!(admitted, 20 * 3600 + 39, "the burst, and one for every 50 ms after the first");
    }

    #[test]
    fn after_exactly_the_time_told_the_next_call_passes() {
        for rate in ["20/s", "3/s", "7/min", "5/h", "999983/s"] {
            let (limiter, clock) = limiter(limits(rate, 2, 0));
            while limiter.admit(&grant()).is_ok() {}
            let Err(Denied::Rate { retry_after, limit }) = limiter.admit(&grant()) else { panic!("{rate} is spent") };
            assert_eq!(limit, format!("{rate}, burst 2"));
            assert!(retry_after > Duration::ZERO);
            clock.advance(retry_after);
            assert!(limiter.admit(&grant()).is_ok(), "{rate} after {retry_after:?}");
        }
    }

    #[test]
    fn a_place_is_free_again_when_the_call_ends() {
        let (limiter, _) = limiter(Limits { rate: None, ..limits("", 0, 2) });
        let (first, second) = (limiter.admit(&grant()), limiter.admit(&grant()));
        assert_eq!(limiter.admit(&grant()).unwrap_err(), Denied::Concurrency { limit: 2 });
        drop(first);
        let third = limiter.admit(&grant());
        assert!(second.is_ok() && third.is_ok());
        assert!(limiter.admit(&grant()).is_err());
    }

    #[test]
    fn a_call_over_the_rate_holds_no_place_and_one_without_a_place_spends_no_token() {
        let (limiter, clock) = limiter(limits("1/s", 2, 1));
        let held = limiter.admit(&grant()).unwrap();
        for _ in 0..5 {
            assert_eq!(limiter.admit(&grant()).unwrap_err(), Denied::Concurrency { limit: 1 });
        }
        drop(held);
        drop(limiter.admit(&grant()).unwrap());
        for _ in 0..5 {
            assert!(matches!(limiter.admit(&grant()), Err(Denied::Rate { .. })));
        }
        clock.advance(Duration::from_secs(1));
        assert!(limiter.admit(&grant()).is_ok());
    }

    #[test]
    fn a_new_registry_does_not_refill_what_is_spent() {
        let (before, _) = limiter(limits("1/s", 2, 1));
        let held = before.admit(&grant()).unwrap();
        let after = before.next([(grant(), limits("1/s", 2, 1))]);
        assert_eq!(after.admit(&grant()).unwrap_err(), Denied::Concurrency { limit: 1 }, "one is running");
        drop(held);
        drop(after.admit(&grant()).unwrap());
        assert!(matches!(after.admit(&grant()), Err(Denied::Rate { .. })), "the burst of 2 is spent");
        let changed = after.next([(grant(), limits("1/s", 3, 1))]);
        assert!(changed.admit(&grant()).is_ok(), "other limits begin anew");
        let gone = changed.next([]);
        assert!(gone.admit(&grant()).is_err(), "a grant that is gone admits nothing");
    }

    #[test]
    fn a_grant_without_limits_is_unlimited() {
        let (limiter, _) = limiter(Limits::default());
        let held: Vec<_> = (0..10_000).map(|_| limiter.admit(&grant())).collect();
        assert!(held.iter().all(Result::is_ok));
    }

    #[test]
    fn a_grant_that_the_limiter_does_not_know_is_denied() {
        let (limiter, _) = limiter(Limits::default());
        assert_eq!(limiter.admit(&"another".parse().unwrap()).unwrap_err(), Denied::Concurrency { limit: 0 });
    }

    #[test]
    fn threads_together_are_admitted_no_more_than_the_burst() {
        let limiter = Limiter::new([(grant(), limits("1/d", 500, 0))]);
        let admitted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        admitted.fetch_add(u32::from(limiter.admit(&grant()).is_ok()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 500);
    }
}
