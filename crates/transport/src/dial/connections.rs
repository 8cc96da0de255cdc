//! The open connections of a pool. A caller gets the least loaded one at once; it waits only when there is none. Connecting
//! is a task of its own, so a caller that gives up does not undo it, and a crowd shares one attempt.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Settings;
use super::back_off::BackOff;
use super::connect::Endpoint;
use crate::error::causes;

pub(super) struct Connections<B> {
    pub(super) endpoint: Endpoint,
    settings: Settings,
    state: Mutex<State<B>>,
}

struct State<B> {
    open: Vec<Open<B>>,
    /// Closed when the attempt is over.
    attempt: Option<watch::Receiver<()>>,
    back_off: BackOff,
}

struct Open<B> {
    sender: SendRequest<B>,
    status: Arc<Status>,
}

/// What calls have learnt of a connection.
#[derive(Default)]
struct Status {
    in_flight: AtomicUsize,
    answered: AtomicBool,
}

/// A connection for one call, counted while it waits for the head of its answer.
pub(super) struct Connection<B> {
    pub(super) sender: SendRequest<B>,
    status: Arc<Status>,
}

enum Choice<B> {
    Use(Connection<B>),
    Wait(watch::Receiver<()>),
    Rest(String),
}

impl<B> Connections<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(endpoint: Endpoint, settings: Settings) -> Self {
        let state = State { open: Vec::new(), attempt: None, back_off: BackOff::default() };
        Self { endpoint, settings, state: Mutex::new(state) }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.lock().open.iter().any(|open| !open.sender.is_closed())
    }

    /// A connection, or why there is none.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Connection<B>, String> {
        // One round to join or make an attempt, one to take what came of it, one for a connection that ended in between.
        for _ in 0..3 {
            match self.choose() {
                Choice::Use(connection) => return Ok(connection),
                Choice::Rest(problem) => return Err(problem),
                // The error is the news: the attempt is over.
                Choice::Wait(mut attempt) => attempt.changed().await.unwrap_or_default(),
            }
        }
        Err("connections end as soon as they are open".to_owned())
    }

    fn choose(self: &Arc<Self>) -> Choice<B> {
        let mut state = self.state.lock();
        state.open.retain(|open| !open.sender.is_closed());
        state.attempt.take_if(|attempt| attempt.has_changed().is_err());
        let load = |open: &&Open<B>| open.status.in_flight.load(Ordering::Relaxed);
        let least = state.open.iter().min_by_key(load);
        let more = least.is_none_or(|open| load(&open) > 0) && state.open.len() < self.settings.connections.max(1);
        let least = least.map(Connection::new);
        if more && state.attempt.is_none() && state.back_off.resting().is_none() {
            state.attempt = Some(self.attempt());
        }
        match (least, &state.attempt) {
            (Some(connection), _) => Choice::Use(connection),
            (None, Some(attempt)) => Choice::Wait(attempt.clone()),
            (None, None) => Choice::Rest(state.back_off.resting().unwrap_or("not connected").to_owned()),
        }
    }

    fn attempt(self: &Arc<Self>) -> watch::Receiver<()> {
        let (over, attempt) = watch::channel(());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let opening = this.endpoint.open(this.settings.keepalive);
            let opened = tokio::time::timeout(this.settings.connect, opening).await;
            match opened.unwrap_or_else(|_| Err("timed out".to_owned())) {
                Ok((sender, connection)) => {
                    let status = Arc::new(Status::default());
                    this.state.lock().open.push(Open { sender, status: Arc::clone(&status) });
                    tokio::spawn(drive(connection, status, Arc::downgrade(&this)));
                }
                Err(problem) => this.failed(problem),
            }
            drop(over);
        });
        attempt
    }

    fn failed(&self, problem: String) {
        self.state.lock().back_off.failed(&self.settings, problem);
    }

    /// Notes that the server answered, which ends the back-off.
    pub(super) fn answered(&self, connection: &Connection<B>) {
        if !connection.status.answered.swap(true, Ordering::Relaxed) {
            self.state.lock().back_off.answered();
        }
    }
}

/// Works a connection until it ends. One that broke before it answered anything counts as a failed connect: with TLS 1.3 a
/// client learns only after its own handshake that the server did not take its certificate.
async fn drive<B>(
    connection: impl Future<Output = hyper::Result<()>>,
    status: Arc<Status>,
    connections: Weak<Connections<B>>,
) where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Err(error) = connection.await else { return };
    tracing::debug!(%error, "connection ended");
    if let Some(connections) = connections.upgrade()
        && !status.answered.load(Ordering::Relaxed)
    {
        connections.failed(causes(&error));
    }
}

impl<B> Connection<B> {
    fn new(open: &Open<B>) -> Self {
        open.status.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { sender: open.sender.clone(), status: Arc::clone(&open.status) }
    }

    /// Whether the connection failed in TLS before anything was answered on it: the server did not take our certificate, and
    /// read no request.
    pub(super) fn turned_away(&self, error: &hyper::Error) -> bool {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let io = causes.filter_map(|cause| {
            let h2 = cause.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
            h2.or_else(|| cause.downcast_ref::<std::io::Error>())
        });
        let in_tls = io.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::InvalidData);
        in_tls && !self.status.answered.load(Ordering::Relaxed)
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        self.status.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
