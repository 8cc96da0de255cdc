//! `Lockout` makes those wait who guess passwords: after three failures in a row for a clerk, or thirty from
//! a network, each further try waits twice as long as the one before, from 5 s to 15 min (OWASP
//! Authentication Cheat Sheet, "Account Lockout"). A try counts as a failure from its begin, so that many at
//! once are no more than many in a row; a success takes it back. It knows no clerks: an id that there is not
//! is treated alike.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use chapar_model::ClerkId;
use parking_lot::Mutex;

use crate::network::network_of;

/// Failures for one clerk that cost no wait.
const FREE_FOR_CLERK: u32 = 3;
/// Failures from one network that cost no wait, and tries of it at once: an office's clerks may all sign in
/// in the same minute, from one address.
const FREE_FROM_NETWORK: u32 = 30;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Failures are forgotten after this time without another one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Maximum number of clerks and addresses that are remembered. The one with the fewest failures is forgotten
/// for a new one: whoever tries many ids must not free the one that is attacked.
const MAX_REMEMBERED: usize = 10_000;

/// Whose failures are counted.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Who {
    /// By the id in lower case, as clerks' ids differ by more than that.
    Clerk(String),
    /// Every id that no clerk can have: it is of any length, so it is not kept.
    NoClerk,
    /// Several clerks may share one.
    Network(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// A try that has begun, and counts as a failure unless it succeeds or is taken back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt {
    who: [Who; 2],
    at: Instant,
    /// When each of them had failed last before.
    before: [Option<Instant>; 2],
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Lockout(Mutex<HashMap<Who, Failures>>);

impl Failures {
    /// How long to wait before the next try; nothing if it may be made now.
    fn wait(&self, free: u32, now: Instant) -> Option<Duration> {
        let over = self.count.checked_sub(free)?;
        // Doubled 8 times it is over the longest wait.
        let wait = (FIRST_WAIT * 2u32.pow(over.min(8))).min(LONGEST_WAIT);
        let left = (self.last + wait).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

impl Who {
    fn clerk(id: &str) -> Self {
        match id.parse::<ClerkId>() {
            Ok(id) => Self::Clerk(id.as_str().to_lowercase()),
            Err(_) => Self::NoClerk,
        }
    }

    fn free(&self) -> u32 {
        match self {
            Self::Clerk(_) | Self::NoClerk => FREE_FOR_CLERK,
            Self::Network(_) => FREE_FROM_NETWORK,
        }
    }
}

impl Lockout {
    /// Begins a try for a clerk's id from an address, and counts it.
    ///
    /// # Errors
    /// How long to wait before the next try. A try that has to wait does not count.
    pub(crate) fn begin(&self, clerk: &str, address: IpAddr, now: Instant) -> Result<Attempt, Duration> {
        let who = [Who::clerk(clerk), Who::Network(network_of(address))];
        // One lock for both steps: between them another try would see the same count.
        let mut failures = self.0.lock();
        let fresh = |who: &Who| failures.get(who).filter(|known| !known.is_old(now));
        if let Some(wait) = who.iter().filter_map(|who| fresh(who)?.wait(who.free(), now)).max() {
            return Err(wait);
        }
        let before = [0, 1].map(|place| fresh(&who[place]).map(|known| known.last));
        for who in &who {
            count(&mut failures, who, now);
        }
        Ok(Attempt { who, at: now, before })
    }

    /// The try succeeded: it is no failure of its network, and ends the waits of its clerk. What the network
    /// has failed before stays, since a clerk's own sign-in must not free whoever guesses others' passwords
    /// from the same machine.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        // One lock for both, so that a failure that comes between is not removed with the clerk's.
        let mut failures = self.0.lock();
        take_back(&mut failures, attempt);
        failures.remove(&attempt.who[0]);
    }

    /// The try was no failure of whoever made it.
    pub(crate) fn take_back(&self, attempt: &Attempt) {
        take_back(&mut self.0.lock(), attempt);
    }
}

fn take_back(failures: &mut HashMap<Who, Failures>, attempt: &Attempt) {
    for (who, before) in attempt.who.iter().zip(attempt.before) {
        let Some(known) = failures.get_mut(who) else { continue };
        known.count = known.count.saturating_sub(1);
        match before {
            _ if known.count == 0 => drop(failures.remove(who)),
            // Else a network whose clerks sign in would never forget its failures.
            Some(before) if known.last == attempt.at => known.last = before,
            _ => {}
        }
    }
}

fn count(failures: &mut HashMap<Who, Failures>, who: &Who, now: Instant) {
    if failures.len() >= MAX_REMEMBERED && !failures.contains_key(who) {
        failures.retain(|_, known| !known.is_old(now));
        let fewest = failures.iter().min_by_key(|(_, known)| (known.count, known.last));
        if failures.len() >= MAX_REMEMBERED
            && let Some(who) = fewest.map(|(who, _)| who.clone())
        {
            failures.remove(&who);
        }
    }
    let known = failures.entry(who.clone()).or_insert(Failures { count: 0, last: now });
    known.count = if known.is_old(now) { 1 } else { known.count.saturating_add(1) };
    known.last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    /// An address of its own for each number.
    fn address(number: usize) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap()))
    }

    #[test]
    fn waits_grow_from_the_third_failure_on_and_end_with_a_success() {
        let lockout = Lockout::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for number in 0..14 {
            let began = lockout.begin("z.karimi", address(number), now);
            if let Err(wait) = began {
                waits.push(wait.as_secs());
                now += wait;
                let _failed = lockout.begin("Z.Karimi", address(number), now).unwrap();
            }
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        assert!(lockout.begin("a.karimi", address(99), now).is_ok(), "nobody else waits");
        let attempt = lockout.begin("z.karimi", address(99), now + LONGEST_WAIT).unwrap();
        lockout.succeeded(&attempt);
        assert!(lockout.begin("z.karimi", address(99), now + LONGEST_WAIT).is_ok());
    }

    #[test]
    fn tries_at_once_count_before_any_has_failed() {
        let lockout = Lockout::default();
        let now = Instant::now();
        let began: Vec<_> = (0..100).map(|number| lockout.begin("z.karimi", address(number), now)).collect();
        assert_eq!(began.iter().filter(|began| began.is_ok()).count(), 3);
    }

    #[test]
    fn an_address_that_guesses_many_clerks_waits_and_one_that_succeeds_does_not() {
        let lockout = Lockout::default();
        let now = Instant::now();
        for number in 0..100 {
            let attempt = lockout.begin(&format!("clerk-{number}"), OFFICE, now).unwrap();
            lockout.succeeded(&attempt);
        }
        for number in 0..30 {
            let _failed = lockout.begin(&format!("clerk-{number}"), OFFICE, now).unwrap();
        }
        assert_eq!(lockout.begin("clerk-31", OFFICE, now).unwrap_err(), FIRST_WAIT);
    }

    #[test]
    fn failures_are_forgotten_although_others_of_the_network_sign_in() {
        let lockout = Lockout::default();
        let began = Instant::now();
        for number in 0..30 {
            let _failed = lockout.begin(&format!("clerk-{number}"), OFFICE, began).unwrap();
        }
        for half_hours in 1..=4 {
            let now = began + Duration::from_secs(half_hours * 30 * 60);
            let attempt = lockout.begin("z.karimi", OFFICE, now).unwrap();
            lockout.succeeded(&attempt);
            assert!(lockout.begin("a.ahmadi", OFFICE, now).is_ok_and(|attempt| {
                lockout.take_back(&attempt);
                true
            }));
        }
        let now = began + Duration::from_secs(2 * 60 * 60);
        for number in 0..30 {
            assert!(lockout.begin(&format!("clerk-{number}"), OFFICE, now).is_ok(), "{number}");
        }
    }

    #[test]
    fn a_try_that_is_taken_back_is_no_failure() {
        let lockout = Lockout::default();
        let now = Instant::now();
        for _ in 0..20 {
            let attempt = lockout.begin("z.karimi", OFFICE, now).unwrap();
            lockout.take_back(&attempt);
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let lockout = Lockout::default();
        let now = Instant::now();
        for number in 0..30 {
            let address = format!("2001:db8::{number}").parse().unwrap();
            let _failed = lockout.begin(&format!("clerk-{number}"), address, now).unwrap();
        }
        assert!(lockout.begin("clerk-31", "2001:db8::ffff:1".parse().unwrap(), now).is_err());
        assert!(lockout.begin("clerk-31", "2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_attacked_clerk_stays_in_it() {
        let lockout = Lockout::default();
        let now = Instant::now();
        for number in 0..3 {
            let _failed = lockout.begin("z.karimi", address(number), now).unwrap();
        }
        for number in 0..MAX_REMEMBERED / 2 + 100 {
            // Ids that no clerk can have are one entry, however long and many.
            let _failed = lockout.begin(&"x".repeat(2000 + number), address(number), now);
            let _failed = lockout.begin(&number.to_string(), address(number), now);
        }
        assert_eq!(lockout.0.lock().len(), MAX_REMEMBERED);
        assert!(lockout.begin("z.karimi", OFFICE, now).is_err());
    }
}
