//! `ServiceQueue` limits the concurrent calls of one service, with a fair queue over callers
//! (`chapar_limit::Fair`). A waiting call leaves when its caller goes. A call that would pass its deadline,
//! or exceed the queue's bounds, is refused at once.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_limit::{Bounds, Charge, Fair, Ticket, Turn, Waiting};
use chapar_model::{Reason, SubsystemId};
use chapar_telemetry::ServiceFigures;
use chapar_transport::dial::jitter;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::refusal::Refusal;

/// A caller may have twice as many calls waiting as may run, but at least and at most so many.
const WAITING_PER_CALLER: RangeInclusive<usize> = 16..=256;
/// All callers may have sixteen times as many waiting as may run, but at least and at most so many.
const WAITING_IN_ALL: RangeInclusive<usize> = 256..=4_096;
/// The soonest that a refused caller is told to come back.
const MIN_RETRY: Duration = Duration::from_millis(50);
/// The latest.
const MAX_RETRY: Duration = Duration::from_secs(5);

/// The places of one service. Clones are the same ones.
#[derive(Clone)]
pub(super) struct ServiceQueue {
    most: u32,
    state: Arc<Mutex<State>>,
    figures: Arc<ServiceFigures>,
}

struct State {
    /// As the registry says by which the last call came.
    most: u32,
    taken: u32,
    queue: Fair<SubsystemId, oneshot::Sender<ServiceSlot>>,
}

/// One place, given back when dropped.
pub(super) struct ServiceSlot {
    places: ServiceQueue,
    /// Of a call that had waited: it shares the places by the time that it keeps one.
    turn: Option<(SubsystemId, Charge, Instant)>,
}

impl ServiceQueue {
    /// `most` calls at once. Those that `before` counts go on, and so do those that wait there.
    pub(super) fn new(most: u32, before: Option<&Self>, figures: &Arc<ServiceFigures>) -> Self {
        let fresh = || Arc::new(Mutex::new(State { most, taken: 0, queue: Fair::new(bounds(most)) }));
        let state = before.map_or_else(fresh, |before| Arc::clone(&before.state));
        Self { most, state, figures: Arc::clone(figures) }
    }

    /// A place, at once or when `caller`'s turn comes. Given up before that, it leaves the queue.
    ///
    /// # Errors
    /// `SOURCE_BUSY` with when to come back: the queue is full, the caller's part of it is, or the wait would
    /// pass `deadline`.
    pub(super) async fn take(&self, caller: &SubsystemId, deadline: Instant) -> Result<ServiceSlot, Refusal> {
        let (turn, _leaving) = match self.enter(caller, deadline)? {
            Entered::Served(taken) => return Ok(taken),
            Entered::Waits(turn, leaving) => (turn, leaving),
        };
        // Whoever has to make room for a caller with a shorter line hears of it by the end of the channel.
        turn.await.map_err(|_| self.busy(self.state.lock().queue.expected(caller, self.most)))
    }

    fn enter<'a>(&'a self, caller: &'a SubsystemId, deadline: Instant) -> Result<Entered<'a>, Refusal> {
        let mut state = self.state.lock();
        // Two policies are in use for a moment after a reload. The bounds follow the one by which a call came
        // last.
        if state.most != self.most {
            state.most = self.most;
            state.queue.set_bounds(bounds(self.most));
        }
        // A free slot goes to a newcomer only while no one waits, else it would overtake the queue.
        if state.taken < self.most && state.queue.waiting() == 0 {
            state.taken += 1;
            return Ok(Entered::Served(ServiceSlot { places: self.clone(), turn: None }));
        }
        // A wait that would pass the deadline is refused now, while the caller can still try elsewhere.
        let wait = state.queue.expected(caller, self.most);
        let in_time = Instant::now().checked_add(wait).is_some_and(|served| served < deadline);
        let (sender, turn) = oneshot::channel();
        let pushed = in_time.then(|| state.queue.push(caller, sender).ok()).flatten();
        let free = state.taken < self.most;
        // The lock is released before waiters are woken, and before `give`, which takes it again.
        drop(state);
        let Waiting { ticket, displaced } = pushed.ok_or_else(|| self.busy(wait))?;
        drop(displaced);
        self.figures.waiting.inc();
        // A cap that was raised has room for more than one.
        while free && self.give() {}
        Ok(Entered::Waits(turn, Leaving { places: self, caller, ticket }))
    }

    fn busy(&self, wait: Duration) -> Refusal {
        self.figures.turned_away.inc();
        let wait = wait.clamp(MIN_RETRY, MAX_RETRY / 2).mul_f64(2.0 * jitter::half_to_one());
        Refusal::from(Reason::SourceBusy)
            .retry_after(wait)
            .with_detail("the service's cap on concurrent calls")
    }

    /// Gives a free place to whoever is next; whether there were both.
    fn give(&self) -> bool {
        let turn = {
            let mut state = self.state.lock();
            let turn = if state.taken < state.most { state.queue.take() } else { None };
            state.taken += u32::from(turn.is_some());
            turn
        };
        // The slot is built outside of the lock, because its `drop` takes the lock.
        let Some(Turn { caller, call, charge }) = turn else { return false };
        let taken = ServiceSlot { places: self.clone(), turn: Some((caller, charge, Instant::now())) };
        // One that has gone in this moment gives its place back, and so to the next.
        drop(call.send(taken));
        true
    }
}

impl Drop for ServiceSlot {
    fn drop(&mut self) {
        {
            let mut state = self.places.state.lock();
            state.taken -= 1;
            if let Some((caller, charge, since)) = &self.turn {
                state.queue.settle(caller, *charge, since.elapsed());
            }
            // The last check is under the lock: without waiters no turn has to be given, which is the common
            // case.
            if state.queue.waiting() == 0 {
                return;
            }
        }
        self.places.give();
    }
}

enum Entered<'a> {
    Served(ServiceSlot),
    Waits(oneshot::Receiver<ServiceSlot>, Leaving<'a>),
}

/// Takes a call out of the queue, if it still waits there.
struct Leaving<'a> {
    places: &'a ServiceQueue,
    caller: &'a SubsystemId,
    ticket: Ticket,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.places.figures.waiting.dec();
        drop(self.places.state.lock().queue.cancel(self.caller, self.ticket));
    }
}

fn bounds(most: u32) -> Bounds {
    let scaled = |factor: usize, range: &RangeInclusive<usize>| {
        (most as usize).saturating_mul(factor).clamp(*range.start(), *range.end())
    };
    Bounds { each: scaled(2, &WAITING_PER_CALLER), total: scaled(16, &WAITING_IN_ALL) }
}

#[cfg(test)]
mod tests;
