//! `PageSink` passes the rows of one page on, keeps the place of the last one, and sees whether there are
//! more.

use std::sync::Arc;

use chapar_model::Reason;
use parking_lot::Mutex;

use super::token::KeyValue;
use crate::source::{Failure, Row, RowBuffer, RowSink};

/// The rows of one page.
pub(crate) struct PageSink {
    encoder: Arc<dyn RowSink>,
    /// Rows of a page.
    size: u64,
    /// The number of the first key's column, and how many there are.
    first: usize,
    keys: usize,
    state: Mutex<SinkState>,
}

#[derive(Default)]
struct SinkState {
    rows: u64,
    last: Vec<KeyValue>,
    has_more: bool,
}

impl PageSink {
    pub(super) fn new(encoder: Arc<dyn RowSink>, size: u64, first: usize, keys: usize) -> Self {
        Self { encoder, size, first, keys, state: Mutex::default() }
    }

    /// The place of the last row, if there are rows after it.
    pub(super) fn next(&self) -> Option<Vec<KeyValue>> {
        let state = self.state.lock();
        state.has_more.then(|| state.last.clone())
    }

    fn place(&self, row: &dyn Row) -> Result<Vec<KeyValue>, Failure> {
        (self.first..self.first + self.keys).map(|column| KeyValue::of(row.cell(column))).collect()
    }
}

impl RowSink for PageSink {
    fn write(&self, row: &dyn Row, subject: Option<&str>, out: &mut RowBuffer) -> Result<(), Failure> {
        let mut state = self.state.lock();
        state.rows += 1;
        if state.rows < self.size {
            return self.encoder.write(row, subject, out);
        }
        let place = self.place(row)?;
        if state.rows == self.size {
            state.last = place;
            return self.encoder.write(row, subject, out);
        }
        // The next page begins after the last row's place, and would leave out another row of the same place.
        if place == state.last {
            return Err(Failure::new(
                Reason::RecordNotUnique,
                "two rows have the same page key: add a column to `page by` that tells them apart",
            ));
        }
        state.has_more = true;
        Ok(())
    }

    fn restart(&self) {
        *self.state.lock() = SinkState::default();
    }
}
