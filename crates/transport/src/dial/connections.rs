//! `Connections` holds the open connections of a pool. `reserve_stream` waits only while a connect is under
//! way and no open connection has room. The connect is a task of its own, so a caller that gives up does not
//! cancel it, and concurrent callers share one attempt.

use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};

use chapar_model::SubsystemId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::back_off::BackOff;
use super::connect::Endpoint;
use super::link::{Broken, Full, Link};
use super::stream_slot::StreamSlot;
use super::{DialError, Settings, jitter};

pub(super) struct Connections {
    pub(super) endpoint: Endpoint,
    settings: Settings,
    state: Mutex<ConnectionsState>,
    /// Notified whenever a call gives back its slot.
    freed: Arc<Notify>,
}

struct ConnectionsState {
    open: Vec<Open>,
    /// Channel that closes when the connect that is under way has ended.
    attempt: Option<watch::Receiver<()>>,
    back_off: BackOff,
}

/// A connection, and the thread whose runtime drives it.
struct Open {
    link: Link,
    thread: ThreadId,
}

enum Choice {
    Use(StreamSlot),
    Wait(watch::Receiver<()>),
    No(DialError),
}

impl Connections {
    pub(super) fn new(endpoint: Endpoint, settings: Settings) -> Self {
        let state = ConnectionsState { open: Vec::new(), attempt: None, back_off: BackOff::default() };
        Self { endpoint, settings, state: Mutex::new(state), freed: Arc::default() }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.lock().open.iter().any(Open::is_open)
    }

    /// Returns whether the pool is in back-off and has no open connection.
    pub(super) fn is_resting(&self) -> bool {
        let state = self.state.lock();
        !state.open.iter().any(Open::is_open) && state.back_off.resting().is_some()
    }

    /// Any open connection.
    pub(super) fn open(&self) -> Option<Link> {
        self.state.lock().open.iter().find(|open| open.is_open()).map(|open| open.link.clone())
    }

    pub(super) fn load(&self) -> usize {
        self.state.lock().open.iter().map(|open| open.link.load()).sum()
    }

    /// A place on a connection, or why there is none.
    pub(super) async fn reserve_stream(
        self: &Arc<Self>,
        caller: Option<&SubsystemId>,
    ) -> Result<StreamSlot, DialError> {
        // One round to join or make an attempt, one to take what came of it, one for a connection that ended
        // in between.
        for _ in 0..3 {
            match self.choose(caller) {
                Choice::Use(slot) => return Ok(slot),
                Choice::No(error) => return Err(error),
                // The channel has no values: its error says that the connect has ended.
                Choice::Wait(mut attempt) => attempt.changed().await.unwrap_or_default(),
            }
        }
        Err(self.unreachable("connections close as soon as they are open"))
    }

    /// As [`Self::reserve_stream`], but where all connections are full, in turn with others who wait.
    pub(super) async fn reserve_stream_queued(self: &Arc<Self>) -> Result<StreamSlot, DialError> {
        loop {
            match self.reserve_stream(None).await {
                Err(DialError::Full { .. }) => self.freed.notified().await,
                decided => return decided,
            }
        }
    }

    fn choose(self: &Arc<Self>, caller: Option<&SubsystemId>) -> Choice {
        let mut state = self.state.lock();
        state.open.retain(Open::is_open);
        if state.open.iter().any(|open| open.link.answered()) {
            state.back_off.answered();
        }
        // An attempt that is over is forgotten here, so that the next one can begin. Its task only closes the
        // channel.
        state.attempt.take_if(|attempt| attempt.has_changed().is_err());
        let here = self.settings.per_thread.then(|| thread::current().id());
        let near = |open: &&Open| here.is_none_or(|here| open.thread == here);
        let (chosen, is_near) = match place(state.open.iter().filter(near), caller) {
            Ok(slot) => (Ok(slot), true),
            // A connection of another thread wakes that thread for each call, but is better than waiting for
            // a connect.
            Err(_) if here.is_some() => (place(state.open.iter(), caller), false),
            Err(full) => (Err(full), false),
        };
        // Connections of other threads do not count as near, so that this thread opens its own even while
        // theirs have room.
        let load = chosen.as_ref().ok().filter(|_| is_near).map_or(usize::MAX, StreamSlot::load);
        let opened = state.open.iter().filter(near).count();
        // One connection is always allowed, since with none every call would fail.
        let more = load > self.settings.spread && opened < self.settings.connections.max(1);
        if more && state.attempt.is_none() && state.back_off.resting().is_none() {
            state.attempt = Some(self.attempt());
        }
        // A call that has a slot goes on at once. Only a call without one waits for the connect that is under
        // way.
        match (chosen, &state.attempt) {
            (Ok(slot), _) => Choice::Use(slot),
            (Err(_), Some(attempt)) => Choice::Wait(attempt.clone()),
            (Err(full), None) if !state.open.is_empty() => Choice::No(DialError::Full {
                endpoint: self.endpoint.authority().to_string(),
                own: full == Full::Share,
            }),
            (Err(_), None) => {
                Choice::No(self.unreachable(state.back_off.resting().unwrap_or("not connected")))
            }
        }
    }

    fn attempt(self: &Arc<Self>) -> watch::Receiver<()> {
        let (over, attempt) = watch::channel(());
        let this = Arc::clone(self);
        // The connect is a task of its own: a caller that gives up must not cancel it while others wait for
        // it.
        tokio::spawn(async move {
            let opening = async {
                let io = this.endpoint.open(super::PROTOCOL).await?;
                let freed = Arc::clone(&this.freed);
                Link::start(io, this.endpoint.authority().clone(), &this.settings, freed).await
            };
            let opened = tokio::time::timeout(this.settings.connect, opening).await;
            match opened.unwrap_or_else(|_| Err("timed out".to_owned())) {
                Ok((link, driven)) => {
                    // The connection is driven by the runtime that this task runs on.
                    this.state.lock().open.push(Open { link, thread: thread::current().id() });
                    tokio::spawn(drive(driven, Arc::downgrade(&this)));
                }
                Err(problem) => this.state.lock().back_off.failed(&this.settings, problem),
            }
            drop(over);
        });
        attempt
    }

    pub(super) fn unreachable(&self, problem: impl Into<String>) -> DialError {
        DialError::Unreachable { endpoint: self.endpoint.authority().to_string(), problem: problem.into() }
    }
}

impl Open {
    fn is_open(&self) -> bool {
        self.link.is_open()
    }
}

/// The less loaded of two by chance, or any that has room.
fn place<'a>(
    open: impl Iterator<Item = &'a Open> + Clone,
    caller: Option<&SubsystemId>,
) -> Result<StreamSlot, Full> {
    let count = open.clone().count();
    if count == 0 {
        return Err(Full::All);
    }
    let (one, other) = jitter::two_below(count);
    let two =
        open.clone().enumerate().filter(|(number, _)| [one, other].contains(number)).map(|(_, open)| open);
    let mut why = Full::All;
    // The other connections are tried after the lighter of two, so that a full pair does not fail a call for
    // which there is room.
    for candidate in two.min_by_key(|open| open.link.load()).into_iter().chain(open) {
        match candidate.link.reserve_stream(caller) {
            Ok(slot) => return Ok(slot),
            Err(Full::Share) => why = Full::Share,
            Err(Full::All) => {}
        }
    }
    Err(why)
}

/// Drives a connection until it ends. A connection that broke before its first answer counts as a failed
/// connect: with TLS 1.3 a client learns only after its own handshake that the server refused its
/// certificate.
async fn drive(driven: impl Future<Output = Result<(), Broken>>, connections: Weak<Connections>) {
    let Err(Broken { problem, answered }) = driven.await else { return };
    tracing::debug!(problem, "upstream connection ended");
    if let Some(connections) = connections.upgrade()
        && !answered
    {
        connections.state.lock().back_off.failed(&connections.settings, problem);
    }
}
