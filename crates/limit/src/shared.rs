//! `Shared` makes rates hold among several gateways through Redis. Redis is neither trusted nor needed: no
//! call waits for it longer than 5 ms, what it answers is checked, and without it each gateway goes on with
//! its own share of every limit. Which grants there are and whether a call is within this gateway's own
//! limits is left to others.

mod debt;
mod link;
mod own_share;
mod rate;
mod script;
mod server;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use chapar_model::{GrantId, Limits, to_hex};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::link::Link;
pub(crate) use self::rate::SharedRate;
pub use self::server::{RedisServer, ServerError};

/// Time between two signs of life of a gateway.
const PRESENT_EVERY: Duration = Duration::from_secs(1);
/// How long a gateway is counted after its last sign of life.
const PRESENT_FOR: Duration = Duration::from_secs(5);
/// The pause before Redis is tried again after it failed; doubled up to `LONGEST_PAUSE`, half of it by
/// chance.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Time between two looks for tokens that nobody uses.
const SETTLE_EVERY: Duration = Duration::from_millis(100);
/// Buckets that get tokens back at once.
const SETTLED_AT_ONCE: usize = 64;
/// Maximum time that a gateway takes to give its tokens back when it stops.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_millis(500);

/// How limits are shared.
#[derive(Clone, Debug)]
pub struct SharedSettings {
    /// What every key in Redis begins with. Gateways that share limits have the same.
    pub prefix: String,
    /// The least number of gateways that is assumed, as long as Redis does not count more.
    pub least_replicas: NonZeroU32,
    /// Maximum time that a call waits for Redis; then the gateway's own share decides. 5 ms by default.
    pub patience: Duration,
}

impl Default for SharedSettings {
    fn default() -> Self {
        Self {
            prefix: "chapar".to_owned(),
            least_replicas: NonZeroU32::MIN,
            patience: Duration::from_millis(5),
        }
    }
}

/// The limits that gateways share through one Redis.
pub struct Shared {
    link: Link,
    runtime: Handle,
    settings: SharedSettings,
    /// This process among the gateways.
    replica: String,
    replicas: AtomicU32,
    /// Rates that hold leased tokens.
    held: Mutex<Vec<Arc<SharedRate>>>,
    /// Told once Redis is back.
    settle_soon: Notify,
    own_decisions: AtomicU64,
    waits: AtomicU64,
}

/// How many gateways there are. A higher number is believed at once, a lower one once it was told for as long
/// as a gateway is counted: a Redis that was emptied knows of nobody at first.
#[derive(Default)]
struct Count {
    lower_since: Option<Instant>,
}

impl Count {
    /// The number to go by, of the present one and what Redis says.
    fn believed(&mut self, present: u32, told: u32) -> u32 {
        if told >= present {
            self.lower_since = None;
            return told;
        }
        let since = *self.lower_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PRESENT_FOR {
            return present;
        }
        self.lower_since = None;
        told
    }
}

/// How the sharing of limits stands, for metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SharedUsage {
    /// Whether Redis answers.
    pub is_up: bool,
    /// Gateways among which the limits are shared, as far as it is known.
    pub replicas: u32,
    /// Commands that Redis answered, and that failed.
    pub commands: (u64, u64),
    /// Calls that were admitted of this gateway's own share.
    pub own_decisions: u64,
    /// Calls that found no token here, and waited for Redis.
    pub waits: u64,
}

impl Shared {
    /// Shares limits through `server`, to which [`Shared::run`] connects. Leases are asked for in tasks of
    /// the present runtime.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(server: RedisServer, settings: SharedSettings) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(server.client, settings.patience),
            runtime: Handle::current(),
            replica: format!("{:016x}", fastrand::u64(..)),
            replicas: AtomicU32::new(settings.least_replicas.get()),
            settings,
            held: Mutex::default(),
            settle_soon: Notify::new(),
            own_decisions: AtomicU64::default(),
            waits: AtomicU64::default(),
        })
    }

    /// Says to the others that this gateway is there, comes back to a Redis that failed, and gives unused
    /// tokens back, until `stop`. Then it gives all tokens back and leaves.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        // Settling is never broken off: what it has in hand would be lost.
        tokio::join!(stop.run_until_cancelled(self.stay_present()), self.settle_until(&stop));
        let leaving = async {
            self.settle(true).await;
            self.link.presence(&self.presence_key(), &self.replica, Duration::ZERO).await.ok();
        };
        tokio::time::timeout(GIVE_BACK_TIMEOUT, leaving).await.ok();
        self.held.lock().clear();
    }

    /// How it stands.
    pub fn usage(&self) -> SharedUsage {
        SharedUsage {
            is_up: self.link.is_up(),
            replicas: self.replicas(),
            commands: self.link.commands(),
            own_decisions: self.own_decisions.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
        }
    }

    /// The rate of a grant, if it has one.
    pub(crate) fn rate(self: &Arc<Self>, grant: &GrantId, limits: &Limits) -> Option<Arc<SharedRate>> {
        let rate = limits.rate?;
        let burst = limits.burst.unwrap_or(rate.calls());
        let interval = rate.interval();
        // Other limits are another bucket: a gateway that has not read them yet goes on with the old one. A
        // hash, because a grant's name says who asks whom.
        let name = format!("chapar limit\n{grant}\n{}\n{burst}", interval.as_nanos());
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let hash = to_hex(hash.as_ref().get(..16).unwrap_or_default());
        let key = format!("{}:rate:{{{hash}}}", self.settings.prefix);
        Some(Arc::new(SharedRate::new(Arc::clone(self), key, interval, burst)))
    }

    /// Fills a bucket. Returns whether Redis did it: without it only this gateway's share is full again.
    pub(crate) async fn fill(&self, rate: &SharedRate) -> bool {
        let is_full = self.link.forget(rate.key()).await.is_ok();
        rate.forget();
        is_full
    }

    /// Gateways among which limits are shared.
    fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed)
    }

    fn hold(&self, rate: &Arc<SharedRate>) {
        self.held.lock().push(Arc::clone(rate));
    }

    fn count_own_decision(&self) {
        self.own_decisions.fetch_add(1, Ordering::Relaxed);
    }

    fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    fn presence_key(&self) -> String {
        format!("{}:{{gateways}}", self.settings.prefix)
    }

    async fn stay_present(&self) {
        let key = self.presence_key();
        let mut pause = FIRST_PAUSE;
        let mut count = Count::default();
        loop {
            let was_up = self.link.is_up();
            match self.link.presence(&key, &self.replica, PRESENT_FOR).await {
                Ok(told) => {
                    let told = told.max(self.settings.least_replicas.get());
                    self.replicas.store(count.believed(self.replicas(), told), Ordering::Relaxed);
                    if !was_up {
                        // What was admitted meanwhile is charged before much is leased.
                        self.settle_soon.notify_one();
                    }
                    // A breaker that opens ends the wait, so that Redis is tried again soon.
                    if tokio::time::timeout(PRESENT_EVERY, self.link.opened.notified()).await.is_err() {
                        pause = FIRST_PAUSE;
                        continue;
                    }
                }
                Err(_) => count = Count::default(),
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn settle_until(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.settle_soon.notified() => {}
                () = tokio::time::sleep(SETTLE_EVERY) => {}
            }
            if self.link.is_up() {
                self.settle(false).await;
            }
        }
    }

    async fn settle(&self, is_last: bool) {
        let held = std::mem::take(&mut *self.held.lock());
        let settling = held.into_iter().map(|rate| async move {
            let is_held = Arc::clone(&rate).settle(is_last).await;
            is_held.then_some(rate)
        });
        // Some at a time: there may be as many as there are grants.
        let still: Vec<_> = stream::iter(settling).buffer_unordered(SETTLED_AT_ONCE).collect().await;
        self.held.lock().extend(still.into_iter().flatten());
    }
}
