//! When one of the threads that serve has more to do than it can, and whose calls are then refused before anything of them is read.
//!
//! The sign is the time that a call lies there between being read from its connection and being looked at: where even the
//! shortest of a tenth of a second is long, there is a queue that does not drain (CoDel, RFC 8289; as a server uses it: Maurer,
//! "Fail at Scale", ACM Queue 13/8). Until it does, calls that lay there too long are refused: first those of callers that
//! have had no less than others of late, and only when that does not help those of all.
//!
//! Pure but for the counting down of calls that end. Each thread has its own, so that no lock is shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chapar_model::SubsystemId;
use parking_lot::Mutex;

/// How long it takes to tell a queue from a burst.
const WINDOW: Duration = Duration::from_millis(100);
/// Fewer calls in a window tell nothing.
const ENOUGH: u32 = 8;
/// While there is a queue: the longest that a call may lie there whose caller has had its share.
const TARGET: Duration = Duration::from_millis(5);
/// The same for any other caller.
const LIMIT: Duration = Duration::from_millis(15);

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

    /// Lets in a call that came at `arrived`, or not. `caller` is who the certificate names; strangers are one caller.
    pub(crate) fn enter(&self, caller: Option<&SubsystemId>, arrived: Instant) -> Option<Place> {
        let now = Instant::now();
        let number = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let counted = Counted(Arc::clone(&self.in_flight));
        let usage =
            self.gate.lock().enter(caller, now.saturating_duration_since(arrived), now, Fill::of(number, self.most));
        usage.map(|usage| Place { usage, _counted: counted })
    }
}

/// One of the calls in flight, counted until it is dropped.
pub(crate) struct Place {
    usage: Arc<Usage>,
    _counted: Counted,
}

impl Drop for Place {
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

struct Gate {
    callers: HashMap<SubsystemId, Arc<Usage>>,
    /// Those whose certificate names no one.
    strangers: Arc<Usage>,
    running: Arc<AtomicU32>,
    recent: u32,
    window: Window,
    /// The last window had a queue that did not drain, or that only drained because calls were refused.
    is_standing: bool,
}

struct Window {
    ends: Instant,
    calls: u32,
    /// Calls that lay there too long.
    late: u32,
    least: Duration,
}

impl Gate {
    fn new(now: Instant) -> Self {
        let running = Arc::default();
        let (callers, strangers) = (HashMap::new(), Usage::new(&running));
        Self { callers, strangers, running, recent: 0, window: Window::starting(now), is_standing: false }
    }

    /// `lay`: how long the call has been lying there.
    fn enter(&mut self, caller: Option<&SubsystemId>, lay: Duration, now: Instant, fill: Fill) -> Option<Arc<Usage>> {
        self.look(lay, now);
        let usage = self.usage(caller);
        let is_late = match self.is_standing {
            true if self.has_had_its_share(&usage.recent, self.recent) => lay > TARGET,
            true => lay > LIMIT,
            false => false,
        };
        self.window.late += u32::from(is_late);
        let finds_room = match fill {
            Fill::Room => true,
            Fill::Scarce => !self.has_had_its_share(&usage.running, self.running.load(Ordering::Relaxed)),
            Fill::Full => false,
        };
        if is_late || !finds_room {
            return None;
        }
        self.recent += 1;
        usage.recent.fetch_add(1, Ordering::Relaxed);
        usage.running.fetch_add(1, Ordering::Relaxed);
        usage.all.fetch_add(1, Ordering::Relaxed);
        Some(usage)
    }

    fn look(&mut self, lay: Duration, now: Instant) {
        if now >= self.window.ends {
            let last = std::mem::replace(&mut self.window, Window::starting(now));
            self.is_standing = last.late > 0 || last.calls >= ENOUGH && last.least > TARGET;
            self.forget();
        }
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

impl Window {
    fn starting(now: Instant) -> Self {
        Self { ends: now + WINDOW, calls: 0, late: 0, least: Duration::MAX }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn caller(name: &str) -> SubsystemId {
        format!("gov/{name}/office").parse().unwrap()
    }

    /// A thread that takes 1 ms for a call, and the calls that wait for it.
    struct Thread {
        gate: Gate,
        now: Instant,
        queue: std::collections::VecDeque<(SubsystemId, Instant)>,
        let_in: HashMap<SubsystemId, u32>,
        refused: HashMap<SubsystemId, u32>,
        longest: Duration,
    }

    impl Thread {
        fn new() -> Self {
            let now = Instant::now();
            let (queue, let_in, refused) = Default::default();
            Self { gate: Gate::new(now), now, queue, let_in, refused, longest: Duration::ZERO }
        }

        /// One second in which each caller makes so many calls per second; refusing one takes 20 µs.
        fn second(&mut self, rates: &[(&SubsystemId, u32)]) {
            let end = self.now + Duration::from_secs(1);
            let mut next: Vec<_> =
                rates.iter().map(|(caller, rate)| (self.now, *caller, Duration::from_secs(1) / *rate)).collect();
            while self.now < end {
                for (due, caller, every) in &mut next {
                    while *due <= self.now {
                        self.queue.push_back((caller.clone(), *due));
                        *due += *every;
                    }
                }
                let Some((caller, came)) = self.queue.pop_front() else {
                    self.now += MS / 10;
                    continue;
                };
                let lay = self.now - came;
                match self.gate.enter(Some(&caller), lay, self.now, Fill::Room) {
                    Some(usage) => {
                        self.now += MS;
                        usage.running.fetch_sub(1, Ordering::Relaxed);
                        *self.let_in.entry(caller).or_default() += 1;
                        self.longest = self.longest.max(lay);
                    }
                    None => {
                        self.now += MS / 50;
                        *self.refused.entry(caller).or_default() += 1;
                    }
                }
            }
        }

        fn forget(&mut self) {
            self.let_in.clear();
            self.refused.clear();
            self.longest = Duration::ZERO;
        }
    }

    #[test]
    fn a_thread_that_keeps_up_refuses_no_one_whatever_the_bursts() {
        let mut thread = Thread::new();
        for _ in 0..5 {
            (0..60).for_each(|_| thread.queue.push_back((caller("tax"), thread.now)));
            thread.second(&[(&caller("tax"), 300), (&caller("school"), 350)]);
        }
        assert!(thread.refused.is_empty(), "{:?}", thread.refused);
    }

    #[test]
    fn the_caller_that_brings_ten_times_too_much_is_refused_and_the_others_are_not() {
        let (greedy, modest) = (caller("tax"), [caller("school"), caller("welfare"), caller("police")]);
        let mut thread = Thread::new();
        let rates: Vec<_> = [(&greedy, 10_000)].into_iter().chain(modest.iter().map(|one| (one, 150))).collect();
        thread.second(&rates);
        thread.forget();
        (0..5).for_each(|_| thread.second(&rates));

        for one in &modest {
            let refused = thread.refused.get(one).copied().unwrap_or_default();
            assert!(refused * 100 <= thread.let_in[one], "{one}: {refused} of {} refused", thread.let_in[one]);
        }
        assert!(thread.refused[&greedy] > 10 * thread.let_in[&greedy]);
        assert!(thread.longest <= LIMIT, "{:?}", thread.longest);
    }

    #[test]
    fn where_all_bring_too_much_all_are_served_alike_and_the_thread_does_not_idle() {
        let all: Vec<_> = ["tax", "school", "welfare", "police"].map(caller).into();
        let rates: Vec<_> = all.iter().map(|one| (one, 2_000)).collect();
        let mut thread = Thread::new();
        thread.second(&rates);
        thread.forget();
        (0..5).for_each(|_| thread.second(&rates));

        let served: Vec<u32> = all.iter().map(|one| thread.let_in[one]).collect();
        let (least, most, sum) =
            (served.iter().min().unwrap(), served.iter().max().unwrap(), served.iter().sum::<u32>());
        assert!(*most <= least * 5 / 4, "{served:?}");
        // Of 5 s, refusing takes 0.16 ms of every ms that a call takes: 5,000 − 0.8 s at best.
        assert!(sum > 4_000, "{served:?}");
        assert!(thread.longest <= LIMIT, "{:?}", thread.longest);
    }

    #[test]
    fn it_is_over_within_two_windows_of_the_load_being_over() {
        let tax = caller("tax");
        let mut thread = Thread::new();
        thread.second(&[(&tax, 5_000)]);
        thread.queue.clear();
        thread.second(&[(&tax, 300)]);
        thread.forget();
        thread.second(&[(&tax, 300)]);
        assert!(thread.refused.is_empty());
        assert!(!thread.gate.is_standing);
    }

    #[test]
    fn the_last_places_are_for_those_who_have_few() {
        assert_eq!([7, 8, 9].map(|number| Fill::of(number, 8)), [Fill::Room, Fill::Scarce, Fill::Full]);
        let (mut gate, now) = (Gate::new(Instant::now()), Instant::now());
        let (greedy, modest) = (caller("tax"), caller("school"));
        let mut enter = |caller, fill| gate.enter(Some(caller), Duration::ZERO, now, fill);
        let _running: Vec<_> = (0..7).map(|_| enter(&greedy, Fill::Room).unwrap()).collect();
        assert!(enter(&greedy, Fill::Scarce).is_none());
        assert!(enter(&modest, Fill::Scarce).is_some());
        assert!(enter(&modest, Fill::Full).is_none());
    }

    #[test]
    fn nothing_is_kept_of_callers_that_have_gone() {
        let overload = Overload::new(Arc::default(), 100);
        for number in 0..50 {
            drop(overload.enter(Some(&caller(&format!("office-{number}"))), Instant::now()).unwrap());
        }
        let mut gate = overload.gate.lock();
        (0..2).for_each(|_| gate.forget());
        assert!(gate.callers.is_empty() && gate.running.load(Ordering::Relaxed) == 0);
        assert_eq!(overload.in_flight.load(Ordering::Relaxed), 0);
    }
}
