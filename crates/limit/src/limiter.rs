//! `Limiter` holds a rate limit (GCRA) and a concurrency limit for each grant. After a reload a grant with
//! unchanged limits keeps its state, so that a spent burst is not refilled.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chapar_model::{GrantId, Limits, Rate};
use governor::clock::Reference as _;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::usage::{Kind, LimitUsage, Usage};

/// `Limiter` holds the limits of every grant, or of another key `K`. `C` is the monotonic clock; tests use a
/// manual one.
pub struct Limiter<K = GrantId, C: Clock = DefaultClock> {
    grants: HashMap<K, Arc<GrantLimits<C>>>,
    clock: C,
}

struct GrantLimits<C: Clock> {
    limits: Limits,
    period: ArcSwap<CountsSince<C>>,
    slots: Option<Slots>,
}

/// `CountsSince` holds the counts since the grant's first load, or since its reset.
struct CountsSince<C: Clock> {
    since: Instant,
    rate: Option<Meter<C>>,
    admitted: AtomicU64,
    over_rate: AtomicU64,
    over_concurrency: AtomicU64,
}

struct Meter<C: Clock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
    text: String,
    burst: u32,
    interval: Duration,
    began: C::Instant,
    /// Time of the last admitted call in milliseconds since `began` (upper 32 bits), and the calls that were
    /// left then (lower 32 bits). It is for display, never for a decision. Both are in one atomic value, so
    /// that a reader gets a pair that belongs together.
    last: AtomicU64,
}

struct Slots {
    most: u32,
    taken: Arc<AtomicU32>,
}

/// `Admission` is a call within its grant's limits. It holds its concurrency permit until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Admission {
    taken: Option<Arc<AtomicU32>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(taken) = &self.taken {
            // Release, with Acquire in `Slots::take`: the next call that gets this permit starts after
            // everything that this call did.
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

impl<K: Eq + Hash> Limiter<K> {
    /// Limits for `grants`, every bucket full. A grant without limits is unlimited; one that is not listed is
    /// denied.
    pub fn new(grants: impl IntoIterator<Item = (K, Limits)>) -> Self {
        Self::with_clock(grants, DefaultClock::default())
    }
}

impl<K: Eq + Hash, C: Clock + Clone> Limiter<K, C> {
    /// The same with another clock.
    pub fn with_clock(grants: impl IntoIterator<Item = (K, Limits)>, clock: C) -> Self {
        let grants = grants
            .into_iter()
            .map(|(grant, limits)| (grant, Arc::new(GrantLimits::new(limits, &clock))))
            .collect();
        Self { grants, clock }
    }

    /// Makes the limits for the grants of a new registry. A grant with unchanged limits keeps its spent
    /// tokens and its running calls; a grant whose limits have changed starts with a full bucket.
    pub fn next(&self, grants: impl IntoIterator<Item = (K, Limits)>) -> Self {
        let entry = |(grant, limits): (K, Limits)| {
            // Compared by the limits and not by the generation: a reload without a change must not refill a
            // spent burst.
            let same = self.grants.get(&grant).filter(|state| state.limits == limits);
            let state = same.map_or_else(|| Arc::new(GrantLimits::new(limits, &self.clock)), Arc::clone);
            (grant, state)
        };
        Self { grants: grants.into_iter().map(entry).collect(), clock: self.clock.clone() }
    }

    /// Counts one call of `grant`. A call that is denied counts for nothing.
    ///
    /// # Errors
    /// [`Denied`], with the limit that the call is over. A grant that the limiter does not know is denied: it
    /// can only come of a mistake, and a mistake must not lift a limit.
    pub fn admit(&self, grant: &K) -> Result<Admission, Denied> {
        // The concurrency permit is taken first: it can be given back if the rate refuses the call, a token
        // cannot.
        let admission = self.admit_again(grant)?;
        self.count(grant)?;
        Ok(admission)
    }

    /// Counts one call of `grant` that has its concurrency permit.
    pub(crate) fn count(&self, grant: &K) -> Result<(), Denied> {
        let state = self.grants.get(grant).ok_or(Denied::Concurrency { limit: 0 })?;
        let period = state.period.load();
        if let Some(denied) = period.rate.as_ref().and_then(|rate| rate.check().err()) {
            period.over_rate.fetch_add(1, Ordering::Relaxed);
            return Err(denied);
        }
        period.admitted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl<K: Eq + Hash, C: Clock + Clone> Limiter<K, C> {
    /// Admits another attempt of a call that was counted: it takes a place among the concurrent calls, and
    /// counts for nothing else.
    ///
    /// # Errors
    /// As [`Limiter::admit`], but never for the rate.
    pub fn admit_again(&self, grant: &K) -> Result<Admission, Denied> {
        let state = self.grants.get(grant).ok_or(Denied::Concurrency { limit: 0 })?;
        state.take_slot(&state.period.load())
    }

    /// Counts a call that is over the rate by another count than this one's; it would pass after `wait`.
    pub(crate) fn refused(&self, grant: &K, wait: Duration) -> Denied {
        let Some(state) = self.grants.get(grant) else { return Denied::Concurrency { limit: 0 } };
        let period = state.period.load();
        period.over_rate.fetch_add(1, Ordering::Relaxed);
        let limit = period.rate.as_ref().map(|rate| rate.text.clone()).unwrap_or_default();
        Denied::Rate { retry_after: whole_millis(wait), limit }
    }

    /// Returns the usage of `grant`; `None` for a grant that the limiter does not know.
    pub fn usage(&self, grant: &K) -> Option<Usage> {
        let state = self.grants.get(grant)?;
        let period = state.period.load();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let rate = period.rate.as_ref().map(|rate| {
            let most = u64::from(rate.burst);
            let left = u64::from(rate.left());
            let limit = rate.text.clone();
            let refused = count(&period.over_rate);
            LimitUsage { kind: Kind::Rate, limit, most, used: most - left, left, refused }
        });
        let concurrent = state.slots.as_ref().map(|slots| {
            let most = u64::from(slots.most);
            let used = u64::from(slots.taken.load(Ordering::Relaxed));
            let limit = format!("{most} at once");
            let refused = count(&period.over_concurrency);
            LimitUsage { kind: Kind::Concurrent, limit, most, used, left: most.saturating_sub(used), refused }
        });
        let limits = rate.into_iter().chain(concurrent).collect();
        Some(Usage { limits, admitted: count(&period.admitted), since: period.since })
    }

    /// Resets `grant`: its bucket is full, and its counts are zero. Running calls keep their permits. Returns
    /// whether the limiter knows the grant.
    pub fn reset(&self, grant: &K) -> bool {
        let state = self.grants.get(grant);
        state
            .inspect(|state| state.period.store(Arc::new(CountsSince::new(&state.limits, &self.clock))))
            .is_some()
    }
}

impl<C: Clock + Clone> GrantLimits<C> {
    fn new(limits: Limits, clock: &C) -> Self {
        let period = ArcSwap::from_pointee(CountsSince::new(&limits, clock));
        let slots = limits.concurrent.map(|most| Slots { most: most.get(), taken: Arc::default() });
        Self { limits, period, slots }
    }

    fn take_slot(&self, period: &CountsSince<C>) -> Result<Admission, Denied> {
        let taken = self.slots.as_ref().map_or(Ok(Admission { taken: None }), Slots::take);
        taken.inspect_err(|_| {
            period.over_concurrency.fetch_add(1, Ordering::Relaxed);
        })
    }
}

impl<C: Clock + Clone> CountsSince<C> {
    fn new(limits: &Limits, clock: &C) -> Self {
        let rate = limits.rate.map(|rate| Meter::new(rate, limits.burst, clock.clone()));
        let (admitted, over_rate, over_concurrency) = Default::default();
        Self { since: Instant::now(), rate, admitted, over_rate, over_concurrency }
    }
}

impl Slots {
    fn take(&self) -> Result<Admission, Denied> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        // One atomic step, so that two calls cannot take the last place together.
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
        let began = clock.now();
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock).with_middleware();
        let text = format!("{rate}, burst {burst}");
        let last = AtomicU64::new(u64::from(burst.get()));
        Self { limiter, text, burst: burst.get(), interval: rate.interval(), began, last }
    }

    /// Milliseconds since it began, of which the upper half of `last` holds the lower 32 bits.
    fn millis(&self) -> u32 {
        let nanos = self.limiter.clock().now().duration_since(self.began).as_u64();
        (nanos / 1_000_000) as u32
    }

    /// Calls that would pass now.
    fn left(&self) -> u32 {
        let last = self.last.load(Ordering::Relaxed);
        let then = (last >> 32) as u32;
        let left = last as u32;
        // The milliseconds wrap after 49 days, and the difference is still right.
        let passed = Duration::from_millis(self.millis().wrapping_sub(then).into());
        let back = u32::try_from(passed.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(u32::MAX);
        left.saturating_add(back).min(self.burst)
    }

    fn check(&self) -> Result<(), Denied> {
        let passed = self.limiter.check().map(|state| {
            let left = u64::from(state.remaining_burst_capacity());
            // Relaxed: the value guards no other memory. Two calls may store out of order, which the display
            // bears.
            self.last.store(u64::from(self.millis()) << 32 | left, Ordering::Relaxed);
        });
        passed.map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            Denied::Rate { retry_after: whole_millis(wait), limit: self.text.clone() }
        })
    }
}

/// Rounds up, to at least one: a caller that comes back a part of a millisecond early would be refused again.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits(rate: &str, burst: u32, concurrent: u32) -> Limits {
        Limits {
            rate: rate.parse().ok(),
            burst: NonZeroU32::new(burst),
            concurrent: NonZeroU32::new(concurrent),
        }
    }

    fn grant() -> GrantId {
        "welfare-getperson".parse().unwrap()
    }

    fn limiter(limits: Limits) -> (Limiter<GrantId, FakeRelativeClock>, FakeRelativeClock) {
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
            let Err(Denied::Rate { retry_after, limit }) = limiter.admit(&grant()) else {
                panic!("{rate} is spent")
            };
            assert_eq!(limit, format!("{rate}, burst 2"));
            assert!(retry_after > Duration::ZERO);
            clock.advance(retry_after);
            assert!(limiter.admit(&grant()).is_ok(), "{rate} after {retry_after:?}");
        }
    }

    #[test]
    fn a_place_is_free_again_when_the_call_ends() {
        let (limiter, _) = limiter(Limits { rate: None, ..limits("", 0, 2) });
        let first = limiter.admit(&grant());
        let second = limiter.admit(&grant());
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
    fn what_is_used_left_and_refused_is_told_and_a_reset_begins_anew() {
        let (limiter, clock) = limiter(limits("1/s", 3, 2));
        let held = [limiter.admit(&grant()).unwrap(), limiter.admit(&grant()).unwrap()];
        assert!(limiter.admit(&grant()).is_err(), "over the concurrency limit");
        drop(held);
        drop(limiter.admit(&grant()).unwrap());
        assert!(limiter.admit(&grant()).is_err(), "over the rate");
        let told = |limiter: &Limiter<GrantId, FakeRelativeClock>| {
            let usage = limiter.usage(&grant()).unwrap();
            let of =
                |limit: &LimitUsage| (limit.kind.as_str(), limit.most, limit.used, limit.left, limit.refused);
            (usage.admitted, usage.limits.iter().map(of).collect::<Vec<_>>())
        };
        assert_eq!(told(&limiter), (3, vec![("rate", 3, 3, 0, 1), ("concurrent", 2, 0, 2, 1)]));
        clock.advance(Duration::from_secs(2));
        assert_eq!(told(&limiter).1[0], ("rate", 3, 1, 2, 1));

        assert!(limiter.reset(&grant()));

        assert_eq!(told(&limiter), (0, vec![("rate", 3, 0, 3, 0), ("concurrent", 2, 0, 2, 0)]));
        assert!((0..3).all(|_| limiter.admit(&grant()).is_ok()));
        let another = "another".parse().unwrap();
        assert!(!limiter.reset(&another) && limiter.usage(&another).is_none());
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
