//! When one of the threads that serve has more to do than it can, and whose calls are then refused before anything of them is read.
//!
//! The sign is the time that a call lies there between being read from its connection and being looked at: where even the
//! shortest of a tenth of a second is long, there is a queue that does not drain (CoDel, RFC 8289; as a server uses it: Maurer,
//! "Fail at Scale", ACM Queue 13/8). Until it does, calls that lay there too long are refused: first those of callers that
//! have had no less than others of late, and only when that does not help those of all.
//!
//! Long before that, a caller that has far more than its share is paced: its calls are let in at a rate that keeps the time that
//! calls lie short, held back for a moment otherwise, and refused if that does not help. So what it brings too much waits
//! in its own streams, and the others do not feel it (additive increase, multiplicative decrease; Chiu and Jain, 1989).
//!
//! Pure but for the counting down of calls that end. Each thread has its own, so that no lock is shared.

mod pacer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chapar_model::SubsystemId;
use chapar_transport::dial::chance;
use parking_lot::Mutex;

use pacer::Pacer;

/// How long it takes to tell a queue from a burst.
const WINDOW: Duration = Duration::from_millis(100);
/// Fewer calls in a window tell nothing.
const ENOUGH: u32 = 8;
/// A queue of this length that lasts for a window is one that does not drain: a tenth of the window (RFC 8289 §4.4). Then it is also
/// the longest that a call may lie there whose caller has had its share.
const TARGET: Duration = Duration::from_millis(10);
/// The same for any other caller.
const LIMIT: Duration = Duration::from_millis(30);
/// Calls of less time than this tell nothing: a thread that the system held up finds all that came meanwhile at once, and that
/// is no queue.
const SPAN: Duration = Duration::from_millis(50);

/// How often a paced call asks again, and how long it waits in between, give or take a third.
const HOLDS: u32 = 3;
const HOLD: Duration = Duration::from_millis(4);

/// What one thread knows of its load.
pub(crate) struct Overload {
    /// Calls that the whole process serves.
    in_flight: Arc<AtomicUsize>,
    most: usize,
    gate: Mutex<Gate>,
}

impl Overload {
    /// `in_flight` counts the calls of all threads, of which `most` may run.
    pub(crate) fn new(in_flight: Arc<AtomicUsize>, most: usize) -> Self {
        Self { in_flight, most, gate: Mutex::new(Gate::new(Instant::now())) }
    }

    /// The same for another thread, which shares nothing but the count.
    pub(crate) fn at_home(&self) -> Self {
        Self::new(Arc::clone(&self.in_flight), self.most)
    }

    /// Lets in a call that came at `arrived`, now or after a moment, or not. `caller` is who the certificate names; strangers are
    /// one caller.
    pub(crate) async fn enter(&self, caller: Option<&SubsystemId>, arrived: Instant) -> Option<LoadSlot> {
        let number = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let counted = Counted(Arc::clone(&self.in_flight));
        let mut lay = Some(arrived.elapsed());
        for _ in 0..=HOLDS {
            let verdict = self.gate.lock().enter(caller, lay.take(), Instant::now(), Fill::of(number, self.most));
            match verdict {
                Verdict::Enter(usage) => return Some(LoadSlot { usage, _counted: counted }),
                Verdict::Hold => tokio::time::sleep(HOLD.mul_f64(chance::half_to_one() * 4.0 / 3.0)).await,
                Verdict::Refuse => return None,
            }
        }
        None
    }
}

/// One of the calls in flight, counted until it is dropped. A stream keeps it until its end.
pub(crate) struct LoadSlot {
    usage: Arc<Usage>,
    _counted: Counted,
}

impl Drop for LoadSlot {
    fn drop(&mut self) {
        self.usage.running.fetch_sub(1, Ordering::Relaxed);
        self.usage.all.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How full the process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fill {
    /// Anyone may come in.
    Room,
    /// The last eighth of all places is for those who have few.
    Scarce,
    Full,
}

impl Fill {
    fn of(number: usize, most: usize) -> Self {
        match number {
            _ if number > most => Self::Full,
            _ if number > most - most / 8 => Self::Scarce,
            _ => Self::Room,
        }
    }
}

/// One caller's calls.
#[derive(Debug)]
struct Usage {
    running: AtomicU32,
    /// Running calls of all callers.
    all: Arc<AtomicU32>,
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

enum Verdict {
    Enter(Arc<Usage>),
    Hold,
    Refuse,
}

struct Gate {
    callers: HashMap<SubsystemId, Arc<Usage>>,
    /// Those whose certificate names no one.
    strangers: Arc<Usage>,
    running: Arc<AtomicU32>,
    recent: u32,
    window: Window,
    /// The last window had a queue that did not drain, or that only drained because calls were refused.
    is_standing: bool,
    pacer: Pacer,
}

struct Window {
    ends: Instant,
    /// When its first and its last call were looked at.
    first: Instant,
    last: Instant,
    calls: u32,
    /// Calls that lay there too long.
    late: u32,
    least: Duration,
}

impl Gate {
    fn new(now: Instant) -> Self {
        let running = Arc::default();
        let (callers, strangers) = (HashMap::new(), Usage::new(&running));
        let (window, pacer) = (Window::starting(now), Pacer::new(now));
        Self { callers, strangers, running, recent: 0, window, is_standing: false, pacer }
    }

    /// `lay`: how long the call has been lying there; nothing of one that was held back and asks again.
    fn enter(&mut self, caller: Option<&SubsystemId>, lay: Option<Duration>, now: Instant, fill: Fill) -> Verdict {
        if let Some(lay) = lay {
            self.look(lay, now);
            self.pacer.look(lay, now);
        }
        let usage = self.usage(caller);
        let is_late = lay.is_some_and(|lay| match self.is_standing {
            true if self.has_had_its_share(&usage.recent, self.recent) => lay > TARGET,
            true => lay > LIMIT,
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
        if self.has_far_more_than_its_share(&usage) && !self.pacer.pass(now) {
            return Verdict::Hold;
        }
        self.recent += 1;
        usage.recent.fetch_add(1, Ordering::Relaxed);
        usage.running.fetch_add(1, Ordering::Relaxed);
        usage.all.fetch_add(1, Ordering::Relaxed);
        Verdict::Enter(usage)
    }

    fn look(&mut self, lay: Duration, now: Instant) {
        if now >= self.window.ends {
            let last = std::mem::replace(&mut self.window, Window::starting(now));
            // Windows without a call: a queue that was has drained.
            let empty = now.duration_since(last.ends).as_millis() / WINDOW.as_millis();
            let lasted = last.calls >= ENOUGH && last.last.duration_since(last.first) >= SPAN;
            self.is_standing = empty == 0 && lasted && (last.late > 0 || last.least > TARGET);
            for _ in 0..=empty.min(u32::BITS.into()) {
                self.forget();
            }
        }
        self.window.last = now;
        self.window.calls += 1;
        self.window.least = self.window.least.min(lay);
    }

    /// Halves what is remembered, and lets go of callers of whom nothing is.
    fn forget(&mut self) {
        self.recent = self.strangers.halve();
        let recent = &mut self.recent;
        self.callers.retain(|_, usage| {
            let half = usage.halve();
            *recent += half;
            half > 0 || usage.running.load(Ordering::Relaxed) > 0
        });
    }

    fn usage(&mut self, caller: Option<&SubsystemId>) -> Arc<Usage> {
        let known = caller.map_or(Some(&self.strangers), |caller| self.callers.get(caller));
        let usage = known.cloned().unwrap_or_else(|| Usage::new(&self.running));
        if let (Some(caller), None) = (caller, known) {
            self.callers.insert(caller.clone(), Arc::clone(&usage));
        }
        usage
    }

    /// Whether a caller's `own` is no less than the mean of all callers.
    fn has_had_its_share(&self, own: &AtomicU32, all: u32) -> bool {
        let own = u64::from(own.load(Ordering::Relaxed));
        own > 0 && own * self.callers.len().max(1) as u64 >= u64::from(all)
    }
}

impl Gate {
    /// Whether a caller had half as much again as the mean of all, where there are others.
    fn has_far_more_than_its_share(&self, usage: &Usage) -> bool {
        let own = u64::from(usage.recent.load(Ordering::Relaxed));
        self.callers.len() > 1 && 2 * own * self.callers.len() as u64 >= 3 * u64::from(self.recent) && own > 0
    }
}

impl Window {
    fn starting(now: Instant) -> Self {
        Self { ends: now + WINDOW, first: now, last: now, calls: 0, late: 0, least: Duration::MAX }
    }
}

#[cfg(test)]
mod tests;
