//! `Overload` is load shedding per worker thread: it decides, before a request is read, whether to refuse it.
//!
//! The signal is the queue delay: the time from reading a call from its connection to looking at it. If no
//! call in 500 ms found the queue empty, and even the shortest delay was over 10 ms, the queue does not drain
//! (CoDel, RFC 8289; for servers: Maurer, "Fail at Scale", ACM Queue 13/8). Until it drains, calls are
//! refused by their delay: over 10 ms if their caller has had its share of recent calls, else over 30 ms.
//!
//! Before that, a caller with 1.5 times the mean share is paced (`pacer`): its calls enter at a rate that
//! keeps the queue delay short, are held back otherwise, and are refused if that does not help. So the excess
//! waits in its own streams and not before the calls of others (AIMD: additive increase, multiplicative
//! decrease; Chiu and Jain, 1989).
//!
//! `Shedder` decides and reads no clock. Each thread has its own, so that no lock is shared; only the count
//! of calls in flight is.

mod pacer;
mod shedder;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chapar_model::SubsystemId;
use chapar_transport::dial::jitter;
use parking_lot::Mutex;

use shedder::{CallerLoad, Fill, ShedDecision, Shedder};

/// Number of times a paced call waits and asks again before it is refused. Five waits last about 120 ms in
/// all, so that a caller that is over its pace for a moment only is not refused.
const MAX_HOLDS: u32 = 5;
/// Length of a paced call's first wait. It is shorter than a tick of the pacer (10 ms), because the next
/// token may come within the tick. Each further wait is twice as long (4, 8, 16, 32, 64 ms: 124 ms in all, up
/// to a third more or less by jitter).
const FIRST_HOLD: Duration = Duration::from_millis(4);

fn hold_pause(asked: u32) -> Duration {
    FIRST_HOLD * (1 << asked)
}

/// `Overload` is the load shedding of one worker thread.
pub(crate) struct Overload {
    /// Calls in flight in the whole process, those that are held back included.
    in_flight: Arc<AtomicUsize>,
    most: usize,
    shedder: Mutex<Shedder>,
}

impl Overload {
    /// `in_flight` counts the calls of all threads. At most `most` of them may be in flight (`max_calls`).
    pub(crate) fn new(in_flight: Arc<AtomicUsize>, most: usize) -> Self {
        Self { in_flight, most, shedder: Mutex::new(Shedder::new(Instant::now())) }
    }

    /// Returns the load shedding of another thread. The threads share only the count of calls in flight.
    pub(crate) fn for_worker(&self) -> Self {
        Self::new(Arc::clone(&self.in_flight), self.most)
    }

    /// Admits a call that was read at `arrived`, at once or after some waits, or returns `None` if it is
    /// refused. `caller` is the subsystem that the certificate names; all callers without a known one count
    /// as one caller.
    pub(crate) async fn enter(&self, caller: Option<&SubsystemId>, arrived: Instant) -> Option<LoadSlot> {
        self.admit(caller, Some(arrived)).await
    }

    /// Admits a part of an inquiry, which was not read from a connection by itself. It says nothing about the
    /// queue: a delay of zero would look as if the queue were empty, and end the shedding for everybody.
    pub(crate) async fn enter_part(&self, caller: &SubsystemId) -> Option<LoadSlot> {
        self.admit(Some(caller), None).await
    }

    async fn admit(&self, caller: Option<&SubsystemId>, arrived: Option<Instant>) -> Option<LoadSlot> {
        // The count is taken before the decision, so that calls that are held back count as well: they occupy
        // memory. Relaxed: the counter guards no other memory; the decision needs the number only.
        let number = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let counted = InFlightCall(Arc::clone(&self.in_flight));
        // The delay is reported once. A call that asks again has waited by choice of the pacer, and that wait
        // says nothing about the queue.
        let mut queue_delay = arrived.map(|arrived| arrived.elapsed());
        for asked in 0..=MAX_HOLDS {
            let decision = self.shedder.lock().decide(
                caller,
                queue_delay.take(),
                Instant::now(),
                Fill::of(number, self.most),
            );
            match decision {
                ShedDecision::Enter(usage) => return Some(LoadSlot { usage, _counted: counted }),
                // After the last wait the call is refused. It is also refused at once while more than half of
                // the places are taken: a held call keeps its place, and held calls must not take places from
                // callers within their share.
                ShedDecision::Hold if asked == MAX_HOLDS || number > self.most / 2 => return None,
                ShedDecision::Hold => {
                    // The factor spreads the pause from 2/3 to 4/3 of its length, so that held calls do not
                    // come back in one burst.
                    tokio::time::sleep(hold_pause(asked).mul_f64(jitter::half_to_one() * 4.0 / 3.0)).await
                }
                ShedDecision::Refuse => return None,
            }
        }
        None
    }
}

/// `LoadSlot` is the permit of one admitted call. It counts as in flight until it is dropped; a stream keeps
/// it until its end.
pub(crate) struct LoadSlot {
    usage: Arc<CallerLoad>,
    _counted: InFlightCall,
}

impl Drop for LoadSlot {
    fn drop(&mut self) {
        self.usage.running.fetch_sub(1, Ordering::Relaxed);
        self.usage.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `InFlightCall` takes one call off the process's count when it is dropped, also if `enter` is cancelled
/// while the call is held back.
struct InFlightCall(Arc<AtomicUsize>);

impl Drop for InFlightCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
