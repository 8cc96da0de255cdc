//! `Output` encodes the rows that a server gives for one call and sends them to its reader in batches, in
//! bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Batch, Failure, Reading, Row, RowBuffer};

/// Batches that may wait for a slow reader; with the batch size it bounds the memory of a stream.
pub(crate) const WAITING_BATCHES: usize = 2;

/// Sends one call's rows.
pub(crate) struct Output<'q> {
    reading: &'q Reading,
    batches: mpsc::Sender<Result<Batch, Failure>>,
    /// Cancelled once nobody waits for the rows any more.
    over: CancellationToken,
    /// Set once the last batch was handed over.
    answered: Arc<AtomicBool>,
    buffer: RowBuffer,
    total: u64,
    sent: bool,
}

impl<'q> Output<'q> {
    pub(crate) fn new(
        reading: &'q Reading,
        batches: mpsc::Sender<Result<Batch, Failure>>,
        over: CancellationToken,
        answered: Arc<AtomicBool>,
    ) -> Self {
        Self { reading, batches, over, answered, buffer: RowBuffer::default(), total: 0, sent: false }
    }

    /// Whether the reader has got nothing yet, so that the query may be run again from its start.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.sent
    }

    /// Forgets rows of an attempt that failed before anything of it was sent.
    pub(crate) fn restart(&mut self) {
        self.buffer.clear();
        self.reading.sink.restart();
        self.total = 0;
    }

    /// Encodes a row. Returns whether the batch is full, so that [`Output::send`] is to follow.
    ///
    /// # Errors
    /// If the row does not fit the contract, or is one too many.
    pub(crate) fn write(&mut self, row: &dyn Row) -> Result<bool, Failure> {
        // The rows that still come after a cancelled statement are not wanted.
        if self.over.is_cancelled() {
            return Ok(false);
        }
        self.total += 1;
        // An error and not an end of the rows, so that an answer that was cut does not look whole.
        if self.total > self.reading.most {
            return Err(Failure::new(
                self.reading.excess,
                "the statement gives more rows than the method allows",
            ));
        }
        let subject = self.reading.subject.as_deref();
        self.reading.sink.write(row, subject, &mut self.buffer)?;
        Ok(self.buffer.is_full())
    }

    /// Sends the rows that were written, and waits for a slow reader until nobody waits for the rows.
    pub(crate) async fn send(&mut self, last: bool) {
        let batch = self.buffer.take(last);
        self.sent = true;
        tokio::select! {
            biased;
            () = self.over.cancelled() => {}
            // A reader that has left gets nothing, and `over` is then cancelled by the one who sees it leave.
            sent = self.batches.send(Ok(batch)) => {
                if last && sent.is_ok() {
                    self.answered.store(true, Ordering::Release);
                }
            }
        }
    }
}
