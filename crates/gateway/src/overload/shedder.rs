//! `Shedder` makes the decision of load shedding on one thread, by queue delay and by each caller's share of
//! recent calls. It reads no clock; tests give it the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chapar_model::SubsystemId;

use super::pacer::Pacer;

/// Interval over which the shortest queue delay is taken (CoDel, RFC 8289 §4). 500 ms is half of the default
/// `timeout` of a contract (1 s), so that a burst that can still be answered in time is not refused, however
/// slow the machine is.
const WINDOW: Duration = Duration::from_millis(500);
/// Target of the queue delay. If even the shortest delay of a window is over it, the queue does not drain.
/// RFC 8289 §4.3 takes a tenth of the interval; a fiftieth is used here, because a worker thread loses no
/// throughput by a short queue. In a standing queue it is also the longest queue delay of a call whose caller
/// has had its share.
const TARGET_DELAY: Duration = Duration::from_millis(10);
/// In a standing queue: the longest queue delay of a call whose caller has not had its share. At three times
/// the target, callers within their share are refused only after refusing the others did not shorten the
/// queue, and a call that is admitted still has over nine tenths of the default `timeout` (1 s).
const MAX_DELAY: Duration = Duration::from_millis(30);

/// `Fill` is how many of the process's places (`max_calls`) are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fill {
    /// A call of any caller is admitted.
    Room,
    /// Only the last eighth of the places is free. It is kept for callers with fewer calls in flight than the
    /// mean, so that one caller with many slow calls cannot take every place.
    Scarce,
    /// No place is free, so every call is refused.
    Full,
}

impl Fill {
    pub(super) fn of(number: usize, most: usize) -> Self {
        match number {
            _ if number > most => Self::Full,
            _ if number > most - most / 8 => Self::Scarce,
            _ => Self::Room,
        }
    }
}

/// `CallerLoad` counts one caller's calls on this thread.
#[derive(Debug)]
pub(super) struct CallerLoad {
    /// Calls in flight of this caller.
    pub(super) running: AtomicU32,
    /// Calls in flight of all callers on this thread.
    pub(super) all: Arc<AtomicU32>,
    /// Calls admitted recently. The number is halved at the end of every window (exponential decay).
    recent: AtomicU32,
}

impl CallerLoad {
    fn new(all: &Arc<AtomicU32>) -> Arc<Self> {
        Arc::new(Self { running: AtomicU32::new(0), all: Arc::clone(all), recent: AtomicU32::new(0) })
    }

    /// Halves the number of recent calls, and returns it. Load and store need not be one atomic step: only
    /// the thread that holds the `Shedder` writes `recent`.
    fn halve(&self) -> u32 {
        let half = self.recent.load(Ordering::Relaxed) / 2;
        self.recent.store(half, Ordering::Relaxed);
        half
    }
}

/// `ShedDecision` is the decision on one call.
pub(super) enum ShedDecision {
    Enter(Arc<CallerLoad>),
    /// The call waits and asks again.
    Hold,
    Refuse,
}

pub(super) struct Shedder {
    pub(super) callers: HashMap<SubsystemId, Arc<CallerLoad>>,
    /// Calls without a known subsystem.
    strangers: Arc<CallerLoad>,
    pub(super) running: Arc<AtomicU32>,
    /// Sum of the recent calls of all callers.
    recent: u32,
    pub(super) window: DelayWindow,
    /// Time at which the previous call was looked at.
    looked_at: Instant,
    /// True if the queue of the last window did not drain, or drained only because calls were refused.
    pub(super) is_standing: bool,
    pacer: Pacer,
}

pub(super) struct DelayWindow {
    ends: Instant,
    /// True if a call arrived after the previous one had been looked at: the queue was empty in between. This
    /// is also so after the operating system has held the thread up, since the thread then reads at once all
    /// calls that arrived meanwhile.
    pub(super) was_empty: bool,
    /// Time for which the queue was empty, in sum.
    idle: Duration,
    /// Calls that were refused for their queue delay.
    late: u32,
    /// Shortest queue delay of a call; `None` if there was no call.
    pub(super) least: Option<Duration>,
}

impl Shedder {
    pub(super) fn new(now: Instant) -> Self {
        let running = Arc::default();
        let callers = HashMap::new();
        let strangers = CallerLoad::new(&running);
        let window = DelayWindow::starting(now);
        let pacer = Pacer::new(now);
        Self { callers, strangers, running, recent: 0, window, looked_at: now, is_standing: false, pacer }
    }

    /// Decides on one call. `queue_delay` is `None` for a call that was held back and asks again, since its
    /// wait says nothing about the queue.
    pub(super) fn decide(
        &mut self,
        caller: Option<&SubsystemId>,
        queue_delay: Option<Duration>,
        now: Instant,
        fill: Fill,
    ) -> ShedDecision {
        // Every call moves the window, also one that is refused below: else a window without admitted calls
        // would never end.
        if let Some(queue_delay) = queue_delay {
            self.observe(queue_delay, now);
            self.pacer.observe(queue_delay, now);
        }
        let usage = self.usage(caller);
        let is_late = queue_delay.is_some_and(|queue_delay| match self.is_standing {
            true if self.has_had_its_share(&usage.recent, self.recent) => queue_delay > TARGET_DELAY,
            true => queue_delay > MAX_DELAY,
            false => false,
        });
        self.window.late += u32::from(is_late);
        let finds_room = match fill {
            Fill::Room => true,
            Fill::Scarce => !self.has_had_its_share(&usage.running, self.running.load(Ordering::Relaxed)),
            Fill::Full => false,
        };
        if is_late || !finds_room {
            return ShedDecision::Refuse;
        }
        // The pacer is asked last, because a token that it gives away is spent even if the call were refused
        // afterwards.
        if self.has_far_more_than_its_share(&usage) && !self.pacer.try_pass(now) {
            return ShedDecision::Hold;
        }
        self.recent += 1;
        usage.recent.fetch_add(1, Ordering::Relaxed);
        usage.running.fetch_add(1, Ordering::Relaxed);
        usage.all.fetch_add(1, Ordering::Relaxed);
        ShedDecision::Enter(usage)
    }

    fn observe(&mut self, queue_delay: Duration, now: Instant) {
        if now >= self.window.ends {
            let last = std::mem::replace(&mut self.window, DelayWindow::starting(now));
            // Number of whole windows without a call. After one, a queue that stood has drained.
            let empty = now.duration_since(last.ends).as_millis() / WINDOW.as_millis();
            // A queue that drains only because calls are refused still counts as standing, unless the thread
            // was idle for half of the window and so has time for twice as many calls.
            let stands = !last.was_empty && last.least.is_some_and(|least| least > TARGET_DELAY);
            let is_held_down = self.is_standing && last.late > 0 && last.idle < WINDOW / 2;
            self.is_standing = empty == 0 && (stands || is_held_down);
            // One halving for each window that has passed. After 32 halvings every `u32` is zero.
            for _ in 0..=empty.min(u32::BITS.into()) {
                self.decay();
            }
        }
        // The thread was idle if this call arrived after the previous one had been looked at. Delays are
        // measured up to `now`, so the difference is its arrival.
        let idle = now
            .checked_sub(queue_delay)
            .map_or(Duration::ZERO, |came| came.saturating_duration_since(self.looked_at));
        self.looked_at = now;
        self.window.was_empty |= !idle.is_zero();
        self.window.idle += idle;
        self.window.least = Some(self.window.least.map_or(queue_delay, |least| least.min(queue_delay)));
    }

    /// Halves the recent calls of every caller, and removes callers with no recent call and no call in
    /// flight, so that the map does not grow with every caller there ever was.
    pub(super) fn decay(&mut self) {
        self.recent = self.strangers.halve();
        let recent = &mut self.recent;
        self.callers.retain(|_, usage| {
            let half = usage.halve();
            *recent += half;
            half > 0 || usage.running.load(Ordering::Relaxed) > 0
        });
    }

    fn usage(&mut self, caller: Option<&SubsystemId>) -> Arc<CallerLoad> {
        // Requests without an identity share one entry: an entry for each would let strangers grow this map
        // without bound.
        let known = caller.map_or(Some(&self.strangers), |caller| self.callers.get(caller));
        let usage = known.cloned().unwrap_or_else(|| CallerLoad::new(&self.running));
        if let (Some(caller), None) = (caller, known) {
            self.callers.insert(caller.clone(), Arc::clone(&usage));
        }
        usage
    }

    /// Returns whether a caller's `own` calls are at least the mean of all callers.
    fn has_had_its_share(&self, own: &AtomicU32, all: u32) -> bool {
        // The products are 64 bits wide, so that a flood cannot overflow them, and no division by zero is
        // possible.
        let own = u64::from(own.load(Ordering::Relaxed));
        own > 0 && own * self.callers.len().max(1) as u64 >= u64::from(all)
    }
}

impl Shedder {
    /// Returns whether a caller had at least 3/2 of the mean of recent calls, and there are other callers.
    /// The margin of a half keeps callers near the mean unpaced, since their numbers vary from window to
    /// window.
    fn has_far_more_than_its_share(&self, usage: &CallerLoad) -> bool {
        let own = u64::from(usage.recent.load(Ordering::Relaxed));
        self.callers.len() > 1 && 2 * own * self.callers.len() as u64 >= 3 * u64::from(self.recent) && own > 0
    }
}

impl DelayWindow {
    fn starting(now: Instant) -> Self {
        Self { ends: now + WINDOW, was_empty: false, idle: Duration::ZERO, late: 0, least: None }
    }
}
