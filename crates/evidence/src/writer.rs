//! The one thread that writes: everything that is queued goes to disk in one append and one `fdatasync`, then all its callers
//! are told. A failed write is never tried again: the log is poisoned and the thread ends.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chapar_tlog::{Checkpoint, SigningKey, root, sign_note};
use jiff::Timestamp;
use prost::Message as _;
use tokio::sync::{RwLock, mpsc, oneshot, watch};

use crate::config::{Error, Unavailable};
use crate::log::Entry;
use crate::record::pb::{Kind, Record};
use crate::recover::State;
use crate::segment::{self, MAX_ENTRY, SEGMENT_BYTES, Segment};

/// Bytes that one group may gather.
const GROUP_BYTES: usize = 4 << 20;

/// What the writer is asked to do.
pub(crate) enum Command {
    Append { entry: Vec<u8>, done: oneshot::Sender<Result<Entry, Unavailable>> },
    Checkpoint(Option<oneshot::Sender<Result<Checkpoint, Unavailable>>>),
    Close(oneshot::Sender<Result<(), Unavailable>>),
}

pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) origin: String,
    pub(crate) key: SigningKey,
    pub(crate) segment: Segment,
    /// Held for as long as the log is open.
    #[expect(dead_code, reason = "the lock is given back when the file is closed")]
    pub(crate) lock: File,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) poison: watch::Sender<bool>,
    pub(crate) syncs: Arc<AtomicU64>,
}

impl Writer {
    /// Serves until it is told to close, everyone has gone, or a write fails. The lock is free and the queue shut before
    /// whoever closes the log hears of it.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let closed = self.serve(&mut commands);
        drop((self, commands));
        if let Some(closed) = closed {
            closed.send(Ok(())).ok();
        }
    }

    fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<oneshot::Sender<Result<(), Unavailable>>> {
        let mut group = Group::default();
        let mut after = Vec::new();
        while let Some(command) = commands.blocking_recv() {
            let mut next = Some(command);
            while let Some(command) = next {
                match command {
                    Command::Append { entry, done } => group.add(entry, done),
                    other => after.push(other),
                }
                next =
                    if group.bytes.len() < GROUP_BYTES && after.is_empty() { commands.try_recv().ok() } else { None };
            }
            let outcome = self
                .write(&mut group)
                .and_then(|()| after.drain(..).try_fold(None, |closed, command| Ok(self.other(command)?.or(closed))));
            match outcome {
                Ok(None) => {}
                Ok(closed) => return closed,
                Err(error) => {
                    tracing::error!(%error, "the evidence log is poisoned");
                    self.poison.send_replace(true);
                    return None;
                }
            }
        }
        None
    }

    /// Writes a group and tells its callers. They hear nothing if it fails: their channel closes, which is `Unavailable`.
    fn write(&mut self, group: &mut Group) -> Result<(), Error> {
        if group.entries.is_empty() {
            return Ok(());
        }
        if self.segment.length >= SEGMENT_BYTES {
            let first = self.state.blocking_read().tiles.size;
            self.segment = Segment::create(&self.path, first)?;
            self.state.blocking_write().segments.push(first);
        }
        let start = self.segment.length;
        self.segment.append(&group.bytes)?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let Group { entries, .. } = std::mem::take(group);
        let mut state = self.state.blocking_write();
        for (offset, entry, done) in entries {
            let index = state.tiles.size;
            state.add(start + offset, &entry)?;
            // A caller that has gone does not wait; its record is written all the same.
            done.send(Ok(Entry { index })).ok();
        }
        Ok(())
    }

    fn other(&mut self, command: Command) -> Result<Option<oneshot::Sender<Result<(), Unavailable>>>, Error> {
        match command {
            Command::Append { .. } => Ok(None),
            Command::Checkpoint(done) => {
                let checkpoint = self.checkpoint()?;
                if let Some(done) = done {
                    done.send(Ok(checkpoint)).ok();
                }
                Ok(None)
            }
            Command::Close(done) => {
                self.checkpoint()?;
                Ok(Some(done))
            }
        }
    }

    /// Signs what is durable and publishes it, if it has grown.
    fn checkpoint(&mut self) -> Result<Checkpoint, Error> {
        let state = self.state.blocking_read();
        if state.published.0.size == state.tiles.size && !state.published.1.is_empty() {
            return Ok(state.published.0.clone());
        }
        let size = state.tiles.size;
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root: root(&state.tiles, size)? };
        let note = sign_note(&checkpoint.to_string(), &self.key);
        state.tiles.put_edge()?;
        drop(state);
        segment::replace(&self.path.join("checkpoint"), note.as_bytes())?;
        self.state.blocking_write().published = (checkpoint.clone(), note);
        Ok(checkpoint)
    }

    /// Closes the streams that were open when the last process ended. Called before the log is used, off the writer's thread.
    pub(crate) fn close_streams(&mut self, open: &[(u64, Record)], now: Timestamp) -> Result<(), Error> {
        for (opening, record) in open {
            let close = Record {
                kind: Kind::Close as i32,
                opening: *opening,
                outcome: crate::UNKNOWN_OUTCOME.to_owned(),
                time_unix_ms: now.as_millisecond().unsigned_abs(),
                latency_us: 0,
                ..record.clone()
            };
            let entry = close.encode_to_vec();
            let mut frame = Vec::new();
            segment::frame(&entry, &mut frame);
            let offset = self.segment.length;
            self.segment.append(&frame)?;
            let mut state = self.state.try_write().map_err(|_| Unavailable)?;
            state.add(offset, &entry)?;
        }
        Ok(())
    }
}

/// Entries that go to disk together.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    entries: Vec<(u64, Vec<u8>, oneshot::Sender<Result<Entry, Unavailable>>)>,
}

impl Group {
    fn add(&mut self, entry: Vec<u8>, done: oneshot::Sender<Result<Entry, Unavailable>>) {
        if entry.is_empty() || entry.len() > MAX_ENTRY {
            done.send(Err(Unavailable)).ok();
            return;
        }
        let offset = self.bytes.len() as u64;
        segment::frame(&entry, &mut self.bytes);
        self.entries.push((offset, entry, done));
    }
}
