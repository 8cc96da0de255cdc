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

/// Bounds of one caller's waiting calls. Within them a caller may have twice as many calls waiting as the
/// service may run.
const WAITING_PER_CALLER: RangeInclusive<usize> = 16..=256;
/// Bounds of all callers' waiting calls. Within them sixteen times as many calls may wait as the service may
/// run. The upper bound limits memory, since a waiting call holds its request.
const WAITING_IN_ALL: RangeInclusive<usize> = 256..=4_096;
/// Minimum retry pushback of a refused call, before jitter, so that refused callers do not retry in a busy
/// loop.
const MIN_RETRY: Duration = Duration::from_millis(50);
/// Maximum retry pushback of a refused call, jitter included.
const MAX_RETRY: Duration = Duration::from_secs(5);

/// `ServiceQueue` holds the slots of one service and the calls that wait for one. Clones share the same
/// state.
#[derive(Clone)]
pub(super) struct ServiceQueue {
    most: u32,
    state: Arc<Mutex<QueueState>>,
    figures: Arc<ServiceFigures>,
}

struct QueueState {
    /// Maximum number of concurrent calls, by the policy of the latest call.
    most: u32,
    taken: u32,
    queue: Fair<SubsystemId, oneshot::Sender<ServiceSlot>>,
}

/// `ServiceSlot` is the permit of one running call. Dropping it gives the slot to the next waiting call.
pub(super) struct ServiceSlot {
    places: ServiceQueue,
    /// Set for a call that had waited: the time for which it holds the slot is charged to its caller.
    turn: Option<(SubsystemId, Charge, Instant)>,
}

impl ServiceQueue {
    /// Makes a queue for `most` concurrent calls. After a reload it takes over the state of `before`, so that
    /// running and waiting calls go on and still count.
    pub(super) fn new(most: u32, before: Option<&Self>, figures: &Arc<ServiceFigures>) -> Self {
        let fresh = || Arc::new(Mutex::new(QueueState { most, taken: 0, queue: Fair::new(bounds(most)) }));
        let state = before.map_or_else(fresh, |before| Arc::clone(&before.state));
        Self { most, state, figures: Arc::clone(figures) }
    }

    /// Takes a slot, at once or when it is `caller`'s turn. If the future is dropped before that, the call
    /// leaves the queue.
    ///
    /// # Errors
    /// `SOURCE_BUSY` with when to come back: the queue is full, the caller's part of it is, or the wait would
    /// pass `deadline`.
    pub(super) async fn take(&self, caller: &SubsystemId, deadline: Instant) -> Result<ServiceSlot, Refusal> {
        let (turn, _leaving) = match self.enter(caller, deadline)? {
            Entered::Served(taken) => return Ok(taken),
            Entered::Waits(turn, leaving) => (turn, leaving),
        };
        // A waiting call that is displaced by a caller with a shorter line gets an error here, because its
        // sender is dropped.
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
        // A new call gets a free slot only if no call waits, otherwise it would overtake the queue.
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
        // Dropping the sender wakes the displaced call with an error. This happens outside of the lock,
        // because that call takes it.
        drop(displaced);
        self.figures.waiting.inc();
        // A reload that raised the limit leaves several slots free while calls wait, so slots are given out
        // until one is missing.
        while free && self.give() {}
        Ok(Entered::Waits(turn, Leaving { places: self, caller, ticket }))
    }

    fn busy(&self, wait: Duration) -> Refusal {
        self.figures.turned_away.inc();
        // The factor is between 1 and 2, so that callers that were refused together do not return together.
        // Half of `MAX_RETRY` times 2 does not exceed it.
        let wait = wait.clamp(MIN_RETRY, MAX_RETRY / 2).mul_f64(2.0 * jitter::half_to_one());
        Refusal::from(Reason::SourceBusy)
            .retry_after(wait)
            .with_detail("the service's cap on concurrent calls")
    }

    /// Hands a free slot to the next waiting call. Returns true if there were both a free slot and a waiting
    /// call.
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
        // If the waiting call has gone in this moment, `send` returns the slot, and dropping it gives it to
        // the next call.
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

/// `Leaving` takes a call out of the queue when it is dropped, if the call still waits there.
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
