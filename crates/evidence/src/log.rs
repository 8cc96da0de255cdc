//! `Log` is what callers hold: reserve a `Slot`, append, read back. One thread writes by group commit
//! (`writer`), and `publisher` signs checkpoints of durable records.

mod followed;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chapar_model::{CallId, Clock};
use chapar_tlog::{
    Checkpoint, HashSource as _, ProofFile, VerifierKey, inclusion_proof, leaf_hash, sign_note,
    verify_inclusion,
};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::completions::Completions;
use crate::config::{Config, Error, NoSlot, Unavailable};
use crate::disk::{Disk, OsDisk};
use crate::entry::Entry;
use crate::keys::{self, PeriodKey};
use crate::last_signed;
use crate::publisher::Publisher;
use crate::receipt::Receipt;
use crate::recheck;
use crate::record::pb::Record;
use crate::recover::{self, Hold};
use crate::slot::Slot;
use crate::state::{Commit, Condition, LogStatus, Shared, UNKNOWN, Write};
use crate::writer::{Command, Writer};

pub use followed::{SignedCheckpoint, cosigned_path};

/// `Log` is an open log. Clones share it.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
    completions: Option<Completions>,
}

struct Inner {
    config: Config,
    disk: Arc<dyn Disk>,
    period: PeriodKey,
    verifier: VerifierKey,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    publisher: Arc<Mutex<Publisher>>,
}

impl Log {
    /// Opens or makes the log, recovers what a crash left, and starts the thread that writes. Must be called
    /// in a tokio runtime.
    ///
    /// A torn tail past the last sound frame is cut; a stream that was open is closed as
    /// [`crate::UNKNOWN_OUTCOME`]; what was recovered is published.
    ///
    /// # Errors
    /// [`Error`] naming the file: keys, damage, a log in use, or one that does not extend its own last
    /// checkpoint.
    pub fn open(config: Config, clock: Clock) -> Result<Self, Error> {
        Self::open_on(config, clock, Arc::new(OsDisk))
    }

    /// The same on another [`Disk`]: for tests of what a disk can do to a log.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(config: Config, clock: Clock, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        // The reserve is filled before connections can take the descriptors.
        crate::disk::reserve::fill();
        let key = keys::signing_key(&config)?;
        let period = PeriodKey::read(&config.period_key)?;
        let verifier = key.verifier().clone();
        let mut recovered = recover::open(&disk, &config, &verifier, Hold::ToState)?;
        // From its first moment on a log is held to its state file, and a file that was put back from an
        // older copy is brought up to what others were shown.
        let shown = recovered.published.clone().unwrap_or_else(|| Checkpoint::empty(&config.origin));
        if recovered.signed.as_ref().is_none_or(|signed| signed.size < shown.size) {
            last_signed::write(&*disk, &config.state, &sign_note(&shown.to_string(), &key))?;
        }
        let (commands, receiver) = mpsc::channel(config.queue.max(1));
        let open_streams = recovered.open_streams.clone();
        let resumed = recovered.resumed.take();
        let mut writer = Writer::new(&config, Arc::clone(&disk), key, recovered);
        let shared = Arc::clone(&writer.shared);
        let publisher = Arc::clone(&writer.publisher);
        // Streams are closed before the first checkpoint, so that what it signs has no stream without an end.
        writer.close_streams(open_streams, clock.now())?;
        publisher.lock().publish()?;
        let cosigned = {
            let tiles = shared.state.read().tiles.snapshot();
            followed::kept(&*disk, &config.path, &tiles, &verifier)
        };
        shared.state.write().cosigned = cosigned;
        let free = disk.free(&config.path).unwrap_or(UNKNOWN);
        shared.free.store(free, Ordering::Relaxed);
        let failed =
            |source| Error::Io { what: "cannot start a thread for", path: config.path.clone(), source };
        std::thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(failed)?;
        let every = config.checkpoint_every;
        let inner = Arc::new(Inner { config, disk, period, verifier, commands, shared, publisher });
        // The tasks hold the log weakly, so that they end with it and do not keep it open.
        tokio::spawn(publish_every(Arc::downgrade(&inner), Arc::clone(&inner.shared), every));
        tokio::spawn(look_after(Arc::downgrade(&inner)));
        if let Some(resume) = resumed {
            recheck::start(&inner.disk, &inner.config, &inner.shared, &inner.publisher, resume)?;
        }
        Ok(Self { inner, completions: None })
    }

    /// Returns a handle of the same log for callers of the current runtime. A task of that runtime wakes all
    /// callers of one commit, which saves system calls on a thread that serves many calls.
    pub fn for_runtime(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), completions: Some(Completions::here()) }
    }

    /// Takes a slot in the writer's queue, at once or not at all. The holder of a slot can append without
    /// waiting, in `Drop` too.
    ///
    /// It does not wait, so that calls that need two slots cannot deadlock: each could hold one slot and wait
    /// for a second for ever.
    ///
    /// # Errors
    /// [`NoSlot::QueueFull`] while [`Config::queue`] slots are taken; [`NoSlot::DiskFull`];
    /// [`NoSlot::Unwitnessed`]; [`NoSlot::Unavailable`] if the log can no longer be written.
    pub fn reserve(&self) -> Result<Slot, NoSlot> {
        let permit = self.inner.commands.clone().try_reserve_owned().map_err(|refused| match refused {
            TrySendError::Full(_) => NoSlot::QueueFull,
            TrySendError::Closed(_) => NoSlot::Unavailable(Unavailable),
        })?;
        // The flag is read after the slot is taken: a log that begins to close after that waits for the slot.
        let shared = &self.inner.shared;
        if shared.is_poisoned() || shared.closing.load(Ordering::SeqCst) {
            Err(NoSlot::Unavailable(Unavailable))
        } else if shared.is_disk_full() {
            Err(NoSlot::DiskFull)
        } else if shared.is_unwitnessed() {
            Err(NoSlot::Unwitnessed)
        } else {
            Ok(Slot { permit, completions: self.completions.clone() })
        }
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.inner.config.origin
    }

    /// `ORIGIN/INDEX`.
    pub fn entry_name(&self, entry: Entry) -> String {
        format!("{}/{}", self.origin(), entry.index)
    }

    /// The key that receipts verify with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.inner.verifier
    }

    /// HMAC-SHA256 of a citizen's id under the period's key.
    pub fn pseudonym(&self, subject: &str) -> [u8; 32] {
        self.inner.period.pseudonym(subject)
    }

    /// The salt of a call's commitments.
    pub fn salt(&self, call: &CallId) -> [u8; 32] {
        self.inner.period.salt(call.as_bytes())
    }

    /// SHA-256 of the call's salt and `bytes`.
    pub fn commit(&self, call: &CallId, bytes: &[u8]) -> [u8; 32] {
        self.inner.period.commit(call, bytes)
    }

    /// Durable entries.
    pub async fn size(&self) -> u64 {
        self.inner.shared.state.read().tiles.size
    }

    /// What an operator sees of the log. Waits for no disk.
    pub fn status(&self) -> LogStatus {
        let shared = &self.inner.shared;
        let free = shared.free.load(Ordering::Relaxed);
        let state = shared.state.read();
        LogStatus {
            size: state.tiles.size,
            covered: state.covered(),
            since_checkpoint: state.published_at.map(|at| at.elapsed()),
            unsigned_for: state.unsigned_since.map(|at| at.elapsed()),
            free: (free != UNKNOWN).then_some(free),
            low_water: self.inner.config.low_water,
        }
    }

    /// How often the disk was waited for to append; many entries share one.
    pub fn syncs(&self) -> u64 {
        self.inner.shared.syncs.load(Ordering::Relaxed)
    }

    /// Calls `observer` for every commit from now on. It runs on the writer thread and must not block. Only
    /// the first observer is kept.
    pub fn on_commit(&self, observer: impl Fn(Commit) + Send + Sync + 'static) {
        self.inner.shared.observer.set(Box::new(observer)).ok();
    }

    /// Returns the condition of the log.
    pub fn condition(&self) -> Condition {
        self.inner.shared.condition()
    }

    /// Returns the time to write into a record, in milliseconds since the Unix epoch: `now`, or the latest
    /// time of a record if the clock was set back by less than 5 minutes since, also over a restart. After a
    /// step back of 5 minutes or more the times follow the clock, and so go back once. The order of records
    /// is the order of their indices.
    pub fn time_ms(&self, now: u64) -> u64 {
        self.inner.shared.time_ms(now)
    }

    /// Whether a write has failed; the process should stop, and its next start verify what is on disk.
    pub fn is_poisoned(&self) -> bool {
        self.inner.shared.is_poisoned()
    }

    /// Resolves when a write fails; never otherwise.
    pub async fn poisoned(&self) {
        // The sender is in `self`, so this cannot fail.
        self.inner.shared.watch().wait_for(|poisoned| *poisoned).await.ok();
    }

    /// Signs and publishes a checkpoint of all that is durable now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the log can no longer be written; else what failed now.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let publisher = Arc::clone(&self.inner.publisher);
        blocking(move || publisher.lock().publish()).await
    }

    /// One record.
    ///
    /// # Errors
    /// [`Error::NoEntry`], or [`Error::Damaged`] if its bytes are not what was written.
    pub async fn record(&self, index: u64) -> Result<Record, Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.record(index)).await
    }

    /// Shows `visit` each record whose call came in at `since_ms` (milliseconds since the Unix epoch) or
    /// later, with its index, in no particular order. Reads whole segments and so blocks; records that are
    /// written meanwhile may be among them.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`]: what was shown so far is not all.
    pub fn recent(&self, since_ms: u64, visit: &mut dyn FnMut(u64, &Record)) -> Result<(), Error> {
        let size = self.inner.shared.state.read().tiles.size;
        crate::recent::recent(&*self.inner.disk, &self.inner.config.path, size, since_ms, visit)
    }

    /// The receipt of one entry: its record, the proof that it is in the log, and a signed checkpoint. Signs
    /// a new checkpoint if the last one does not cover the entry yet.
    ///
    /// # Errors
    /// [`Error::NoEntry`], or what keeps the log from being read or signed.
    pub async fn receipt(&self, index: u64) -> Result<Receipt, Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.receipt(index)).await
    }

    /// Writes what is queued and what the places taken before still bring (for up to two seconds), signs a
    /// last checkpoint and gives the log's lock back. Later calls are [`Unavailable`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a write has failed.
    pub async fn close(&self) -> Result<(), Error> {
        // The flag is set before the command is sent, so that no slot is given out after the writer was told
        // to close.
        self.inner.shared.closing.store(true, Ordering::SeqCst);
        let (done, ended) = oneshot::channel();
        self.inner.commands.send(Command::Close(done)).await.map_err(|_| Unavailable)?;
        ended.await.map_err(|_| Unavailable)?;
        // The publisher signs after the writer has ended, so that the last checkpoint covers every record.
        let publisher = Arc::clone(&self.inner.publisher);
        blocking(move || publisher.lock().close()).await
    }
}

/// Whether a log could be opened, with its keys: reads all of it and changes nothing, also while it is
/// written.
///
/// # Errors
/// As [`Log::open`].
pub fn check(config: &Config) -> Result<(), Error> {
    let key = keys::signing_key(config)?;
    // The period key is not used, but a start would refuse a bad one.
    PeriodKey::read(&config.period_key)?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    recover::check(&disk, config, key.verifier())
}

impl Inner {
    fn entry(&self, index: u64) -> Result<Vec<u8>, Error> {
        let stored = self.shared.state.read().tiles.stored(index);
        stored.ok_or(Error::NoEntry(index))?.read(&*self.disk, &self.config.path)
    }

    fn record(&self, index: u64) -> Result<Record, Error> {
        let entry = self.entry(index)?;
        let tiles = self.shared.state.read().tiles.snapshot();
        // The entry is read back from disk and compared with the tree, so that a damaged entry is never given
        // out.
        if tiles.hash(0, index)? != leaf_hash(&entry) {
            return Err(self.damaged("an entry is not the one that the tree holds"));
        }
        self.decode(&entry)
    }

    fn decode(&self, entry: &[u8]) -> Result<Record, Error> {
        Record::decode(entry).map_err(|_| self.damaged("an entry is no record"))
    }

    fn receipt(&self, index: u64) -> Result<Receipt, Error> {
        let entry = self.entry(index)?;
        let salt = self.period.salt(&self.decode(&entry)?.call_id);
        // A lock for reading is enough for the common case, in which the last checkpoint covers the entry.
        if self.shared.state.read().covered() <= index {
            self.publisher.lock().publish_for_receipt(index)?;
        }
        // Tiles and checkpoint are taken under one lock, so that the proof fits the checkpoint. The lock is
        // dropped before the disk is read.
        let (tiles, published) = {
            let state = self.shared.state.read();
            // A cosigned checkpoint proves more, so a receipt has it where it covers the entry.
            let cosigned = state.cosigned.as_ref().filter(|(checkpoint, _)| checkpoint.size > index);
            (state.tiles.snapshot(), cosigned.or(state.published.as_ref()).cloned())
        };
        let (checkpoint, note) = published.ok_or(Error::NoEntry(index))?;
        let proof = inclusion_proof(&tiles, index, checkpoint.size)?.ok_or(Error::NoEntry(index))?;
        // Tiles are read back from disk: a receipt that does not verify is not given out.
        verify_inclusion(&leaf_hash(&entry), index, checkpoint.size, &proof, &checkpoint.root)
            .map_err(|_| self.damaged("the tiles do not prove the entry"))?;
        Ok(Receipt(ProofFile { extra: Receipt::extra(&entry, &salt), index, proof, checkpoint: note }))
    }

    fn damaged(&self, problem: &'static str) -> Error {
        Error::Damaged { path: self.config.path.clone(), offset: 0, problem }
    }
}

/// Runs work that waits for the disk on a blocking thread, so that no other task waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Unavailable(Unavailable)))
}

/// Publishes at every tick, and writes tiles between ticks when many wait; for as long as anyone holds the
/// log and it can be written.
async fn publish_every(log: Weak<Inner>, shared: Arc<Shared>, every: Duration) {
    // Shorter intervals would do nothing but sync: each checkpoint costs some ten of them.
    let every = every.max(Duration::from_millis(10));
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            _ = tick.tick() => true,
            () = shared.full.notified() => false,
        };
        let Some(publisher) = log.upgrade().map(|log| Arc::clone(&log.publisher)) else { return };
        let work = move || if due { publisher.lock().publish().map(drop) } else { publisher.lock().store() };
        match blocking(work).await {
            // Without room the checkpoint waits; what it would sign is durable.
            Ok(()) | Err(Error::Full { .. }) => {}
            Err(_) => return,
        }
    }
}

/// Interval at which the log's folder is checked. 500 ms are half of the second within which a moved folder
/// stops the log.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks whether the disk has room, and whether the log is still where it was; for as long as anyone holds
/// the log and it can be written.
async fn look_after(log: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(log) = log.upgrade().filter(|log| !log.shared.is_poisoned()) else { return };
        // The writer has the file, and a queue that is full means that it is at work.
        log.commands.try_send(Command::CheckPlace).ok();
        let look = move || {
            // If the disk does not report its free space, the writes show whether there is room.
            let free = log.disk.free(&log.config.path);
            log.shared.free.store(free.as_ref().copied().unwrap_or(UNKNOWN), Ordering::Relaxed);
            if let Ok(free) = free {
                let why = format!("{} MiB free, less than `low_water`", free >> 20);
                log.shared.below_low_water(free < log.config.low_water, &why);
            }
            if log.shared.lacks_room(Write::Published) {
                // The checkpoint is published here, because the next tick of the checkpoint timer may be an
                // hour away.
                log.publisher.lock().publish().ok();
            }
            Ok(())
        };
        blocking(look).await.ok();
    }
}
