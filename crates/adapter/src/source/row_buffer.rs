//! `RowBuffer` collects rows as the sink writes them, until they are sent as a `Batch` of 16 KiB.

use bytes::Bytes;

use super::Batch;

/// Size in bytes at which a batch is sent. Small batches would cost a wake-up of the reader each.
pub(super) const BATCH_BYTES: usize = 16 * 1024;

/// Rows that were written and not sent yet.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    /// The rows' bytes, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// What was NULL in them.
    pub(crate) absent: Absent,
    /// For the sink, to be used again for each row.
    pub(crate) scratch: Vec<u8>,
    rows: u32,
}

/// Which columns were NULL in some rows.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    /// Rows with a NULL that makes them incomplete.
    pub(crate) partial: u32,
    /// Rows in which a column was NULL, by the column's number; columns after the last were never NULL.
    pub(crate) columns: Vec<u32>,
}

impl RowBuffer {
    /// A row is complete in the buffer.
    pub(crate) fn row(&mut self) {
        self.rows += 1;
    }

    /// Whether the rows are a batch.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }

    /// Takes the rows for sending.
    pub(super) fn take(&mut self, last: bool) -> Batch {
        Batch {
            bytes: Bytes::from(std::mem::take(&mut self.bytes)),
            rows: std::mem::take(&mut self.rows),
            absent: std::mem::take(&mut self.absent),
            last,
        }
    }

    /// Forgets the rows.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.absent = Absent::default();
        self.rows = 0;
    }
}

impl Absent {
    /// The column is NULL in one row more.
    pub(crate) fn column(&mut self, number: usize) {
        if self.columns.len() <= number {
            self.columns.resize(number + 1, 0);
        }
        if let Some(count) = self.columns.get_mut(number) {
            *count += 1;
        }
    }

    /// Adds what `more` has.
    pub(crate) fn add(&mut self, more: &Self) {
        self.partial += more.partial;
        if self.columns.len() < more.columns.len() {
            self.columns.resize(more.columns.len(), 0);
        }
        for (sum, count) in self.columns.iter_mut().zip(&more.columns) {
            *sum += count;
        }
    }
}
