//! A worker thread owns one connection and runs one query at a time. It sends rows in batches; the
//! deadline or the reader's leaving interrupts the statement. It connects when first needed, and again after
//! the file failed, was replaced or was written.

use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use chapar_model::Reason;
use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::connection::{failure_at_start, failure_of_run, is_broken, open_within};
use crate::source::{Batch, Cell, Failure, Parameter, Query, Row, RowBuffer};

/// Number of instructions of SQLite's virtual machine between two checks of the deadline: some tens of
/// microseconds.
const LOOK_EVERY: i32 = 1_000;

/// `Job` is one query for one connection.
pub(super) struct Job {
    pub(super) query: Query,
    pub(super) batches: mpsc::Sender<Result<Batch, Failure>>,
    pub(super) runtime: Handle,
    pub(super) give_back: Box<dyn FnOnce() + Send>,
}

/// What the progress handler watches while a query runs.
type Watch = Arc<Mutex<Option<(Instant, mpsc::Sender<Result<Batch, Failure>>)>>>;

/// Starts the thread. It ends when every sender is dropped.
pub(super) fn start(number: usize, file: PathBuf) -> std::io::Result<SyncSender<Job>> {
    // One place is enough: a connection is taken from the list for one job at a time.
    let (jobs, inbox) = sync_channel(1);
    std::thread::Builder::new().name(format!("sqlite-{number}")).spawn(move || serve(&file, &inbox))?;
    Ok(jobs)
}

fn serve(file: &Path, inbox: &Receiver<Job>) {
    let watch = Watch::default();
    let mut connection = None;
    let mut on = Version::default();
    while let Ok(Job { query, batches, runtime, give_back }) = inbox.recv() {
        if on.has_changed(file) {
            connection = None;
        }
        // The handler of the connection reads the watch, and is set once per connection and not for each
        // query.
        *watch.lock() = Some((query.reading.deadline, batches.clone()));
        let mut output = BatchOutput { batches, runtime, query: &query };
        // A panic of the driver must not end the thread, because its place in the pool would stay empty for
        // good.
        let result = catch_unwind(AssertUnwindSafe(|| match &mut connection {
            Some(connection) => run(connection, &mut output),
            none if on.file.is_none() => {
                *none = None;
                Err(Failure::new(Reason::SourceDown, "the database file is not there"))
            }
            none => connect(file, query.reading.deadline, &watch)
                .and_then(|opened| run(none.insert(opened), &mut output)),
        }))
        .unwrap_or_else(|_| Err(Failure::new(Reason::SourceDown, "the database's driver panicked")));
        *watch.lock() = None;
        // After an I/O error a connection may be in any state. A connection that finds no table or column may
        // have read the schema of a file that was just being replaced. The next job opens another one.
        if result.as_ref().is_err_and(is_broken) || !on.is_settled() {
            connection = None;
        }
        // The connection is given back before a slow reader is waited for.
        give_back();
        if let Err(failure) = result {
            output.fail(failure);
        }
    }
}

/// Which file is at the database's path, and when it changed. SQLite goes on reading a file that was replaced
/// or removed, and keeps pages of one that was overwritten in place by a copy with the same change counter
/// (<https://sqlite.org/fileformat2.html> §1.3.7), as two exports by one program have.
struct Version {
    file: Option<FileState>,
    /// When this state was first seen.
    seen: Instant,
}

/// Device, inode, bytes, and the time of the last change of the inode in seconds and nanoseconds. Not the
/// time of the last write, which `cp -p` sets back.
type FileState = (u64, u64, u64, i64, i64);

/// Two changes within this time may bear the same time: the kernel's clock for files ticks every 1 to 10 ms
/// (finer only where the file system has multigrain timestamps, Linux 6.13).
const FILE_TICK: Duration = Duration::from_millis(20);

impl Default for Version {
    fn default() -> Self {
        Self { file: None, seen: Instant::now() }
    }
}

impl Version {
    /// Checks whether the file was replaced or changed since the last check.
    fn has_changed(&mut self, file: &Path) -> bool {
        let state = |of: std::fs::Metadata| (of.dev(), of.ino(), of.len(), of.ctime(), of.ctime_nsec());
        let found = std::fs::metadata(file).ok().map(state);
        if found == self.file {
            return false;
        }
        *self = Self { file: found, seen: Instant::now() };
        true
    }

    /// Returns whether a later change would be noticed. Until then a connection serves only one query.
    fn is_settled(&self) -> bool {
        self.seen.elapsed() > FILE_TICK
    }
}

fn connect(file: &Path, deadline: Instant, watch: &Watch) -> Result<Connection, Failure> {
    let mut connection = open_within(file, lock_patience(deadline)).map_err(|error| {
        let failure = failure_at_start(&error);
        // Opening compares no schema, so an error without a code means that the file cannot be used.
        if failure.reason == Reason::SchemaDrift {
            Failure { reason: Reason::SourceDown, ..failure }
        } else {
            failure
        }
    })?;
    let watch = Arc::clone(watch);
    // A statement is also interrupted when its reader has left, so that it does not occupy the database for
    // no result.
    let is_over = move || {
        watch
            .lock()
            .as_ref()
            .is_some_and(|(deadline, batches)| batches.is_closed() || Instant::now() >= *deadline)
    };
    connection.progress_handler(LOOK_EVERY, Some(is_over)).map_err(|error| failure_at_start(&error))?;
    Ok(connection)
}

fn run(connection: &Connection, output: &mut BatchOutput<'_>) -> Result<(), Failure> {
    let query = output.query;
    connection
        .busy_timeout(lock_patience(query.reading.deadline))
        .map_err(|error| failure_at_start(&error))?;
    let mut statement =
        connection.prepare_cached(&query.sql).map_err(|error| output.explain(&error, failure_at_start))?;
    for (index, parameter) in query.parameters.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, parameter).map_err(|error| failure_of_run(&error))?;
    }
    let mut rows = statement.raw_query();
    let mut buffer = RowBuffer::default();
    let mut total = 0;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => {
                let failure = output.explain(&error, failure_of_run);
                // SQLite prepares the statement again when the schema has changed, and reports only "error"
                // if that fails.
                let moved = || {
                    connection.prepare(&query.sql).err().map(|error| output.explain(&error, failure_at_start))
                };
                return Err(match failure.reason {
                    Reason::SourceRefused => moved().unwrap_or(failure),
                    _ => failure,
                });
            }
        };
        total += 1;
        // An error and not an end of the rows, so that an answer that was cut does not look whole.
        if total > query.reading.most {
            return Err(Failure::new(
                query.reading.excess,
                "the statement gives more rows than the method allows",
            ));
        }
        query.reading.sink.write(&SqliteRow(row), query.reading.subject.as_deref(), &mut buffer)?;
        if buffer.is_full() && !output.send(Ok(buffer.take(false))) {
            // A reader that has left gets no error, and one that is late is told so by `Rows`.
            return Ok(());
        }
    }
    output.send(Ok(buffer.take(true)));
    Ok(())
}

/// Maximum wait for a writer's lock. SQLite does not end this wait when the caller has gone, so the
/// connection is occupied for this long at most.
const LONGEST_LOCK: Duration = Duration::from_secs(2);

/// Returns how long a query waits for a writer's lock: four fifths of its time, since a writer is usually
/// done soon, and not all of it, so that the caller gets the reason of a busy database and not of a slow one.
fn lock_patience(deadline: Instant) -> Duration {
    (deadline.saturating_duration_since(Instant::now()) * 4 / 5).min(LONGEST_LOCK)
}

/// `BatchOutput` sends a query's batches to its reader.
struct BatchOutput<'a> {
    batches: mpsc::Sender<Result<Batch, Failure>>,
    runtime: Handle,
    query: &'a Query,
}

impl BatchOutput<'_> {
    /// Sends a batch, and waits for a slow reader, but not past the deadline. Returns false if the reader has
    /// left or the deadline has passed.
    fn send(&self, batch: Result<Batch, Failure>) -> bool {
        match self.batches.try_send(batch) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(batch)) => {
                let deadline = self.query.reading.deadline.into();
                // The thread waits on the runtime's timer, because it is not one of the runtime's own
                // threads.
                let sent = async { tokio::time::timeout_at(deadline, self.batches.send(batch)).await };
                matches!(self.runtime.block_on(sent), Ok(Ok(())))
            }
        }
    }

    /// Ends the result with a failure. The connection may already serve another query, so a task of the
    /// runtime waits for a slow reader.
    fn fail(self, failure: Failure) {
        let Err(mpsc::error::TrySendError::Full(failure)) = self.batches.try_send(Err(failure)) else {
            return;
        };
        let deadline = self.query.reading.deadline.into();
        let sent = async move { tokio::time::timeout_at(deadline, self.batches.send(failure)).await };
        self.runtime.spawn(async move { drop(sent.await) });
    }

    /// Maps an error. An interrupted statement has passed its deadline, or its reader has left.
    fn explain(&self, error: &rusqlite::Error, otherwise: fn(&rusqlite::Error) -> Failure) -> Failure {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => self.query.reading.is_late(),
            _ => otherwise(error),
        }
    }
}

pub(super) struct SqliteRow<'a, 'b>(pub(super) &'a rusqlite::Row<'b>);

impl Row for SqliteRow<'_, '_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        match self.0.get_ref(index) {
            Ok(ValueRef::Integer(value)) => Cell::Integer(value),
            Ok(ValueRef::Real(value)) => Cell::Real(value),
            Ok(ValueRef::Text(value)) => Cell::Text(value),
            Ok(ValueRef::Blob(value)) => Cell::Blob(value),
            // An index past the last column reads as NULL, as `Row::cell` promises.
            Ok(ValueRef::Null) | Err(_) => Cell::Null,
        }
    }
}

impl ToSql for Parameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            // SQLite has no type for it; agencies store RFC 3339 text.
            Self::Timestamp(value) => ToSqlOutput::Owned(Value::Text(value.to_string())),
        })
    }
}
