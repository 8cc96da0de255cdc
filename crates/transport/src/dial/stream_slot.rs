//! `StreamSlot` is a permit for one call on one connection. The response body holds the permit until it is
//! dropped. How the call is sent is in `send`.

use std::sync::atomic::Ordering;

use chapar_model::SubsystemId;

use super::link::{Full, Link};
use super::outgoing::Sending;

/// `StreamSlot` is a permit for one call on a connection, given back when it is dropped. A response holds it
/// until its end.
pub struct StreamSlot {
    pub(super) link: Link,
    pub(super) caller: Option<SubsystemId>,
    /// True if the call counts as load.
    pub(super) counted: bool,
}

impl Link {
    /// Takes a place for a call of `caller`.
    ///
    /// A caller may have at most as many calls on a connection as it leaves free for others: one greedy
    /// caller gets a half, two get a third each, and there is always room for the next.
    ///
    /// # Errors
    /// [`Full`] if there is none.
    pub fn reserve_stream(&self, caller: Option<&SubsystemId>) -> Result<StreamSlot, Full> {
        let status = &self.0.status;
        // The server's own limit counts too. A stream above it would wait inside h2, although another
        // connection may have room.
        let most = self.0.streams.min(self.0.sender.current_max_send_streams());
        // The lock covers the count and the decision, so that two callers cannot both take the last slot.
        let mut callers = self.0.callers.lock();
        let free = most.saturating_sub(status.in_flight.load(Ordering::Relaxed));
        if free == 0 || !self.is_open() {
            return Err(Full::All);
        }
        if let Some(caller) = caller {
            match callers.get_mut(caller) {
                Some(own) if *own >= free => return Err(Full::Share),
                Some(own) => *own += 1,
                None => drop(callers.insert(caller.clone(), 1)),
            }
        }
        status.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(StreamSlot { link: self.clone(), caller: caller.cloned(), counted: true })
    }

    /// Returns a slot that is not counted, for a call that watches the connection: it is no load, and causes
    /// no keepalive pings.
    pub fn watcher(&self) -> StreamSlot {
        StreamSlot { link: self.clone(), caller: None, counted: false }
    }
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
