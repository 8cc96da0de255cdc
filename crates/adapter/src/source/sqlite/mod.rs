//! `Sqlite` is a bounded pool of read-only connections, each with its own thread and prepared statements.
//! Making a connection read-only is in `connection`, describing a statement in `inspect`, running a query in
//! `worker`.

mod catalogue;
mod connection;
mod inspect;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use chapar_model::Reason;
use chapar_telemetry::SourceFigures;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use self::worker::Job;
use super::catalogue::Catalogue;
use super::connection_slots::{ConnectionSlots, Counted};
use super::output::WAITING_BATCHES;
use super::{
    Described, Failure, FullScan, Look, Parameter, Pending, Query, Rows, Source, TableColumn, Tried,
};
use crate::config::Limits;
use crate::dialect::Dialect;

/// A pool on one database file.
pub(crate) struct Sqlite {
    file: PathBuf,
    slots: ConnectionSlots,
    pool: Arc<Pool>,
}

struct Pool {
    idle: Mutex<Vec<IdleWorker>>,
    figures: SourceFigures,
}

/// A thread that waits for a query.
struct IdleWorker {
    jobs: SyncSender<Job>,
    _counted: Counted,
}

impl Pool {
    fn give_back(&self, jobs: SyncSender<Job>) {
        self.idle.lock().push(IdleWorker { jobs, _counted: Counted::in_gauge(&self.figures.idle) });
    }
}

impl Sqlite {
    /// Opens `file`, proves that it is a readable database, and starts a thread for each connection.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub(crate) fn open(file: &Path, limits: Limits, figures: SourceFigures) -> Result<Self, String> {
        connection::probe(file)?;
        let connections = limits.max_connections;
        let slots = ConnectionSlots::new(connections, limits.acquire_timeout, figures.clone());
        let pool = Arc::new(Pool { idle: Mutex::default(), figures });
        // A thread connects at its first job; `probe` has shown that the file can be read.
        for number in 0..connections {
            let jobs = worker::start(number, file.to_owned())
                .map_err(|error| format!("cannot start a thread: {error}"))?;
            pool.give_back(jobs);
        }
        Ok(Self { file: file.to_owned(), slots, pool })
    }

    async fn start(&self, query: Query) -> Result<Rows, Failure> {
        let slot = self.slots.take(&query.reading).await?;
        let lost = || Failure::new(Reason::SourceDown, "a connection's thread is gone");
        let IdleWorker { jobs, .. } = self.pool.idle.lock().pop().ok_or_else(lost)?;
        let (batches, rows) = mpsc::channel(WAITING_BATCHES);
        // A weak reference, so that a running query does not keep the pool of an earlier configuration alive.
        let pool = Arc::downgrade(&self.pool);
        let home = jobs.clone();
        // The sender returns to the list before the slot is free, so that a call that gets the slot finds the
        // sender there.
        let give_back = move || {
            if let Some(pool) = pool.upgrade() {
                pool.give_back(home);
            }
            drop(slot);
        };
        let deadline = query.reading.deadline;
        let job = Job {
            query,
            batches,
            runtime: tokio::runtime::Handle::current(),
            give_back: Box::new(give_back),
        };
        jobs.send(job).map_err(|_| lost())?;
        Ok(Rows::new(rows, deadline))
    }
}

impl Source for Sqlite {
    fn system(&self) -> &'static str {
        "sqlite"
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn describe<'a>(&'a self, sql: &'a str) -> Pending<'a, Described> {
        Box::pin(async move { inspect::describe(&self.file, sql) })
    }

    fn try_out<'a>(&'a self, sql: &'a str, values: &'a [Parameter]) -> Pending<'a, Tried> {
        Box::pin(async move { inspect::try_out(&self.file, sql, values) })
    }

    // SQLite does not know how large a table is; the trial tells of a statement that is slow.
    fn full_scans<'a>(&'a self, _: &'a str, _: &'a [Parameter]) -> Pending<'a, Vec<FullScan>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn sample<'a>(&'a self, column: &'a TableColumn, most: u64, look: Look<'a>) -> Pending<'a, ()> {
        Box::pin(async move { inspect::sample(&self.file, column, most, look) })
    }

    fn catalogue(&self) -> Pending<'_, Catalogue> {
        Box::pin(async move { catalogue::read(&self.file) })
    }

    fn run(&self, query: Query) -> Pending<'_, Rows> {
        Box::pin(self.start(query))
    }
}
