//! `Lockout` makes those wait who guess passwords: after three failures in a row for a clerk, or ten from an
//! address, each further try waits twice as long as the one before, from 5 s to 15 min (OWASP Authentication
//! Cheat Sheet, "Account Lockout"). It knows no clerks: an id that there is not is treated alike.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures for one clerk that cost no wait.
const FREE_FOR_CLERK: u32 = 3;
/// Failures from one address that cost no wait. Several clerks may share an address.
const FREE_FROM_ADDRESS: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Failures are forgotten after this time without another one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Maximum number of clerks and addresses that are remembered; the oldest is forgotten for a new one.
const MAX_REMEMBERED: usize = 10_000;

/// Whoever failed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Who {
    Clerk(String),
    Address(std::net::IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Lockout(Mutex<HashMap<Who, Failures>>);

impl Failures {
    /// When the next try is allowed.
    fn allowed_at(&self, free: u32) -> Instant {
        match self.count.checked_sub(free) {
            None => self.last,
            // Doubled 8 times it is over the longest wait.
            Some(over) => self.last + (FIRST_WAIT * 2u32.pow(over.min(8))).min(LONGEST_WAIT),
        }
    }
}

impl Who {
    fn free(&self) -> u32 {
        match self {
            Self::Clerk(_) => FREE_FOR_CLERK,
            Self::Address(_) => FREE_FROM_ADDRESS,
        }
    }
}

impl Lockout {
    /// How long to wait before the next try; `None` if it may be made now.
    pub(crate) fn wait(&self, who: &[Who], now: Instant) -> Option<Duration> {
        let failures = self.0.lock();
        let waits = who.iter().filter_map(|who| {
            let failures = failures.get(who)?;
            let is_fresh = now.saturating_duration_since(failures.last) < FORGOTTEN_AFTER;
            let wait = failures.allowed_at(who.free()).saturating_duration_since(now);
            (is_fresh && !wait.is_zero()).then_some(wait)
        });
        waits.max()
    }

    /// A try failed.
    pub(crate) fn failed(&self, who: &[Who], now: Instant) {
        let mut failures = self.0.lock();
        for who in who {
            if failures.len() >= MAX_REMEMBERED && !failures.contains_key(who) {
                failures.retain(|_, known| now.saturating_duration_since(known.last) < FORGOTTEN_AFTER);
                if failures.len() >= MAX_REMEMBERED
                    && let Some(oldest) =
                        failures.iter().min_by_key(|(_, known)| known.last).map(|(who, _)| who.clone())
                {
                    failures.remove(&oldest);
                }
            }
            let known = failures.entry(who.clone()).or_insert(Failures { count: 0, last: now });
            let is_old = now.saturating_duration_since(known.last) >= FORGOTTEN_AFTER;
            known.count = if is_old { 1 } else { known.count.saturating_add(1) };
            known.last = now;
        }
    }

    /// Someone signed in. What was counted for the address stays: a clerk's own sign-in must not free whoever
    /// guesses others' passwords from the same machine.
    pub(crate) fn succeeded(&self, clerk: &str) {
        self.0.lock().remove(&Who::Clerk(clerk.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_the_third_failure_on_and_end_with_a_success() {
        let lockout = Lockout::default();
        let clerk = [Who::Clerk("z.karimi".to_owned())];
        let start = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..14 {
            lockout.failed(&clerk, start);
            waits.push(lockout.wait(&clerk, start).map(|wait| wait.as_secs()));
        }
        assert_eq!(waits[..6], [None, None, Some(5), Some(10), Some(20), Some(40)]);
        assert_eq!(waits.last(), Some(&Some(900)));
        assert_eq!(lockout.wait(&clerk, start + LONGEST_WAIT), None);
        assert_eq!(lockout.wait(&[Who::Clerk("a.karimi".to_owned())], start), None);
        lockout.succeeded("z.karimi");
        assert_eq!(lockout.wait(&clerk, start), None);
    }

    #[test]
    fn an_address_that_guesses_many_clerks_waits_too() {
        let lockout = Lockout::default();
        let address = Who::Address([10, 0, 0, 7].into());
        let now = Instant::now();
        for number in 0..10 {
            assert_eq!(lockout.wait(std::slice::from_ref(&address), now), None, "{number}");
            lockout.failed(&[Who::Clerk(format!("clerk-{number}")), address.clone()], now);
        }
        assert_eq!(lockout.wait(&[address], now), Some(FIRST_WAIT));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let lockout = Lockout::default();
        let now = Instant::now();
        for number in 0..MAX_REMEMBERED + 100 {
            lockout.failed(&[Who::Clerk(number.to_string())], now);
        }
        assert_eq!(lockout.0.lock().len(), MAX_REMEMBERED);
    }
}
