//! `Link` is one HTTP/2 connection on which this side is the client, whichever side dialled. It owns the flow
//! control windows, the keepalive pings and each caller's share of calls. It does not choose the connection
//! for a call.
//!
//! # Why no caller can break another's call here
//!
//! h2 charges every DATA frame under 256 bytes that is still unread in h2 with `256 − length`, and ends the
//! connection when a budget for that is spent, by default half of the connection window. A caller could spend
//! any such budget:
//!
//! * by not reading: a window of 65,535 bytes in frames of one byte is a charge of 16.7 million. hyper's
//!   windows (2 MiB a stream, 5 MiB a connection, so a budget of 2.6 million) bear a fraction of one such
//!   caller;
//! * by cancelling: frames on a stream that was reset are charged too, and the charge is never returned (h2
//!   0.4.20). A dozen calls that are cancelled in the middle of a window of tiny messages cost 32 million for
//!   good.
//!
//! So the budget is off ([`DATA_FRAME_BUDGET`]), and memory is bounded in another way: no frame stays in h2.
//! For a response that may be read slowly, a task ([`super::incoming`]) takes frames at once into a buffer of
//! at most one window, and only the reader's progress opens the window again (backpressure). h2 holds at most
//! what one turn of the event loop reads before those tasks run: tokio allows a task 128 reads of 4 KiB each
//! through TLS, which is 512 KiB, or 52,429 frames of one byte (10 bytes on the wire).
//!
//! Two more measures keep a caller that cancels from harming others: late frames of its streams are ignored
//! ([`MAX_RESET_STREAMS`]), and a call is not reset before the server had time to accept it
//! ([`super::stream_slot`]).
//!
//! [`CONNECTION_WINDOW`] is `256 × 64 KiB`, a full window for each of at most 256 streams, so that readers
//! that stopped do not block the others (head-of-line blocking). 16 MiB is also the most response data that a
//! connection keeps in memory.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chapar_model::SubsystemId;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use http::uri::Authority;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::Settings;
use crate::error::causes;
use crate::gather::Gather;

/// Flow control window of one stream, in bytes: the most response data that a slow reader keeps in memory.
const STREAM_WINDOW: u32 = 64 << 10;
/// Maximum number of calls on one connection, whatever the settings say, so that `CONNECTION_WINDOW` has a
/// full window for each.
const MOST_STREAMS: usize = 256;
/// Flow control window of the connection, in bytes: a full window for every stream (16 MiB).
const CONNECTION_WINDOW: u32 = MOST_STREAMS as u32 * STREAM_WINDOW;
/// h2's budget for small DATA frames, which is switched off here; the module's head says why.
const DATA_FRAME_BUDGET: usize = usize::MAX;
/// Maximum size of a response's headers, in bytes.
const MAX_HEADER_LIST: u32 = 32 << 10;
/// Maximum number of cancelled calls whose late frames are ignored. A late frame of any other cancelled call
/// is answered with a reset, and by default h2 ends a connection after 1,024 of those: a caller that cancels
/// must not be able to cause that.
const MAX_RESET_STREAMS: usize = 4_096;

/// `Link` is one connection. Clones share it; it closes when the last clone is dropped and its calls have
/// ended.
#[derive(Clone)]
pub struct Link(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) endpoint: Authority,
    pub(super) sender: SendRequest<Bytes>,
    pub(super) status: Arc<Status>,
    pub(super) streams: usize,
    pub(super) callers: Mutex<HashMap<SubsystemId, usize>>,
    pub(super) freed: Arc<Notify>,
}

/// `Status` is what is known of a connection. All orderings are Relaxed: its values guard no other memory,
/// and h2 itself refuses a call on a connection that has closed.
#[derive(Default)]
pub(super) struct Status {
    pub(super) in_flight: AtomicUsize,
    pub(super) answered: AtomicBool,
    pub(super) closed: AtomicBool,
}

/// Why a connection takes no further call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// The connection carries its maximum of calls, or takes no new ones.
    All,
    /// There is room, but no more than the calls that the caller already has on it. It is kept for other
    /// callers.
    Share,
}

/// What broke a connection.
#[derive(Clone, Debug)]
pub struct Broken {
    /// As text.
    pub problem: String,
    /// Whether the other end had ever answered on it.
    pub answered: bool,
}

impl Link {
    /// Speaks HTTP/2 as the client on a connection that is encrypted and authenticated already. The second
    /// part must be driven for it to work, and ends with the connection: in good order, or with what broke
    /// it. `freed` hears of every place that is given up.
    ///
    /// # Errors
    /// What failed, as text.
    pub async fn start<T>(
        io: T,
        endpoint: Authority,
        settings: &Settings,
        freed: Arc<Notify>,
    ) -> Result<(Self, impl Future<Output = Result<(), Broken>> + Send + 'static), String>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(DATA_FRAME_BUDGET)
            // A server's headers are bounded here because h2 keeps them in memory whatever the windows say.
            .max_header_list_size(MAX_HEADER_LIST)
            .max_concurrent_reset_streams(MAX_RESET_STREAMS)
            // h2's default ends a connection after 1,024 resets of its own, and a caller that cancels often
            // could cause those.
            .max_local_error_reset_streams(None)
            // Pushed streams have no caller and no slot, so a server must not open any.
            .enable_push(false);
        let (sender, mut connection) =
            builder.handshake(Gather::new(io)).await.map_err(|error| causes(&error))?;
        let status = Arc::new(Status::default());
        let pings = connection.ping_pong();
        let streams = settings.streams.clamp(1, MOST_STREAMS);
        let callers = Mutex::default();
        let link =
            Self(Arc::new(Inner { endpoint, sender, status: Arc::clone(&status), streams, callers, freed }));
        let every = settings.keepalive;
        let idle = settings.keepalive_idle;
        let driven = async move {
            let _closed = Closed(&status);
            let mut silence = pin!(silence(pings, every, idle, &status));
            let mut connection = pin!(connection);
            // The connection is polled first, so that the answer to a ping is taken in before the silence is
            // judged.
            let driving = poll_fn(|context| match connection.as_mut().poll(context) {
                Poll::Ready(ended) => Poll::Ready(ended.map_err(|error| causes(&error))),
                Poll::Pending => {
                    silence.as_mut().poll(context).map(|()| Err("pings are not answered".to_owned()))
                }
            });
            driving
                .await
                .map_err(|problem| Broken { problem, answered: status.answered.load(Ordering::Relaxed) })
        };
        Ok((link, driven))
    }

    /// Whether it takes calls, as far as is known.
    pub fn is_open(&self) -> bool {
        !self.0.status.closed.load(Ordering::Relaxed)
    }

    /// Asks the connection itself whether it still takes calls: it does not once the other end said that it
    /// will close.
    pub fn refresh(&self) -> bool {
        let ready = self.0.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            self.0.status.closed.store(true, Ordering::Relaxed);
        }
        self.is_open()
    }

    /// What the other end is called.
    pub fn endpoint(&self) -> &Authority {
        &self.0.endpoint
    }

    /// Calls on it.
    pub fn load(&self) -> usize {
        self.0.status.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the other end ever answered on it.
    pub(super) fn answered(&self) -> bool {
        self.0.status.answered.load(Ordering::Relaxed)
    }

    /// Whether both are the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Marks the connection closed, however its end comes.
struct Closed<'a>(&'a Status);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }
}

/// Ends when a ping is not answered in time.
async fn silence(pings: Option<PingPong>, every: Duration, idle: bool, status: &Status) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        // An idle connection that broke shows at the next call. Pings would only keep the other end awake.
        if !idle && status.in_flight.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let answered = async {
            pings.send_ping(Ping::opaque())?;
            poll_fn(|context| pings.poll_pong(context)).await
        };
        match tokio::time::timeout(every, answered).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return std::future::pending().await, // the connection itself knows what is wrong with it
            Err(_) => return,
        }
    }
}
