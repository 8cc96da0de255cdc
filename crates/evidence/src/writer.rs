//! The writer thread does group commit: all queued records go to disk in one append and one `fdatasync`, then
//! their callers are woken. On a full disk the writer waits for room. Any other failed write is never
//! retried, since a second sync may hide the loss: the log is poisoned and the thread ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chapar_tlog::SigningKey;
use jiff::Timestamp;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};

use crate::completions::{CommitBatch, CompletionSender, Completions};
use crate::config::{Config, Error, Unavailable};
use crate::disk::{Disk, Identity};
use crate::entry::{Entry, Opening};
use crate::publisher::Publisher;
use crate::record::pb::{Kind, Record};
use crate::recover::{Lock, Recovered};
use crate::resume::{OpenStream, Resume};
use crate::segment::{Frame, MAX_ENTRY, SEGMENT_BYTES, Segment};
use crate::state::{Commit, Shared, Write};

/// Maximum size of one group in bytes, so that one commit does not grow without bound.
const GROUP_BYTES: usize = 4 << 20;
/// Size in bytes of full tiles and bundles in memory at which they are written before the next checkpoint.
const UNWRITTEN_BYTES: usize = if cfg!(test) { 256 << 10 } else { 16 << 20 };
/// Size in bytes of full tiles and bundles in memory at which the writer itself writes them before the next
/// group. This bounds memory if the publisher is slower than the writer.
const UNWRITTEN_MOST: usize = 4 * UNWRITTEN_BYTES;
/// Number of reserved slots without a queued record at which a commit waits for more records (PostgreSQL:
/// `commit_siblings`).
const COMMIT_SIBLINGS: usize = 4;
/// Time for which the commit then waits (PostgreSQL: `commit_delay`). 150 µs are short against one
/// `fdatasync`.
const COMMIT_DELAY: Duration = Duration::from_micros(150);
/// Interval at which a write is tried again on a full disk.
const RETRY_FULL: Duration = Duration::from_millis(100);
/// Maximum time for which a log that is being closed waits for slots that were reserved before.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// `Command` is a message to the writer thread.
pub(crate) enum Command {
    /// Write a record and tell its caller, through `completions`.
    Append {
        entry: Vec<u8>,
        part: Option<StreamPart>,
        done: CompletionSender,
        completions: Option<Completions>,
    },
    /// Check that the log's folder is still in its place.
    CheckPlace,
    /// Write what is queued and what can still come, then end.
    Close(oneshot::Sender<()>),
}

/// A record that is one of a stream's two.
pub(crate) enum StreamPart {
    /// The first: its index is made known.
    Opening(Opening),
    /// The second, appended before the index of the first was known: it is filled in.
    Closing(Opening),
    /// The second, which names the index of the first.
    Closes(u64),
}

pub(crate) struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: PathBuf,
    pub(crate) segment: Segment,
    /// Device and inode of the folder that is locked.
    pub(crate) folder: Identity,
    pub(crate) shared: Arc<Shared>,
    pub(crate) publisher: Arc<Mutex<Publisher>>,
    pub(crate) origin: String,
    /// Streams without an end: index of the opening → its entry.
    pub(crate) open_streams: BTreeMap<u64, Vec<u8>>,
    /// Held for as long as this thread may write.
    #[expect(dead_code, reason = "the lock is given back when the file is closed")]
    pub(crate) lock: Lock,
}

impl Writer {
    /// Of a log that was opened, with the publisher that signs behind it. Nothing is written yet.
    pub(crate) fn new(config: &Config, disk: Arc<dyn Disk>, key: SigningKey, recovered: Recovered) -> Self {
        let encoded = |(index, record): (u64, Record)| (index, record.encode_to_vec());
        let shared = Arc::new(Shared::new(recovered.state, recovered.latest_ms));
        let publisher = Arc::new(Mutex::new(Publisher {
            disk: Arc::clone(&disk),
            log: config.path.clone(),
            state: config.state.clone(),
            origin: config.origin.clone(),
            key,
            shared: Arc::clone(&shared),
            // The publisher shares the lock, because it writes after the writer has ended.
            lock: Some(Arc::clone(&recovered.lock)),
            completed: Vec::new(),
        }));
        Self {
            disk,
            log: config.path.clone(),
            segment: recovered.segment,
            folder: recovered.folder,
            shared,
            publisher,
            origin: config.origin.clone(),
            open_streams: recovered.open_streams.into_iter().map(encoded).collect(),
            lock: recovered.lock,
        }
    }

    /// Runs until the log is closed, every handle is dropped, or a write fails.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let closed = self.serve(&mut commands);
        // Everything is dropped before the end is reported, so that the log's lock is free and it can be
        // opened again at once.
        drop((self, commands));
        if let Some(closed) = closed {
            closed.send(()).ok();
        }
    }

    fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<oneshot::Sender<()>> {
        let mut closing = None;
        while let Some(first) = next(commands, closing.as_ref().map(|(_, until)| *until)) {
            // The size is read for each group, since the writer is the only one that makes it grow.
            let mut group = Group::new(self.shared.state.read().tiles.size);
            let mut command = Some(first);
            gather(commands);
            while let Some(taken) = command {
                match taken {
                    Command::Append { entry, part, done, completions } => {
                        group.add(entry, part, done, completions)
                    }
                    Command::CheckPlace => {
                        if let Err(error) = self.check_place() {
                            self.shared.poison(&error);
                        }
                    }
                    Command::Close(done) => closing = Some((done, Instant::now() + CLOSE_WAIT)),
                }
                // The bound keeps one commit from growing without end while callers bring records faster than
                // the disk.
                command = if group.bytes.len() < GROUP_BYTES { commands.try_recv().ok() } else { None };
            }
            let until = closing.as_ref().map(|(_, until)| *until);
            if let Err(error) = self.write_when_there_is_room(&group, commands, until) {
                self.shared.poison(&error);
                return None;
            }
            // Callers are told only after the write returned: an acknowledged record is on disk.
            self.tell(group);
        }
        // The zeros that were written ahead are cut, so that the next start need not scan them.
        if !self.shared.is_poisoned()
            && let Err(error) = self.segment.finish()
        {
            self.shared.poison(&error);
            return None;
        }
        closing.map(|(done, _)| done)
    }

    /// Writes a group, and repeats it while the disk is full: the calls in it have happened and must be
    /// recorded. New calls are refused while the disk is full, so the queue bounds what waits. A log that is
    /// being closed waits until `until`.
    fn write_when_there_is_room(
        &mut self,
        group: &Group,
        commands: &mpsc::Receiver<Command>,
        mut until: Option<Instant>,
    ) -> Result<(), Error> {
        loop {
            match self.write(group) {
                Err(Error::Full { path, source }) => {
                    self.shared.no_room(Write::Records, true, &source);
                    // Whether the command to close waits in the queue cannot be seen from here; the flag is
                    // set before it.
                    if self.shared.closing.load(Ordering::SeqCst) || commands.is_closed() {
                        let until = *until.get_or_insert_with(|| Instant::now() + CLOSE_WAIT);
                        if Instant::now() >= until {
                            return Err(Error::Full { path, source });
                        }
                    }
                    std::thread::sleep(RETRY_FULL);
                }
                written => {
                    self.shared.no_room(Write::Records, false, &"");
                    return written;
                }
            }
        }
    }

    /// Writes a group and waits for the disk. If that fails, the channels of its callers close, which they
    /// read as `Unavailable`.
    fn write(&mut self, group: &Group) -> Result<(), Error> {
        if group.entries.is_empty() {
            return Ok(());
        }
        // A log that was poisoned by the publisher must not take records either.
        if self.shared.is_poisoned() {
            return Err(Unavailable.into());
        }
        let waiting = self.shared.waits_for_disk(Write::Records);
        // The new segment begins with a group, so that a group is never split over two files.
        if self.segment.length >= SEGMENT_BYTES {
            self.segment.finish()?;
            self.segment = Segment::create(&*self.disk, &self.log, group.first)?;
            *self.shared.resume.lock() = Some(self.resume());
        }
        let began = Instant::now();
        let records = group.entries.len();
        self.segment.append(&group.bytes)?;
        drop(waiting);
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        // The observer is called before the callers are told, so that the metrics have the commit when its
        // answer goes out.
        if let Some(observer) = self.shared.observer.get() {
            observer(Commit { records, took: began.elapsed() });
        }
        Ok(())
    }

    /// Takes a group that is on disk into the tree, and tells its callers.
    fn tell(&mut self, group: Group) {
        let mut batch = CommitBatch::default();
        // The write lock is dropped before callers are woken, since many of them read the state at once.
        let unwritten = {
            let mut state = self.shared.state.write();
            if !group.entries.is_empty() {
                state.unsigned_since.get_or_insert_with(Instant::now);
            }
            for Queued { entry, stream, done, completions } in group.entries {
                let index = state.tiles.size;
                state.tiles.add(&entry);
                match stream {
                    Some(StreamEnd::Opens) => self.open_streams.insert(index, entry),
                    Some(StreamEnd::Closes(opening)) => self.open_streams.remove(&opening),
                    None => None,
                };
                batch.add(completions, done, Entry { index });
            }
            state.tiles.unwritten_bytes
        };
        batch.tell();
        if unwritten > UNWRITTEN_MOST {
            // The error is dropped: a failure poisons the log, and the next group fails for it.
            self.publisher.lock().store().ok();
        } else if unwritten > UNWRITTEN_BYTES {
            self.shared.full.notify_one();
        }
    }

    /// The log as it is where a new segment begins.
    fn resume(&self) -> Resume {
        let state = self.shared.state.read();
        let open = |(index, entry): (&u64, &Vec<u8>)| OpenStream { index: *index, entry: entry.clone() };
        Resume {
            origin: self.origin.clone(),
            size: state.tiles.size,
            edge: state.tiles.edge(),
            bundle: state.tiles.unfinished_bundle().to_vec(),
            latest_ms: self.shared.latest_ms(),
            open: self.open_streams.iter().map(open).collect(),
        }
    }

    /// Whether the log's folder and its newest segment are still where they were.
    ///
    /// # Errors
    /// [`Error::Moved`] if not.
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        let moved = |change| Error::Moved { path: self.log.clone(), change };
        // The folder is compared by device and inode: without this, a log that was moved away would be
        // written to its new place, and the next start would find none.
        match self.disk.identity(&self.log) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(moved("removed or renamed"));
            }
            Err(source) => return Err(Error::Io { what: "cannot look at", path: self.log.clone(), source }),
            Ok(found) if found != self.folder => return Err(moved("replaced")),
            Ok(_) => {}
        }
        self.segment.check_place(&*self.disk)
    }

    /// Closes the streams that were open when the last process ended. Called before the log is used.
    pub(crate) fn close_streams(&mut self, open: Vec<(u64, Record)>, now: Timestamp) -> Result<(), Error> {
        let now = self.shared.time_ms(now.as_millisecond().unsigned_abs());
        let close = |(opening, record): (u64, Record)| {
            // The rest of the opening is repeated, so that the closing record names the same caller, method
            // and grant.
            let close = Record {
                kind: Kind::Close as i32,
                opening,
                outcome: crate::UNKNOWN_OUTCOME.to_owned(),
                time_unix_ms: now,
                latency_us: 0,
                ..record
            };
            (close.encode_to_vec(), Some(StreamPart::Closes(opening)))
        };
        self.write_now(open.into_iter().map(close))
    }

    /// Writes entries without a waiting caller. It is called only while no writer thread runs.
    pub(crate) fn write_now(
        &mut self,
        entries: impl Iterator<Item = (Vec<u8>, Option<StreamPart>)>,
    ) -> Result<(), Error> {
        let mut group = Group::new(self.shared.state.read().tiles.size);
        entries.for_each(|(entry, part)| group.add(entry, part, oneshot::channel().0, None));
        self.write(&group)?;
        self.tell(group);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A thread that panicked leaves the log in an unknown state, and without this callers would wait for
        // ever.
        if std::thread::panicking() {
            self.shared.poison(&Unavailable);
        }
    }
}

/// The next command; nothing when no more can come. A log that is being closed waits only for the places that
/// are taken, and not past `until`.
fn next(commands: &mut mpsc::Receiver<Command>, until: Option<Instant>) -> Option<Command> {
    let Some(until) = until else { return commands.blocking_recv() };
    loop {
        match commands.try_recv() {
            Ok(command) => return Some(command),
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) => {}
        }
        // Free slots equal to the size of the queue mean that no slot is held, so that nothing can come any
        // more.
        if commands.capacity() == commands.max_capacity() || Instant::now() >= until {
            return None;
        }
        // The queue has no notification for a slot that is dropped without a record, so it is polled.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets more come before the disk is waited for, where many calls are under way: a commit costs the same for
/// one record as for a hundred, and its wait is no longer than the one that the next record would have had
/// behind it (as PostgreSQL's `commit_delay`).
fn gather(commands: &mpsc::Receiver<Command>) {
    let taken = commands.max_capacity() - commands.capacity();
    if taken.saturating_sub(commands.len()) >= COMMIT_SIBLINGS {
        std::thread::sleep(COMMIT_DELAY);
    }
}

/// The closing record with the index of its opening, which came before it through the same queue. Nothing if
/// the opening was refused: then there is no stream to close.
fn closing(entry: &[u8], opening: &Opening) -> Option<Vec<u8>> {
    let record = Record::decode(entry).ok()?;
    Some(Record { opening: opening.index()?, ..record }.encode_to_vec())
}

/// Entries that go to disk together.
struct Group {
    /// Index of the first.
    first: u64,
    bytes: Vec<u8>,
    entries: Vec<Queued>,
}

/// What a record does to the stream that it is one of.
enum StreamEnd {
    Opens,
    /// Closes the stream that the entry of this index opened.
    Closes(u64),
}

struct Queued {
    entry: Vec<u8>,
    stream: Option<StreamEnd>,
    done: CompletionSender,
    completions: Option<Completions>,
}

impl Group {
    fn new(first: u64) -> Self {
        Self { first, bytes: Vec::new(), entries: Vec::new() }
    }

    fn add(
        &mut self,
        entry: Vec<u8>,
        part: Option<StreamPart>,
        done: CompletionSender,
        completions: Option<Completions>,
    ) {
        let entry = match &part {
            Some(StreamPart::Closing(opening)) => closing(&entry, opening),
            _ => Some(entry),
        };
        // An entry that no bundle can hold is refused alone, so that it does not fail its whole group.
        let Some(entry) = entry.filter(|entry| (1..=MAX_ENTRY).contains(&entry.len())) else {
            done.send(Err(Unavailable)).ok();
            return;
        };
        let stream = match part {
            Some(StreamPart::Opening(opening)) => {
                opening.set(self.first + self.entries.len() as u64);
                Some(StreamEnd::Opens)
            }
            Some(StreamPart::Closing(opening)) => opening.index().map(StreamEnd::Closes),
            Some(StreamPart::Closes(opening)) => Some(StreamEnd::Closes(opening)),
            None => None,
        };
        Frame { group: self.first, entry: &entry }.put(&mut self.bytes);
        self.entries.push(Queued { entry, stream, done, completions });
    }
}
