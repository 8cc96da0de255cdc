//! `Entry` and `Opening` name records by their index in the log.

use std::sync::{Arc, OnceLock};

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// 0-based.
    pub index: u64,
}

/// The record that opens a stream, by its index in the log once the writer has given it one. Clones are the
/// same record.
#[derive(Clone, Debug, Default)]
pub struct Opening(Arc<OnceLock<u64>>);

impl Opening {
    /// 0-based; none before the writer has taken the record up.
    pub fn index(&self) -> Option<u64> {
        self.0.get().copied()
    }

    pub(crate) fn set(&self, index: u64) {
        // Set once: an opening is one record.
        self.0.set(index).ok();
    }
}
