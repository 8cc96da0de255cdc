//! `SharedRate` is one grant's rate among all gateways. Its bucket is in Redis, and this gateway leases
//! tokens of it ahead of need, so that a call finds one here and asks nobody. What is leased and not used
//! goes back.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Shared;
use super::debt::Debt;
use super::link::LeaseError;
use super::own_share::OwnShare;
use super::script::{LeaseRequest, Leased};

/// How far ahead tokens are leased: what the gateway's calls use in this time.
const LEASE_AHEAD: Duration = Duration::from_millis(100);
/// Tokens beyond what the gateway's calls use go back this long after the last lease was asked for.
const LONGEST_UNUSED: Duration = Duration::from_millis(200);
/// How long a bucket is taken to be empty without asking again. Another gateway may have given tokens back.
const LONGEST_DENIAL: Duration = Duration::from_millis(200);

/// The rate of one grant.
pub(crate) struct SharedRate {
    shared: Arc<Shared>,
    key: String,
    interval: Duration,
    burst: NonZeroU32,
    /// Leased and not used.
    tokens: AtomicU32,
    /// Calls since the last lease was asked for.
    calls: AtomicU32,
    /// Whether a call came since the last look after unused tokens.
    is_used: AtomicBool,
    /// Calls that wait for a lease.
    waiting: AtomicU32,
    own_share: ArcSwap<OwnShare>,
    lease: Mutex<Lease>,
    /// Told after each answer of Redis.
    answered: Notify,
}

/// What is known of the leases so far.
struct Lease {
    /// Whether Redis is being asked.
    is_asked: bool,
    asked: Instant,
    /// Calls a second of this gateway, smoothed.
    speed: f64,
    /// The last lease's tokens.
    size: u32,
    /// Whether the rate is among those whose unused tokens are looked after.
    is_held: bool,
    /// Until when the bucket is empty, and until when that is believed.
    empty: Option<(Instant, Instant)>,
    /// Calls that the own share admitted and that Redis does not know of.
    debt: Debt,
    /// Tokens left in the bucket at `told`.
    left: u32,
    told: Instant,
}

/// What a call finds that has no token.
enum Next {
    /// Tokens came meanwhile.
    Again,
    /// An answer of Redis is on its way.
    Wait,
    /// The bucket is empty for this long.
    Empty(Duration),
}

impl SharedRate {
    /// The rate of one call in `interval`, `burst` at once; `key` is where Redis has it.
    pub(super) fn new(shared: Arc<Shared>, key: String, interval: Duration, burst: NonZeroU32) -> Self {
        let now = Instant::now();
        let own_share = ArcSwap::from_pointee(OwnShare::new(interval, burst, shared.replicas()));
        let lease = Lease {
            is_asked: false,
            asked: now,
            speed: 0.0,
            size: 0,
            is_held: false,
            empty: None,
            debt: Debt::none(burst.get()),
            left: burst.get(),
            told: now,
        };
        Self {
            shared,
            key,
            interval,
            burst,
            tokens: AtomicU32::default(),
            calls: AtomicU32::default(),
            is_used: AtomicBool::default(),
            waiting: AtomicU32::default(),
            own_share,
            lease: Mutex::new(lease),
            answered: Notify::new(),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Takes a token, or says when there will be one.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<(), Duration> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Relaxed);
        if self.take_leased() {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + self.shared.settings.patience;
        let _waiting = WaitingCall::among(&self.waiting);
        let mut has_waited = false;
        while self.shared.link.is_up() && tokio::time::Instant::now() < deadline {
            let mut answered = std::pin::pin!(self.answered.notified());
            // Listened to before the question, so that an answer in between is not missed.
            answered.as_mut().enable();
            match self.ask() {
                Next::Again => {}
                Next::Empty(wait) => return Err(wait),
                Next::Wait => {
                    if !std::mem::replace(&mut has_waited, true) {
                        self.shared.count_wait();
                    }
                    if tokio::time::timeout_at(deadline, answered).await.is_err() {
                        break;
                    }
                }
            }
            if self.take_leased() {
                return Ok(());
            }
        }
        self.take_of_own_share()
    }

    /// Gives back a token that was taken and not used.
    pub(crate) fn give_back(self: &Arc<Self>) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        self.hold(&mut self.lease.lock());
    }

    /// About how many calls would pass now.
    pub(crate) fn left(&self) -> u32 {
        let lease = self.lease.lock();
        let came = lease.told.elapsed().as_nanos() / self.interval.as_nanos().max(1);
        let left = lease.left.saturating_add(u32::try_from(came).unwrap_or(u32::MAX));
        left.saturating_add(self.tokens.load(Ordering::Relaxed)).min(self.burst.get())
    }

    /// Forgets what is known and leased: the bucket was filled by hand.
    pub(crate) fn forget(&self) {
        self.tokens.store(0, Ordering::Relaxed);
        self.own_share.store(Arc::new(OwnShare::new(self.interval, self.burst, self.shared.replicas())));
        let mut lease = self.lease.lock();
        (lease.empty, lease.left, lease.told) = (None, self.burst.get(), Instant::now());
        lease.debt = Debt::none(self.burst.get());
    }

    fn take_leased(self: &Arc<Self>) -> bool {
        let less = |tokens: u32| tokens.checked_sub(1);
        let Ok(before) = self.tokens.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) else {
            return false;
        };
        // Whether there is room in the share is not asked: it only remembers the call.
        self.own_share().take().ok();
        if self.shared.link.is_up() {
            self.ask_ahead(before - 1);
        }
        true
    }

    fn take_of_own_share(self: &Arc<Self>) -> Result<(), Duration> {
        self.own_share().take()?;
        self.shared.count_own_decision();
        let mut lease = self.lease.lock();
        lease.debt.add(1, self.share_interval());
        self.hold(&mut lease);
        Ok(())
    }

    /// Time in which a call of the own share comes back.
    fn share_interval(&self) -> Duration {
        self.interval.saturating_mul(self.shared.replicas().max(1))
    }

    /// Registers the rate for settling: unused tokens are returned, and uncharged calls are charged.
    fn hold(self: &Arc<Self>, lease: &mut Lease) {
        if !std::mem::replace(&mut lease.is_held, true) {
            self.shared.hold(self);
        }
    }

    fn own_share(&self) -> arc_swap::Guard<Arc<OwnShare>> {
        let share = self.own_share.load();
        let replicas = self.shared.replicas();
        if share.replicas() == replicas {
            return share;
        }
        drop(share);
        // Under the lock, so that no call is charged to a share that another thread replaces.
        let _lease = self.lease.lock();
        let share = self.own_share.load();
        if share.replicas() != replicas {
            self.own_share.store(Arc::new(share.among(self.interval, self.burst, replicas)));
        }
        self.own_share.load()
    }

    /// Leases more if few tokens are left.
    fn ask_ahead(self: &Arc<Self>, left: u32) {
        let Some(mut lease) = self.lease.try_lock() else { return };
        if left <= lease.size / 2 && !lease.is_asked && lease.believed_empty().is_none() {
            self.begin(&mut lease);
        }
    }

    fn ask(self: &Arc<Self>) -> Next {
        let mut lease = self.lease.lock();
        if self.tokens.load(Ordering::Acquire) > 0 {
            return Next::Again;
        }
        if let Some(wait) = lease.believed_empty() {
            return Next::Empty(wait);
        }
        if !lease.is_asked {
            self.begin(&mut lease);
        }
        Next::Wait
    }

    /// Asks Redis in a task of its own, so that a caller who leaves takes no token along.
    fn begin(self: &Arc<Self>, lease: &mut Lease) {
        lease.is_asked = true;
        let passed = lease.asked.elapsed().max(Duration::from_millis(1));
        lease.asked = Instant::now();
        let calls = self.calls.swap(0, Ordering::Relaxed);
        // The longer the time, the more it says; from `LEASE_AHEAD` on it says all.
        let weight = (passed.as_secs_f64() / LEASE_AHEAD.as_secs_f64()).min(1.0);
        lease.speed += (f64::from(calls) / passed.as_secs_f64() - lease.speed) * weight;
        self.hold(lease);
        let wanted = wanted(
            lease.speed,
            self.waiting.load(Ordering::Relaxed),
            self.burst.get(),
            self.shared.replicas(),
        );
        let rate = Arc::clone(self);
        self.shared.runtime.spawn(async move { rate.lease(wanted, 0).await });
    }

    async fn lease(self: Arc<Self>, wanted: u32, returned: u32) {
        let spent = self.lease.lock().debt.take(self.share_interval());
        let interval = self.interval;
        let burst = self.burst.get();
        let request = LeaseRequest { key: &self.key, interval, burst, wanted, returned, spent };
        let leased = self.shared.link.lease(&request).await;
        let mut lease = self.lease.lock();
        match leased {
            Ok(Leased { granted, left, wait }) => {
                let now = Instant::now();
                lease.empty = (granted < wanted).then(|| (now + wait, now + wait.min(LONGEST_DENIAL)));
                (lease.left, lease.told) = (left, now);
                if wanted > 0 {
                    lease.size = granted;
                }
                self.tokens.fetch_add(granted, Ordering::AcqRel);
            }
            Err(error) => {
                // They are used if they surely did not go back, and given up if they may have.
                if matches!(error, LeaseError::NotSent) {
                    self.tokens.fetch_add(returned, Ordering::AcqRel);
                }
                // Charged twice at worst.
                lease.debt.add(spent, self.share_interval());
                self.hold(&mut lease);
            }
        }
        lease.is_asked = false;
        drop(lease);
        self.answered.notify_waiters();
    }

    /// Waits until Redis is not being asked.
    async fn answered(&self) {
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            if !self.lease.lock().is_asked {
                return;
            }
            answered.await;
        }
    }

    /// Gives tokens back that nobody has wanted for a while, or all of them, and charges what is not charged.
    /// Returns whether there is more to look after.
    pub(super) async fn settle(self: Arc<Self>, is_last: bool) -> bool {
        if is_last {
            // Else its tokens would come after all have gone back.
            self.answered().await;
        }
        let (stays, returned) = {
            let mut lease = self.lease.lock();
            let is_charged = lease.debt.is_none(self.share_interval());
            // A call since the last look keeps what the gateway's calls use.
            let is_used = self.is_used.swap(false, Ordering::Relaxed);
            let is_fresh = lease.is_asked || lease.asked.elapsed() <= LONGEST_UNUSED;
            let stays = (is_used || is_fresh) && !is_last;
            let kept = match (stays, is_fresh) {
                (false, _) => 0,
                (true, true) => u32::MAX,
                (true, false) => self.kept(&lease),
            };
            let tokens = self.tokens.load(Ordering::Acquire);
            if stays && (lease.is_asked || is_charged && tokens <= kept) {
                return true;
            }
            (lease.is_held, lease.is_asked) = (stays, true);
            let more = |tokens: u32| Some(tokens.min(kept));
            let before = self.tokens.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).unwrap_or(0);
            (stays, before.saturating_sub(kept))
        };
        self.lease(0, returned).await;
        stays
    }

    /// Tokens that the gateway's calls use in `LEASE_AHEAD`, by those since the last lease.
    fn kept(&self, lease: &Lease) -> u32 {
        let calls = f64::from(self.calls.load(Ordering::Relaxed));
        let speed = lease.speed.min(calls / lease.asked.elapsed().as_secs_f64().max(0.001));
        wanted(speed, 0, self.burst.get(), self.shared.replicas())
    }
}

/// Tokens of the next lease: what the gateway uses in `LEASE_AHEAD`, but no more than half of its part of a
/// burst, so that the others find some; and all that calls wait for.
fn wanted(speed: f64, waiting: u32, burst: u32, replicas: u32) -> u32 {
    let used = (speed * LEASE_AHEAD.as_secs_f64()).ceil().min(f64::from(burst)) as u32;
    let most = (burst / replicas.max(1) / 2).max(1);
    used.clamp(1, most).max(waiting).min(burst)
}

impl Lease {
    /// How long the bucket is empty, if that is still believed.
    fn believed_empty(&self) -> Option<Duration> {
        let now = Instant::now();
        self.empty.filter(|(_, believed)| now < *believed).map(|(until, _)| until - now)
    }
}

/// Counts a call that waits, until it is dropped.
struct WaitingCall<'c>(&'c AtomicU32);

impl<'c> WaitingCall<'c> {
    fn among(count: &'c AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_what_is_used_in_a_tenth_of_a_second_and_half_of_a_share_at_most() {
        for (speed, waiting, burst, replicas, leased) in [
            (0.0, 0, 40, 2, 1),
            (20.0, 0, 40, 2, 2),
            (1000.0, 0, 40, 2, 10),
            (1000.0, 0, 4000, 2, 100),
            (1000.0, 30, 40, 2, 30),
            (1000.0, 300, 40, 2, 40),
            (5.0, 0, 1, 3, 1),
            (f64::MAX, 0, 1_000_000, 1, 500_000),
        ] {
            assert_eq!(
                wanted(speed, waiting, burst, replicas),
                leased,
                "{speed} {waiting} {burst} {replicas}"
            );
        }
    }
}
