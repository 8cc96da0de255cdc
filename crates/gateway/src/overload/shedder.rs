//! The decision of load shedding on one thread, by queue delay and by each caller's share of recent calls. It
//! reads no clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chapar_model::SubsystemId;

use super::pacer::Pacer;

/// How long it takes to tell a queue from a burst: half of the second that a contract gives a call unless it
/// says otherwise, so that a burst which can still be answered in time is not refused, however slow the
/// machine is.
const WINDOW: Duration = Duration::from_millis(500);
/// A queue of this length that lasts for a window is one that does not drain: a fiftieth of the window, less
/// than the tenth of RFC 8289 §4.3, since a thread that serves loses nothing by a short queue. Then it is
/// also the longest that a call may lie there whose caller has had its share.
const TARGET_DELAY: Duration = Duration::from_millis(10);
/// The same for any other caller.
const MAX_DELAY: Duration = Duration::from_millis(30);

/// How full the process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fill {
    /// Anyone may come in.
    Room,
    /// The last eighth of all places is for those who have few.
    Scarce,
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

/// One caller's calls.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) running: AtomicU32,
    /// Running calls of all callers.
    pub(super) all: Arc<AtomicU32>,
    /// Calls let in of late: halved with every window.
    recent: AtomicU32,
}

impl Usage {
    fn new(all: &Arc<AtomicU32>) -> Arc<Self> {
        Arc::new(Self { running: AtomicU32::new(0), all: Arc::clone(all), recent: AtomicU32::new(0) })
    }

    /// Halves what is remembered, and gives it.
    fn halve(&self) -> u32 {
        let half = self.recent.load(Ordering::Relaxed) / 2;
        self.recent.store(half, Ordering::Relaxed);
        half
    }
}

pub(super) enum Verdict {
    Enter(Arc<Usage>),
    Hold,
    Refuse,
}

pub(super) struct Shedder {
    pub(super) callers: HashMap<SubsystemId, Arc<Usage>>,
    /// Those whose certificate names no one.
    strangers: Arc<Usage>,
    pub(super) running: Arc<AtomicU32>,
    recent: u32,
    window: Window,
    /// When a call was last looked at.
    looked_at: Instant,
    /// The last window had a queue that did not drain, or that only drained because calls were refused.
    pub(super) is_standing: bool,
    pacer: Pacer,
}

struct Window {
    ends: Instant,
    /// A call came after the one before it had been looked at: the queue was empty then. So it is after each
    /// time that the system held the thread up, which finds all that came meanwhile at once.
    was_empty: bool,
    /// For how long it was, in sum.
    idle: Duration,
    /// Calls whose queue delay was too long.
    late: u32,
    /// The shortest delay of a call; nothing if there was none.
    least: Option<Duration>,
}

impl Shedder {
    pub(super) fn new(now: Instant) -> Self {
        let running = Arc::default();
        let callers = HashMap::new();
        let strangers = Usage::new(&running);
        let window = Window::starting(now);
        let pacer = Pacer::new(now);
        Self { callers, strangers, running, recent: 0, window, looked_at: now, is_standing: false, pacer }
    }

    /// `queue_delay`: how long the call has been lying there; nothing of one that was held back and asks
    /// again.
    pub(super) fn enter(
        &mut self,
        caller: Option<&SubsystemId>,
        queue_delay: Option<Duration>,
        now: Instant,
        fill: Fill,
    ) -> Verdict {
        // Every call moves the window, also one that is refused below: else a window without admitted calls
        // would never end.
        if let Some(queue_delay) = queue_delay {
            self.look(queue_delay, now);
            self.pacer.look(queue_delay, now);
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
            return Verdict::Refuse;
        }
        // The pacer is asked last, because a token that it gives away is spent even if the call were refused
        // afterwards.
        if self.has_far_more_than_its_share(&usage) && !self.pacer.pass(now) {
            return Verdict::Hold;
        }
        self.recent += 1;
        usage.recent.fetch_add(1, Ordering::Relaxed);
        usage.running.fetch_add(1, Ordering::Relaxed);
        usage.all.fetch_add(1, Ordering::Relaxed);
        Verdict::Enter(usage)
    }

    fn look(&mut self, queue_delay: Duration, now: Instant) {
        if now >= self.window.ends {
            let last = std::mem::replace(&mut self.window, Window::starting(now));
            // Windows without a call: a queue that was has drained.
            let empty = now.duration_since(last.ends).as_millis() / WINDOW.as_millis();
            // A queue that drains because calls are refused stands on, unless the thread has time for twice
            // as much.
            let stands = !last.was_empty && last.least.is_some_and(|least| least > TARGET_DELAY);
            let is_held_down = self.is_standing && last.late > 0 && last.idle < WINDOW / 2;
            self.is_standing = empty == 0 && (stands || is_held_down);
            for _ in 0..=empty.min(u32::BITS.into()) {
                self.forget();
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

    /// Halves what is remembered, and lets go of callers of whom nothing is.
    pub(super) fn forget(&mut self) {
        self.recent = self.strangers.halve();
        let recent = &mut self.recent;
        self.callers.retain(|_, usage| {
            let half = usage.halve();
            *recent += half;
            half > 0 || usage.running.load(Ordering::Relaxed) > 0
        });
    }

    fn usage(&mut self, caller: Option<&SubsystemId>) -> Arc<Usage> {
        // Requests without an identity share one entry: an entry for each would let strangers grow this map
        // without bound.
        let known = caller.map_or(Some(&self.strangers), |caller| self.callers.get(caller));
        let usage = known.cloned().unwrap_or_else(|| Usage::new(&self.running));
        if let (Some(caller), None) = (caller, known) {
            self.callers.insert(caller.clone(), Arc::clone(&usage));
        }
        usage
    }

    /// Whether a caller's `own` is no less than the mean of all callers.
    fn has_had_its_share(&self, own: &AtomicU32, all: u32) -> bool {
        // The products are 64 bits wide, so that a flood cannot overflow them, and no division by zero is
        // possible.
        let own = u64::from(own.load(Ordering::Relaxed));
        own > 0 && own * self.callers.len().max(1) as u64 >= u64::from(all)
    }
}

impl Shedder {
    /// Whether a caller had half as much again as the mean of all, where there are others.
    fn has_far_more_than_its_share(&self, usage: &Usage) -> bool {
        let own = u64::from(usage.recent.load(Ordering::Relaxed));
        self.callers.len() > 1 && 2 * own * self.callers.len() as u64 >= 3 * u64::from(self.recent) && own > 0
    }
}

impl Window {
    fn starting(now: Instant) -> Self {
        Self { ends: now + WINDOW, was_empty: false, idle: Duration::ZERO, late: 0, least: None }
    }
}
