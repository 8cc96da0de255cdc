//! The log as callers hold it: reserve a place, append, read back. The writing is done by one thread (`writer`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use chapar_model::{CallId, Clock};
use chapar_tlog::{Checkpoint, ProofFile, VerifierKey, inclusion_proof};
use prost::Message as _;
use tokio::sync::{RwLock, mpsc, oneshot, watch};

use crate::config::{Config, Error, Unavailable};
use crate::keys::{self, PeriodKey};
use crate::receipt::Receipt;
use crate::record::pb::Record;
use crate::recover::{self, State};
use crate::segment::read_entry;
use crate::writer::{Command, Writer};

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// 0-based.
    pub index: u64,
}

/// An open log. Clones share it.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    config: Config,
    period: PeriodKey,
    verifier: VerifierKey,
    commands: mpsc::Sender<Command>,
    state: Arc<RwLock<State>>,
    poisoned: watch::Receiver<bool>,
    syncs: Arc<AtomicU64>,
}

impl Log {
    /// Opens or makes the log, recovers what a crash left, and starts the thread that writes. Must be called in a tokio runtime.
    ///
    /// A torn tail past the last sound frame is cut; a stream that was open is closed as [`crate::UNKNOWN_OUTCOME`].
    ///
    /// # Errors
    /// [`Error`] naming the file: keys, damage, a log in use, or one that does not extend its own last checkpoint.
    pub fn open(config: Config, clock: Clock) -> Result<Self, Error> {
        let key = keys::signing_key(&config)?;
        let period = PeriodKey::read(&config.period_key)?;
        let verifier = key.verifier().clone();
        let recovered = recover::open(&config, &verifier)?;
        let state = Arc::new(RwLock::new(recovered.state));
        let (commands, receiver) = mpsc::channel(config.queue.max(1));
        let (poison, poisoned) = watch::channel(false);
        let syncs = Arc::new(AtomicU64::new(0));
        let mut writer = Writer {
            path: config.path.clone(),
            origin: config.origin.clone(),
            key,
            segment: recovered.segment,
            lock: recovered.lock,
            state: Arc::clone(&state),
            poison,
            syncs: Arc::clone(&syncs),
        };
        writer.close_streams(&recovered.open_streams, clock.now())?;
        let failed = |source| Error::Io { what: "cannot start a thread for", path: config.path.clone(), source };
        std::thread::Builder::new().name("evidence".to_owned()).spawn(move || writer.run(receiver)).map_err(failed)?;
        tokio::spawn(tick(commands.downgrade(), config.checkpoint_every));
        Ok(Self(Arc::new(Inner { config, period, verifier, commands, state, poisoned, syncs })))
    }

    /// Waits for a place in the queue, so that whoever holds it can append without waiting, in `Drop` too.
    ///
    /// # Errors
    /// [`Unavailable`] if the log can no longer be written.
    pub async fn reserve(&self) -> Result<Slot, Unavailable> {
        if self.is_poisoned() {
            return Err(Unavailable);
        }
        let permit = self.0.commands.clone().reserve_owned().await.map_err(|_| Unavailable)?;
        Ok(Slot(permit))
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.0.config.origin
    }

    /// `ORIGIN/INDEX`.
    pub fn entry_name(&self, entry: Entry) -> String {
        format!("{}/{}", self.origin(), entry.index)
    }

    /// The key that receipts verify with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.0.verifier
    }

    /// HMAC-SHA256 of a citizen's id under the period's key.
    pub fn pseudonym(&self, subject: &str) -> [u8; 32] {
        self.0.period.pseudonym(subject)
    }

    /// The salt of a call's commitments.
    pub fn salt(&self, call: &CallId) -> [u8; 32] {
        self.0.period.salt(call.as_bytes())
    }

    /// SHA-256 of the call's salt and `bytes`.
    pub fn commit(&self, call: &CallId, bytes: &[u8]) -> [u8; 32] {
        self.0.period.commit(call, bytes)
    }

    /// Durable entries.
    pub async fn size(&self) -> u64 {
        self.0.state.read().await.tiles.size
    }

    /// How often the disk was waited for; many entries share one.
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }

    /// Whether a write has failed; the process should stop, and its next start verify what is on disk.
    pub fn is_poisoned(&self) -> bool {
        *self.0.poisoned.borrow()
    }

    /// Resolves when a write fails; never otherwise.
    pub async fn poisoned(&self) {
        let mut poisoned = self.0.poisoned.clone();
        if poisoned.wait_for(|poisoned| *poisoned).await.is_err() {
            // The writer ended without a failure.
            std::future::pending::<()>().await;
        }
    }

    /// Signs and publishes a checkpoint of all that is durable now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the log can no longer be written.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let (done, signed) = oneshot::channel();
        self.0.commands.send(Command::Checkpoint(Some(done))).await.map_err(|_| Unavailable)?;
        signed.await.map_err(|_| Unavailable)?.map_err(Error::from)
    }

    /// One record.
    ///
    /// # Errors
    /// [`Error::NoEntry`], or [`Error::Damaged`] if its bytes are not what was written.
    pub async fn record(&self, index: u64) -> Result<Record, Error> {
        let bytes = self.entry_bytes(index).await?;
        Record::decode(bytes.as_slice()).map_err(|_| Error::Damaged {
            path: self.0.config.path.clone(),
            offset: 0,
            problem: "an entry is no record",
        })
    }

    async fn entry_bytes(&self, index: u64) -> Result<Vec<u8>, Error> {
        let (first, offset) = self.0.state.read().await.place(index).ok_or(Error::NoEntry(index))?;
        read_entry(&self.0.config.path, first, offset)
    }

    /// The receipt of one entry: its record, the proof that it is in the log, and a signed checkpoint. Signs a new checkpoint
    /// if the last one does not cover the entry yet.
    ///
    /// # Errors
    /// [`Error::NoEntry`], or what keeps the log from being read or signed.
    pub async fn receipt(&self, index: u64) -> Result<Receipt, Error> {
        let record = self.entry_bytes(index).await?;
        if self.0.state.read().await.published.0.size <= index {
            self.checkpoint().await?;
        }
        let state = self.0.state.read().await;
        let (checkpoint, note) = &state.published;
        let proof = inclusion_proof(&state.tiles, index, checkpoint.size)?.ok_or(Error::NoEntry(index))?;
        let call = Record::decode(record.as_slice()).map(|record| record.call_id).unwrap_or_default();
        let salt = self.0.period.salt(&call);
        Ok(Receipt(ProofFile { extra: Receipt::extra(&record, &salt), index, proof, checkpoint: note.clone() }))
    }

    /// Writes what is queued, signs a last checkpoint and gives the log's lock back. Later calls are [`Unavailable`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a write has failed.
    pub async fn close(&self) -> Result<(), Error> {
        let (done, closed) = oneshot::channel();
        self.0.commands.send(Command::Close(done)).await.map_err(|_| Unavailable)?;
        closed.await.map_err(|_| Unavailable)?.map_err(Error::from)
    }
}

/// Asks for a checkpoint at every tick, for as long as anyone holds the log.
async fn tick(commands: mpsc::WeakSender<Command>, every: std::time::Duration) {
    let mut tick = tokio::time::interval(every.max(std::time::Duration::from_millis(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(commands) = commands.upgrade() else { return };
        if commands.send(Command::Checkpoint(None)).await.is_err() {
            return;
        }
    }
}

/// A place in the log's queue.
pub struct Slot(mpsc::OwnedPermit<Command>);

impl Slot {
    /// Hands a record over; never waits and never fails. The record is written also if the future is dropped.
    pub fn append(self, record: Record) -> Appended {
        let (done, written) = oneshot::channel();
        self.0.send(Command::Append { entry: record.encode_to_vec(), done });
        Appended(written)
    }
}

/// Resolves once the record is on disk.
pub struct Appended(oneshot::Receiver<Result<Entry, Unavailable>>);

impl Future for Appended {
    type Output = Result<Entry, Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|written| written.unwrap_or(Err(Unavailable)))
    }
}
