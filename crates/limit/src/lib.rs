//! What a grant may ask: rate and burst (GCRA, by `governor`) and calls at once. All in this process.
//!
//! Deliberately absent: who the caller is and what a grant allows; the registry decides that.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chapar_model::GrantId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// The limits of one grant. Nothing set: none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Calls in a period.
    pub rate: Option<Rate>,
    /// Calls that may come at once after a pause; at least 1. Default: one period's calls.
    pub burst: Option<u32>,
    /// Calls running at once.
    pub concurrent: Option<u32>,
}

/// So many calls in so long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// At least 1.
    pub calls: NonZeroU32,
    /// At least 1 ms.
    pub per: Duration,
}

/// Why a call is not admitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Denied {
    /// Over the rate.
    Rate {
        /// When the next call fits.
        retry_after: Duration,
        /// The limit in words.
        limit: String,
    },
    /// Too many at once.
    Concurrency {
        /// How many may run.
        limit: u32,
    },
}

/// Admits calls by the limits of their grants.
pub struct Limiter<C: Clock = DefaultClock> {
    grants: HashMap<GrantId, Grant<C>>,
    clock: C,
}

struct Grant<C: Clock> {
    limits: Limits,
    bucket: Option<RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>>,
    running: Arc<AtomicU32>,
}

impl Limiter {
    /// Limits on the monotonic clock.
    pub fn new(grants: impl IntoIterator<Item = (GrantId, Limits)>) -> Self {
        Self::with_clock(grants, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiter<C> {
    /// Limits on a clock of the caller's.
    pub fn with_clock(grants: impl IntoIterator<Item = (GrantId, Limits)>, clock: C) -> Self {
        let grant = |(id, limits): (GrantId, Limits)| {
            let bucket = quota(&limits).map(|quota| RateLimiter::direct_with_clock(quota, clock.clone()));
            (id, Grant { limits, bucket, running: Arc::default() })
        };
        let grants = grants.into_iter().map(grant).collect();
        Self { grants, clock }
    }

    /// Admits one call. A grant that is not known is denied: a limiter and the registry that it was made from know the same.
    ///
    /// # Errors
    /// [`Denied`] with the limit that was reached. A call denied for concurrency has not used up rate.
    pub fn admit(&self, id: &GrantId) -> Result<Admission, Denied> {
        let Some(grant) = self.grants.get(id) else { return Err(Denied::Concurrency { limit: 0 }) };
        let admission = Admission::take(&grant.running, grant.limits.concurrent)?;
        if let Some(bucket) = &grant.bucket {
            bucket.check().map_err(|until| {
                let retry_after = until.wait_time_from(self.clock.now());
                Denied::Rate { retry_after, limit: grant.limits.in_words() }
            })?;
        }
        Ok(admission)
    }
}

impl Limits {
    /// The burst that holds: the one that is set, or one period's calls.
    pub fn effective_burst(&self) -> Option<u32> {
        self.burst.or(self.rate.map(|rate| rate.calls.get()))
    }

    fn in_words(&self) -> String {
        let burst = self.effective_burst().unwrap_or_default();
        self.rate.map_or_else(String::new, |Rate { calls, per }| format!("{calls} calls per {per:?}, burst {burst}"))
    }
}

fn quota(limits: &Limits) -> Option<Quota> {
    let Rate { calls, per } = limits.rate?;
    let burst = NonZeroU32::new(limits.effective_burst()?)?;
    Some(Quota::with_period((per / calls.get()).max(Duration::from_nanos(1)))?.allow_burst(burst))
}

/// A call that was admitted; its place among the concurrent ones is free again when this is dropped.
#[derive(Debug)]
pub struct Admission(Arc<AtomicU32>);

impl Admission {
    fn take(running: &Arc<AtomicU32>, most: Option<u32>) -> Result<Self, Denied> {
        let before = running.fetch_add(1, Ordering::AcqRel);
        let admission = Self(Arc::clone(running));
        match most {
            Some(limit) if before >= limit => Err(Denied::Concurrency { limit }),
            _ => Ok(admission),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn id(text: &str) -> GrantId {
        text.parse().unwrap()
    }

    fn rate(calls: u32, per: Duration) -> Option<Rate> {
        Some(Rate { calls: NonZeroU32::new(calls).unwrap(), per })
    }

    #[test]
    fn a_burst_is_admitted_exactly_and_the_wait_is_exactly_enough() {
        let clock = FakeRelativeClock::default();
        let limits = Limits { rate: rate(20, Duration::from_secs(1)), burst: Some(40), concurrent: None };
        let limiter = Limiter::with_clock([(id("g"), limits)], clock.clone());

        let admitted = (0..100).filter(|_| limiter.admit(&id("g")).is_ok()).count();

        assert_eq!(admitted, 40);
        let Err(Denied::Rate { retry_after, .. }) = limiter.admit(&id("g")) else { panic!("the bucket is empty") };
        assert_eq!(retry_after, Duration::from_millis(50));
        clock.advance(retry_after - Duration::from_nanos(1));
        assert!(limiter.admit(&id("g")).is_err());
        clock.advance(Duration::from_nanos(1));
        assert!(limiter.admit(&id("g")).is_ok());
    }

    #[test]
    fn in_the_long_run_the_rate_holds() {
        let clock = FakeRelativeClock::default();
        let limits = Limits { rate: rate(20, Duration::from_secs(1)), burst: Some(40), concurrent: None };
        let limiter = Limiter::with_clock([(id("g"), limits)], clock.clone());
        let mut admitted = 0;
        for _ in 0..10_000 {
            admitted += u32::from(limiter.admit(&id("g")).is_ok());
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(admitted, 40 + 10 * 20 - 1, "ten seconds, the last millisecond not over");
    }

    #[test]
    fn a_place_is_free_again_when_its_call_ends() {
        let limiter = Limiter::new([(id("g"), Limits { concurrent: Some(2), ..Limits::default() })]);
        let first = limiter.admit(&id("g")).unwrap();
        let _second = limiter.admit(&id("g")).unwrap();
        assert_eq!(limiter.admit(&id("g")).unwrap_err(), Denied::Concurrency { limit: 2 });
        drop(first);
        assert!(limiter.admit(&id("g")).is_ok());
    }

    #[test]
    fn a_call_denied_for_concurrency_uses_up_no_rate() {
        let limits = Limits { rate: rate(1, Duration::from_secs(3600)), burst: Some(2), concurrent: Some(1) };
        let limiter = Limiter::new([(id("g"), limits)]);
        let held = limiter.admit(&id("g")).unwrap();
        for _ in 0..10 {
            assert_eq!(limiter.admit(&id("g")).unwrap_err(), Denied::Concurrency { limit: 1 });
        }
        drop(held);
        assert!(limiter.admit(&id("g")).is_ok());
    }

    #[test]
    fn no_limits_are_no_limit_and_an_unknown_grant_is_denied() {
        let limiter = Limiter::new([(id("free"), Limits::default())]);
        assert!((0..1000).all(|_| limiter.admit(&id("free")).is_ok()));
        assert!(limiter.admit(&id("unknown")).is_err());
    }
}
