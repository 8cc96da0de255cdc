//! `OwnShare` is a gateway's part of a limit: the limit divided by the number of gateways. It decides while
//! Redis cannot be asked. It is charged at all other times too, so that losing Redis gives nobody a new
//! burst.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// One gateway's share of one limit.
pub(super) struct OwnShare {
    replicas: u32,
    burst: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

impl OwnShare {
    /// A share that is not spent, of a limit of one call in `interval` and `burst` calls at once. Each of
    /// more gateways than the burst has calls may still admit one at once.
    pub(super) fn new(interval: Duration, burst: NonZeroU32, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        // Neither is ever the fallback: a rate has no empty interval.
        let quota = Quota::with_period(interval.saturating_mul(replicas));
        let burst = NonZeroU32::new(burst.get() / replicas).unwrap_or(NonZeroU32::MIN);
        let quota = quota.unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let limiter = RateLimiter::direct(quota).with_middleware();
        Self { replicas, burst, limiter }
    }

    /// The share when there are so many gateways. What is spent stays spent, in proportion.
    pub(super) fn among(&self, interval: Duration, whole: NonZeroU32, replicas: u32) -> Self {
        let next = Self::new(interval, whole, replicas);
        // Looking takes a call, which is none that was made.
        let left = self.limiter.check().map_or(0, |state| state.remaining_burst_capacity() + 1);
        let spent = u64::from(self.burst.get().saturating_sub(left));
        // Rounded up, so that a number of gateways that goes to and fro forgives nothing.
        let spent = (spent * u64::from(next.burst.get())).div_ceil(u64::from(self.burst.get()));
        if let Some(spent) = u32::try_from(spent).ok().and_then(NonZeroU32::new) {
            // It is never more than the burst, so it always fits.
            next.limiter.check_n(spent).ok();
        }
        next
    }

    pub(super) fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Takes a call of the share, or says when there will be one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let taken = self.limiter.check().map(drop);
        taken.map_err(|until| until.wait_time_from(self.limiter.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn left(share: &OwnShare) -> usize {
        (0..1000).take_while(|_| share.take().is_ok()).count()
    }

    fn burst(calls: u32) -> NonZeroU32 {
        NonZeroU32::new(calls).unwrap()
    }

    #[test]
    fn the_shares_of_all_are_no_more_than_the_limit_unless_it_is_smaller_than_their_number() {
        for (whole, replicas, each) in [(40, 1, 40), (40, 2, 20), (40, 3, 13), (2, 3, 1), (1, 8, 1)] {
            assert_eq!(left(&OwnShare::new(HOUR, burst(whole), replicas)), each, "{whole} among {replicas}");
        }
    }

    #[test]
    fn what_is_spent_stays_spent_when_gateways_come_or_go() {
        for (from, to, taken) in [(1, 2, 30), (2, 1, 15), (2, 4, 20), (1, 1, 40), (4, 1, 10)] {
            let share = OwnShare::new(HOUR, burst(40), from);
            assert!((0..taken).all(|_| share.take().is_ok()));
            let next = share.among(HOUR, burst(40), to);
            let part = 40 / to;
            let expected = part - (part * taken).div_ceil(40 / from);
            assert_eq!(left(&next), expected as usize, "{from} to {to}");
        }
    }

    #[test]
    fn a_share_of_a_rate_comes_back_at_a_part_of_it() {
        let share = OwnShare::new(Duration::from_secs(1), burst(4), 4);
        share.take().unwrap();
        let wait = share.take().unwrap_err();
        assert!(wait > Duration::from_millis(3500) && wait <= Duration::from_secs(4), "{wait:?}");
    }
}
