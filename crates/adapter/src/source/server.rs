//! `Pooled` is a bounded pool of connections to a database server, and how a query runs on one: within its
//! deadline, cancelled at the server when nobody waits for it, and once more on a new connection if the old
//! one was lost before anything was sent. What is said on a connection is left to an `Engine`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chapar_model::Reason;
use chapar_telemetry::SourceFigures;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection_slots::{ConnectionSlot, ConnectionSlots, Counted};
use super::outage::{CONNECT_PATIENCE, Outage};
use super::output::{Output, WAITING_BATCHES};
use super::{Batch, Failure, Query, Rows};
use crate::config::{Limits, Server};

/// How long the server has to cancel a statement, and then to end it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection may wait for a query. Firewalls forget silent connections, and servers end them.
const LONGEST_IDLE: Duration = Duration::from_secs(300);

/// Why a query ended without its last row.
pub(super) enum Trouble {
    /// The connection can be used again.
    Failed(Failure),
    /// What was prepared no longer fits the schema; preparing it again may help.
    Stale(Failure),
    /// The server is still at work on the statement.
    Unfinished(Failure),
    /// The connection is in no known state, or gone.
    Lost(Failure),
}

impl Trouble {
    fn failure(self) -> Failure {
        let (Self::Failed(failure) | Self::Stale(failure) | Self::Unfinished(failure) | Self::Lost(failure)) =
            self;
        failure
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
    slots: ConnectionSlots,
    limits: Limits,
    figures: SourceFigures,
    idle: Mutex<Vec<IdleConnection<E::Connection>>>,
    outage: Outage,
}

/// A connection that waits for a query.
struct IdleConnection<C> {
    connection: C,
    since: Instant,
    _counted: Counted,
}

/// A connection that is being opened. It is counted when this is dropped, so also if nobody waits for it any
/// more: a query that is over waits `CANCEL_PATIENCE` longer, so that no caller with little time makes a
/// server look unreachable.
struct Opening<'p> {
    figures: &'p SourceFigures,
    outage: &'p Outage,
    end: OpeningEnd,
}

enum OpeningEnd {
    Opened,
    /// The server is there, and gives no connection: it has no free place, or does not let this role in.
    Refused,
    Unreached,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        match self.end {
            OpeningEnd::Opened => {
                self.figures.opened.inc();
                self.outage.is_over();
            }
            OpeningEnd::Refused => {
                self.figures.unopened.inc();
            }
            OpeningEnd::Unreached => {
                self.figures.unopened.inc();
                self.outage.goes_on();
            }
        }
    }
}

/// One query while it runs.
struct Running<'q, E: Engine> {
    query: &'q Query,
    /// Names the session while the server is at work for the query.
    session: Mutex<Option<E::Session>>,
    /// Cancelled once nobody waits for the rows any more.
    over: CancellationToken,
    /// Whether the last batch was handed over.
    answered: Arc<AtomicBool>,
}

impl<E: Engine> Running<'_, E> {
    fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }
}

impl<E: Engine> Pooled<E> {
    pub(super) fn new(engine: E, limits: Limits, figures: SourceFigures) -> Self {
        Self {
            engine,
            slots: ConnectionSlots::new(limits.max_connections, limits.acquire_timeout, figures.clone()),
            limits,
            figures,
            idle: Mutex::default(),
            outage: Outage::default(),
        }
    }

    /// Starts the query as soon as a connection is free.
    pub(super) async fn run(self: &Arc<Self>, query: Query) -> Result<Rows, Failure> {
        let slot = self.slots.take(&query.reading).await?;
        let (batches, rows) = mpsc::channel(WAITING_BATCHES);
        let reader_waits = query.reading.reader_waits;
        let deadline = query.reading.deadline;
        let work = Arc::clone(self).serve(slot, query, batches);
        if reader_waits {
            return Ok(Rows::made_by(rows, deadline, Box::pin(work)));
        }
        tokio::spawn(work);
        Ok(Rows::new(rows, deadline))
    }

    /// A connection for a comparison with the database. It counts for no limit: there is one at a time.
    pub(super) async fn connection(&self) -> Result<E::Connection, Failure> {
        match self.idle() {
            Some(connection) => Ok(connection),
            None => self.open().await,
        }
    }

    /// The first connection to a server, by which its account is examined.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the server, the account or a file.
    pub(super) async fn first_connection(&self, server: &Server) -> Result<E::Connection, String> {
        self.connection().await.map_err(|failure| {
            format!("`{}` as `{}` cannot be used: {}", server.database, server.user, failure.detail)
        })
    }

    /// Opens a connection. A server that could not be reached is left alone for a pause.
    async fn open(&self) -> Result<E::Connection, Failure> {
        let mut opening =
            Opening { figures: &self.figures, outage: &self.outage, end: OpeningEnd::Unreached };
        let opened = within(CONNECT_PATIENCE, self.engine.connect()).await;
        opening.end = match &opened {
            Ok(_) => OpeningEnd::Opened,
            Err(failure) if failure.reason == Reason::SourceDown => OpeningEnd::Unreached,
            Err(_) => OpeningEnd::Refused,
        };
        opened
    }

    /// Keeps a connection for the next query.
    pub(super) fn give_back(&self, connection: E::Connection) {
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.since.elapsed() < LONGEST_IDLE);
        if self.engine.is_open(&connection) && idle.len() < self.limits.max_connections {
            idle.push(IdleConnection {
                connection,
                since: Instant::now(),
                _counted: Counted::in_gauge(&self.figures.idle),
            });
        }
    }

    /// A connection that waits, the one that was used last.
    fn idle(&self) -> Option<E::Connection> {
        let idle = self.idle.lock().pop()?;
        let is_usable = idle.since.elapsed() < LONGEST_IDLE && self.engine.is_open(&idle.connection);
        is_usable.then_some(idle.connection)
    }

    async fn serve(
        self: Arc<Self>,
        slot: ConnectionSlot,
        query: Query,
        batches: mpsc::Sender<Result<Batch, Failure>>,
    ) {
        let running = Running {
            query: &query,
            session: Mutex::new(None),
            over: CancellationToken::new(),
            answered: Arc::default(),
        };
        let mut connection = None;
        let mut output =
            Output::new(&query.reading, batches.clone(), running.over.clone(), Arc::clone(&running.answered));
        // What the reader is still to be told.
        let mut untold = None;
        let is_usable = {
            let mut work = pin!(self.attempt(&mut connection, &running, &mut output));
            let ended = tokio::select! {
                biased;
                result = &mut work => Some(result),
                () = batches.closed() => None,
                () = tokio::time::sleep_until(query.reading.deadline.into()) => {
                    // A reader that has left batches unread is late itself, and is told so by `Rows`.
                    if !running.is_answered() {
                        told(&batches, query.reading.is_late());
                    }
                    None
                }
            };
            match ended {
                Some(Ok(())) => true,
                Some(Err(trouble)) => {
                    let is_usable = matches!(trouble, Trouble::Failed(_));
                    let is_unfinished = matches!(trouble, Trouble::Unfinished(_));
                    // Told first, so that the caller does not wait for the cancellation.
                    untold = told(&batches, trouble.failure());
                    if is_unfinished {
                        self.cancel(&running).await;
                    }
                    is_usable
                }
                // The reader has everything, and goes; what is left is the end of the transaction.
                None if running.is_answered() => {
                    matches!(tokio::time::timeout(CANCEL_PATIENCE, work).await, Ok(Ok(())))
                }
                None => {
                    running.over.cancel();
                    self.cancel(&running).await;
                    // The server ends the statement, and the connection learns of it; it is not used again,
                    // because a cancellation that came after the statement's end would hit the next one.
                    tokio::time::timeout(CANCEL_PATIENCE, work).await.ok();
                    false
                }
            }
        };
        if let Some(connection) = connection.filter(|_| is_usable) {
            self.give_back(connection);
        }
        // The connection is given back before a slow reader is waited for.
        drop(slot);
        if let Some(failure) = untold {
            tokio::time::timeout_at(query.reading.deadline.into(), batches.send(Err(failure))).await.ok();
        }
    }

    /// Runs the query, once more if that is known to do no harm and may help.
    async fn attempt(
        &self,
        slot: &mut Option<E::Connection>,
        running: &Running<'_, E>,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        *slot = self.idle();
        let mut is_first = true;
        loop {
            if slot.is_none() {
                *slot = Some(self.connect().await.map_err(Trouble::Lost)?);
            }
            let Some(connection) = slot else { continue };
            *running.session.lock() = Some(self.engine.session(connection));
            // Looked at after the session is named: whoever ends the call either sees the session, or is seen
            // here.
            if running.over.is_cancelled() {
                return Err(Trouble::Lost(running.query.reading.is_late()));
            }
            let result = self.engine.execute(connection, running.query, output).await;
            if matches!(result, Err(Trouble::Unfinished(_))) {
                return result;
            }
            // From here on nothing runs that a cancellation could end.
            running.session.lock().take();
            let may_retry = is_first && output.is_untouched() && !running.over.is_cancelled();
            match result {
                Err(Trouble::Lost(_)) if may_retry => {
                    // Every other idle connection was most likely lost with this one.
                    self.idle.lock().clear();
                    *slot = None;
                }
                Err(Trouble::Stale(_)) if may_retry => {}
                other => return other,
            }
            self.figures.retries.inc();
            is_first = false;
            output.restart();
        }
    }

    /// Ends at the server what is running for the query.
    async fn cancel(&self, running: &Running<'_, E>) {
        let session = running.session.lock().take();
        if let Some(session) = session {
            self.figures.cancellations.inc();
            // Without an answer the statement ends by the server's own time limit.
            tokio::time::timeout(CANCEL_PATIENCE, self.engine.cancel(session)).await.ok();
        }
    }

    /// Opens a connection, unless the server could not be reached a moment ago.
    async fn connect(&self) -> Result<E::Connection, Failure> {
        self.outage.check("the database")?;
        self.open().await
    }
}

/// Tells the reader why its rows have ended. Gives the failure back if batches that are not read yet stand
/// before it.
fn told(batches: &mpsc::Sender<Result<Batch, Failure>>, failure: Failure) -> Option<Failure> {
    match batches.try_send(Err(failure)) {
        Err(mpsc::error::TrySendError::Full(Err(failure))) => Some(failure),
        _ => None,
    }
}

async fn within<T>(time: Duration, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = || Failure::new(Reason::SourceDown, "the database did not answer in time");
    tokio::time::timeout(time, future).await.unwrap_or_else(|_| Err(late()))
}
