//! `StreamSlot` is a permit for one call on one connection. The response body holds the permit until it is
//! dropped. How the call is sent is in `send`.

use std::sync::atomic::Ordering;

use chapar_model::SubsystemId;

use super::link::Link;
use super::outgoing::Sending;

/// `StreamSlot` is a permit for one call on a connection, given back when it is dropped. A response holds it
/// until its end.
pub struct StreamSlot {
    pub(super) link: Link,
    pub(super) caller: Option<SubsystemId>,
    /// True if the call counts as load.
    pub(super) counted: bool,
}

impl StreamSlot {
    /// Calls on the connection, with this one.
    pub(super) fn load(&self) -> usize {
        self.link.load()
    }
}

/// What a response holds until its end: the rest of the request, and the permit.
pub(super) type AnswerHold = Option<(Sending, StreamSlot)>;

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let inner = &self.link.0;
        if !self.counted {
            return;
        }
        // Relaxed: a caller that sees the old number takes the connection for fuller than it is, which is
        // harmless.
        inner.status.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(caller) = &self.caller {
            let mut callers = inner.callers.lock();
            match callers.get_mut(caller) {
                // The entry is removed with the last call, so that the map holds active callers only.
                Some(own) if *own > 1 => *own -= 1,
                _ => drop(callers.remove(caller)),
            }
        }
        inner.freed.notify_one();
    }
}
