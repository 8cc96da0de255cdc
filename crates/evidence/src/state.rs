//! What the writer, the publisher and the readers of one log share. Locked for moments only: no one waits for the disk with it.

use std::sync::atomic::{AtomicBool, AtomicU64};

use chapar_tlog::Checkpoint;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use crate::tiles::Tiles;

/// What is known of the durable log: nothing is in here before it is on disk.
pub(crate) struct State {
    pub(crate) tiles: Tiles,
    /// First entry of each segment.
    pub(crate) segments: Vec<u64>,
    /// Entry → number of its segment, offset in it.
    places: Vec<(u32, u32)>,
    /// The last checkpoint and its signed note; none before the first.
    pub(crate) published: Option<(Checkpoint, String)>,
}

impl State {
    pub(crate) fn new(tiles: Tiles, published: Option<(Checkpoint, String)>) -> Self {
        Self { tiles, segments: Vec::new(), places: Vec::new(), published }
    }

    /// Takes in an entry that is on disk at `offset` of the last segment; gives its index.
    pub(crate) fn add(&mut self, offset: u64, entry: &[u8]) -> u64 {
        let segment = u32::try_from(self.segments.len().saturating_sub(1)).unwrap_or(u32::MAX);
        // A segment ends soon after 64 MiB, so the offset fits.
        self.places.push((segment, u32::try_from(offset).unwrap_or(u32::MAX)));
        self.tiles.add(entry);
        self.tiles.size - 1
    }

    /// First entry of the segment that holds an entry, and the offset of its frame.
    pub(crate) fn place(&self, index: u64) -> Option<(u64, u64)> {
        let (segment, offset) = self.places.get(usize::try_from(index).ok()?)?;
        Some((*self.segments.get(*segment as usize)?, u64::from(*offset)))
    }

    /// Entries that the last checkpoint covers.
    pub(crate) fn covered(&self) -> u64 {
        self.published.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size)
    }
}

/// One open log.
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    /// Takes no more: it is being closed.
    pub(crate) closing: AtomicBool,
    /// Waits for the disk so far.
    pub(crate) syncs: AtomicU64,
    /// Told when many full tiles wait in memory.
    pub(crate) full: Notify,
    poison: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: RwLock::new(state),
            closing: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            full: Notify::new(),
            poison: watch::Sender::new(false),
        }
    }

    /// A write has failed: nothing more may be written until the log has been opened anew.
    pub(crate) fn poison(&self) {
        self.poison.send_replace(true);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        *self.poison.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.poison.subscribe()
    }
}
