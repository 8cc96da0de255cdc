//! `Rows` is a running query: batches of rows as its sink wrote them, up to a deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use chapar_model::Reason;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Failure;
use super::row_buffer::Absent;

/// Rows as the sink wrote them.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The rows' bytes, one after the other.
    pub(crate) bytes: Bytes,
    /// How many rows.
    pub(crate) rows: u32,
    /// What was NULL in them.
    pub(crate) absent: Absent,
    /// Whether the result ends here.
    pub(crate) last: bool,
}

/// A running query. Dropping it interrupts the statement.
pub(crate) struct Rows {
    batches: mpsc::Receiver<Result<Batch, Failure>>,
    deadline: Instant,
    /// What makes the batches, if no task or thread of its own does.
    work: Option<Work>,
}

/// Makes the batches of a query.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Rows {
    pub(crate) fn new(batches: mpsc::Receiver<Result<Batch, Failure>>, deadline: Instant) -> Self {
        Self { batches, deadline, work: None }
    }

    /// Rows that are made while they are waited for. This saves a task and the waking of another thread, for
    /// a reader that always waits.
    pub(crate) fn made_by(
        batches: mpsc::Receiver<Result<Batch, Failure>>,
        deadline: Instant,
        work: Work,
    ) -> Self {
        Self { batches, deadline, work: Some(work) }
    }

    /// The next batch; an error ends the result.
    pub(crate) async fn next(&mut self) -> Result<Batch, Failure> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Batches that wait to be read.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.batches.len()
    }

    /// [`Rows::next`] as a poll function, for a response body.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Batch, Failure>> {
        // A source says itself that it is late, unless batches that nobody has read yet stand in the way.
        let ended = || match Instant::now() >= self.deadline {
            true => Failure::new(Reason::DeadlineExceeded, "the rows were not read before the deadline"),
            false => Failure::new(Reason::SourceDown, "the source ended without its last batch"),
        };
        // The work is polled first: what it makes is then there to be taken at once.
        if let Some(work) = &mut self.work
            && work.as_mut().poll(context).is_ready()
        {
            self.work = None;
        }
        self.batches.poll_recv(context).map(|batch| batch.unwrap_or_else(|| Err(ended())))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // The work sees that nobody waits, and ends the statement at the server. That takes time of its own.
        self.batches.close();
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}
