//! `Pooled` is a bounded pool of connections to a database server, and how a query runs on one: within its
//! deadline, cancelled at the server when nobody waits for it, and once more on a new connection if the old
//! one was lost before anything was sent. What is said on a connection is left to an `Engine`.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Reason;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::output::{Output, WAITING_BATCHES};
use super::{Batch, Failure, Query, Rows};
use crate::config::Limits;

/// How long the server has to confirm that it cancelled a statement. The statement's connection is given up
/// after it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);
/// Maximum time to open a connection, which ends sooner at the query's deadline.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the second attempt to connect to a server that did not answer the first; doubled up to
/// `LONGEST_PAUSE`, with a random part, so that the replicas of an adapter do not come back all at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a query ended without its last row.
pub(super) enum Trouble {
    /// The connection can be used again.
    Failed(Failure),
    /// The server ended the statement because it was told to.
    Cancelled(Failure),
    /// What was prepared no longer fits the schema; preparing it again may help.
    Stale(Failure),
    /// The connection is in no known state, or gone.
    Lost(Failure),
}

impl Trouble {
    fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) | Self::Cancelled(failure) | Self::Stale(failure) | Self::Lost(failure) => {
                failure
            }
        }
    }
}

/// One kind of database server.
pub(super) trait Engine: Send + Sync + 'static {
    /// A session that can only read.
    type Connection: Send;
    /// Names a session to the server, so that its statement can be cancelled from another one.
    type Session: Send;

    /// Opens a session.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Whether the session is still open, as far as it is known here.
    fn is_open(&self, connection: &Self::Connection) -> bool;

    /// How to name the session.
    fn session(&self, connection: &Self::Connection) -> Self::Session;

    /// Tells the server to end what the session is running.
    fn cancel(&self, session: Self::Session) -> impl Future<Output = ()> + Send;

    /// Runs the query and writes its rows to `output`, with the last batch.
    fn execute(
        &self,
        connection: &mut Self::Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// A pool of connections of one kind.
pub(super) struct Pooled<E: Engine> {
    pub(super) engine: E,
    permits: Arc<Semaphore>,
    acquire_timeout: Duration,
    idle: Mutex<Vec<E::Connection>>,
    outage: Mutex<Outage>,
}

/// When the server may be tried again after it could not be reached.
#[derive(Default)]
struct Outage {
    pause: Duration,
    until: Option<Instant>,
}

impl<E: Engine> Pooled<E> {
    pub(super) fn new(engine: E, limits: Limits) -> Self {
        Self {
            engine,
            permits: Arc::new(Semaphore::new(limits.max_connections)),
            acquire_timeout: limits.acquire_timeout,
            idle: Mutex::default(),
            outage: Mutex::default(),
        }
    }

    /// Starts the query as soon as a connection is free.
    pub(super) async fn run(self: &Arc<Self>, query: Query) -> Result<Rows, Failure> {
        let permit = permit(&self.permits, self.acquire_timeout, &query).await?;
        let (batches, rows) = mpsc::channel(WAITING_BATCHES);
        tokio::spawn(Arc::clone(self).serve(permit, query, batches));
        Ok(Rows::new(rows))
    }

    /// A connection for the check at start, which no call waits for.
    pub(super) async fn connection(&self) -> Result<E::Connection, Failure> {
        let idle = self.idle.lock().pop().filter(|connection| self.engine.is_open(connection));
        match idle {
            Some(connection) => Ok(connection),
            None => within(CONNECT_PATIENCE, self.engine.connect()).await,
        }
    }

    /// Keeps a connection for the next query.
    pub(super) fn give_back(&self, connection: E::Connection) {
        if self.engine.is_open(&connection) {
            self.idle.lock().push(connection);
        }
    }

    async fn serve(
        self: Arc<Self>,
        permit: OwnedSemaphorePermit,
        query: Query,
        batches: mpsc::Sender<Result<Batch, Failure>>,
    ) {
        let over = CancellationToken::new();
        let mut connection = None;
        let session = Mutex::new(None);
        let mut output = Output::new(&query, batches.clone(), over.clone());
        let mut cancelled = false;
        let result = {
            let mut work = pin!(self.attempt(&mut connection, &query, &mut output, &session));
            let ended = tokio::select! {
                biased;
                result = &mut work => Some(result),
                () = batches.closed() => None,
                () = tokio::time::sleep_until(query.deadline.into()) => {
                    // A full channel needs no error: its reader is late too, and has the same deadline.
                    batches.try_send(Err(query.is_late())).ok();
                    None
                }
            };
            match ended {
                Some(result) => result,
                None => {
                    over.cancel();
                    let session = session.lock().take();
                    if let Some(session) = session {
                        cancelled = true;
                        // Without an answer the statement ends by the server's own time limit.
                        tokio::time::timeout(CANCEL_PATIENCE, self.engine.cancel(session)).await.ok();
                    }
                    let ended = tokio::time::timeout(CANCEL_PATIENCE, work).await;
                    ended.unwrap_or_else(|_| Err(Trouble::Lost(query.is_late())))
                }
            }
        };
        let is_usable = match &result {
            // A cancellation that came after the end of its statement would hit the next one on this
            // connection. Only one that the server has confirmed is known to be used up.
            Ok(()) | Err(Trouble::Failed(_)) => !cancelled,
            Err(Trouble::Cancelled(_)) => true,
            Err(Trouble::Stale(_) | Trouble::Lost(_)) => false,
        };
        if let Some(connection) = connection.filter(|_| is_usable) {
            self.give_back(connection);
        }
        // The connection is given back before a slow reader is waited for.
        drop(permit);
        if let Err(trouble) = result
            && !over.is_cancelled()
        {
            let sent = batches.send(Err(trouble.failure()));
            tokio::time::timeout_at(query.deadline.into(), sent).await.ok();
        }
    }

    /// Runs the query, once more if that is known to do no harm and may help.
    async fn attempt(
        &self,
        slot: &mut Option<E::Connection>,
        query: &Query,
        output: &mut Output<'_>,
        session: &Mutex<Option<E::Session>>,
    ) -> Result<(), Trouble> {
        *slot = self.idle.lock().pop().filter(|connection| self.engine.is_open(connection));
        let mut is_first = true;
        loop {
            if slot.is_none() {
                *slot = Some(self.connect().await.map_err(Trouble::Lost)?);
            }
            let Some(connection) = slot else { continue };
            *session.lock() = Some(self.engine.session(connection));
            let result = self.engine.execute(connection, query, output).await;
            // From here on nothing runs on this connection that a cancellation could end.
            let is_running = session.lock().take().is_some();
            match result {
                Err(Trouble::Lost(_)) if is_first && is_running && output.is_untouched() => {
                    // Every other idle connection was most likely lost with this one.
                    self.idle.lock().clear();
                    *slot = None;
                }
                Err(Trouble::Stale(_)) if is_first && output.is_untouched() => {}
                other => return other,
            }
            is_first = false;
            output.restart();
        }
    }

    /// Opens a connection, unless the server could not be reached a moment ago.
    async fn connect(&self) -> Result<E::Connection, Failure> {
        if self.outage.lock().until.is_some_and(|until| Instant::now() < until) {
            return Err(Failure::new(
                Reason::SourceDown,
                "the database could not be reached a moment ago; it is tried again soon",
            ));
        }
        let connected = within(CONNECT_PATIENCE, self.engine.connect()).await;
        let mut outage = self.outage.lock();
        match &connected {
            Ok(_) => *outage = Outage::default(),
            // A server with no free place is not gone, and a wrong password is not mended by waiting.
            Err(failure) if failure.reason == Reason::SourceDown => {
                outage.pause = (outage.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                outage.until = Some(Instant::now() + outage.pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            }
            Err(_) => {}
        }
        connected
    }
}

/// Waits for a free connection, and says why there was none.
pub(super) async fn permit(
    permits: &Arc<Semaphore>,
    acquire_timeout: Duration,
    query: &Query,
) -> Result<OwnedSemaphorePermit, Failure> {
    // The wait ends at the earlier of both times, and which of them it was decides the reason below.
    let patience = (Instant::now() + acquire_timeout).min(query.deadline);
    match tokio::time::timeout_at(patience.into(), Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ if patience == query.deadline => Err(query.is_late()),
        _ => Err(Failure::new(Reason::SourceBusy, "no connection became free in time")),
    }
}

async fn within<T>(time: Duration, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = || Failure::new(Reason::SourceDown, "the database did not answer in time");
    tokio::time::timeout(time, future).await.unwrap_or_else(|_| Err(late()))
}
