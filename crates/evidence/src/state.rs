//! This module has the state that a log's writer, publisher and readers share. Readers of the disk hold no
//! lock: they read by a snapshot of the tree.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chapar_tlog::Checkpoint;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::resume::Resume;
use crate::tiles::Tiles;

/// Limit of a clock step, in milliseconds. If the clock was set back by less (an NTP step), records keep the
/// latest time until the clock has caught up; if by more, the new time is used.
const CLOCK_STEP_MS: u64 = 5 * 60 * 1000;

/// A number of free bytes that no disk has.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// `State` describes the durable log. Nothing is added before it is on disk.
pub(crate) struct State {
    pub(crate) tiles: Tiles,
    /// The last checkpoint and its signed note; none before the first.
    pub(crate) published: Option<(Checkpoint, String)>,
    /// The newest checkpoint that witnesses cosigned, and its note; none before the first.
    pub(crate) cosigned: Option<(Checkpoint, String)>,
    /// Time at which this process published the last one; none before its first.
    pub(crate) published_at: Option<Instant>,
    /// Time since which there have been durable entries that it does not cover; none while it covers all.
    pub(crate) unsigned_since: Option<Instant>,
}

impl State {
    pub(crate) fn new(tiles: Tiles, published: Option<(Checkpoint, String)>) -> Self {
        Self { tiles, published, cosigned: None, published_at: None, unsigned_since: None }
    }

    /// Entries that the last checkpoint covers.
    pub(crate) fn covered(&self) -> u64 {
        self.published.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size)
    }
}

/// `Shared` is the state of one open log. Lock order: the publisher before `state`, and before `resume`.
/// Nobody locks the publisher while holding one of these, since a publication takes several syncs.
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    /// True once the log is being closed: no slot is given out any more.
    pub(crate) closing: AtomicBool,
    /// Number of group commits so far.
    pub(crate) syncs: AtomicU64,
    /// Notified when many full tiles wait in memory.
    pub(crate) full: Notify,
    /// Called for each commit (metrics).
    pub(crate) observer: OnceLock<Observer>,
    /// True while the disk has less room than the low-water mark.
    below_low_water: AtomicBool,
    /// Bytes that the disk has free, as of the last look; [`UNKNOWN`] before the first, and if it does not
    /// say.
    pub(crate) free: AtomicU64,
    /// The last write of a record, or of what is published, found no room.
    no_room: [AtomicBool; 2],
    /// Start of the write of each kind that is under way, in milliseconds from `opened` and at least 1; 0
    /// while there is none. Relaxed: it guards no other memory, and `condition` needs the number only.
    waiting_since: [AtomicU64; 2],
    opened: Instant,
    /// Latest time of any record, in milliseconds since the Unix epoch.
    latest_ms: AtomicU64,
    /// Where the newest segment begins, until a checkpoint that covers it has been signed.
    pub(crate) resume: Mutex<Option<Resume>>,
    poison: watch::Sender<bool>,
    /// Size of the last published checkpoint; 0 before the first of this process.
    pub(crate) published_size: watch::Sender<u64>,
    /// True while no checkpoint has been cosigned for too long.
    unwitnessed: AtomicBool,
}

/// `Condition` is the state of an open log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// The log takes records.
    Ready,
    /// A write has taken longer than [`SLOW_DISK`].
    SlowDisk,
    /// The disk has less room than the low-water mark; records are taken again when it has more.
    DiskFull,
    /// No checkpoint has been cosigned by witnesses for too long; records are taken again when one has.
    Unwitnessed,
    /// A write has failed: no record is taken until the log is opened again.
    Poisoned,
}

/// What an operator sees of an open log.
#[derive(Clone, Copy, Debug)]
pub struct LogStatus {
    /// Durable entries.
    pub size: u64,
    /// Entries that the last published checkpoint covers.
    pub covered: u64,
    /// Time since this process published a checkpoint; none before its first.
    pub since_checkpoint: Option<Duration>,
    /// Time since which there have been durable entries that no checkpoint covers; none if it covers all.
    pub unsigned_for: Option<Duration>,
    /// Bytes that the log's disk had free at the last look, half a second ago; none if it does not say.
    pub free: Option<u64>,
    /// Bytes below which no record is taken.
    pub low_water: u64,
}

/// What is written to the log's disks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    /// Records.
    Records,
    /// Tiles, the state file and the checkpoint.
    Published,
}

/// Duration of one write above which the disk counts as slow. A commit takes some milliseconds on a healthy
/// disk, so 2 s are no ordinary delay.
pub const SLOW_DISK: Duration = Duration::from_secs(2);

/// One commit of the log, as it is observed.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Records that became durable.
    pub records: usize,
    /// How long the disk took over them: one append and one `fdatasync`.
    pub took: Duration,
}

pub(crate) type Observer = Box<dyn Fn(Commit) + Send + Sync>;

impl Shared {
    /// `latest_ms`: the latest time of any record, in milliseconds since the Unix epoch.
    pub(crate) fn new(state: State, latest_ms: u64) -> Self {
        Self {
            below_low_water: AtomicBool::new(false),
            free: AtomicU64::new(UNKNOWN),
            no_room: [AtomicBool::new(false), AtomicBool::new(false)],
            waiting_since: [AtomicU64::new(0), AtomicU64::new(0)],
            opened: Instant::now(),
            latest_ms: AtomicU64::new(latest_ms),
            resume: Mutex::new(None),
            state: RwLock::new(state),
            closing: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            full: Notify::new(),
            observer: OnceLock::new(),
            poison: watch::Sender::new(false),
            published_size: watch::Sender::new(0),
            unwitnessed: AtomicBool::new(false),
        }
    }

    /// A write has failed: nothing more may be written until the log has been opened again.
    pub(crate) fn poison(&self, error: &dyn std::error::Error) {
        // The error is logged once, because every later write fails for the same reason.
        if !self.poison.send_replace(true) {
            tracing::error!(
                %error,
                "the evidence log is poisoned: a write failed, and nothing is written until a restart \
                 verifies the log"
            );
        }
    }

    /// Whether there is less room than the low-water mark; `why` is for the log line of a change.
    pub(crate) fn below_low_water(&self, below: bool, why: &dyn std::fmt::Display) {
        self.room_changes(&self.below_low_water, below, why);
    }

    /// Whether the last write of this kind found no room. Free bytes alone do not tell: a quota, the inodes,
    /// or the disk of the state file may be what is spent, so only a write that succeeds says that there is
    /// room again.
    pub(crate) fn no_room(&self, write: Write, is_full: bool, why: &dyn std::fmt::Display) {
        self.room_changes(&self.no_room[write as usize], is_full, why);
    }

    pub(crate) fn lacks_room(&self, write: Write) -> bool {
        self.no_room[write as usize].load(Ordering::SeqCst)
    }

    fn room_changes(&self, flag: &AtomicBool, is_full: bool, why: &dyn std::fmt::Display) {
        let was_full = self.is_disk_full();
        // Only a change of the sum of all flags is logged, since one full disk sets several of them.
        if flag.swap(is_full, Ordering::SeqCst) != is_full && was_full != self.is_disk_full() {
            match is_full {
                true => {
                    tracing::error!(
                        %why,
                        "the evidence log's disk is full: calls are refused until space is free; free some"
                    )
                }
                false => tracing::info!("the evidence log's disk has room again: calls are accepted"),
            }
        }
    }

    pub(crate) fn is_disk_full(&self) -> bool {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        is_set(&self.below_low_water) || self.no_room.iter().any(is_set)
    }

    pub(crate) fn is_unwitnessed(&self) -> bool {
        self.unwitnessed.load(Ordering::SeqCst)
    }

    pub(crate) fn set_unwitnessed(&self, unwitnessed: bool) {
        if self.unwitnessed.swap(unwitnessed, Ordering::SeqCst) != unwitnessed {
            match unwitnessed {
                true => {
                    tracing::error!(
                        "witnesses have not cosigned the evidence log for too long: calls are refused until they do"
                    )
                }
                false => {
                    tracing::info!("witnesses have cosigned the evidence log again: calls are accepted")
                }
            }
        }
    }

    /// Notes that a write of this kind waits for the disk, until what is returned is dropped. There is one
    /// writer of each kind.
    pub(crate) fn waits_for_disk(self: &Arc<Self>, write: Write) -> DiskWait {
        self.waiting_since[write as usize].store(self.now_ms(), Ordering::Relaxed);
        DiskWait { shared: Arc::clone(self), write }
    }

    /// Notes that the disk has answered a part of a write of this kind, which goes on.
    pub(crate) fn disk_answered(&self, write: Write) {
        let since = &self.waiting_since[write as usize];
        if since.load(Ordering::Relaxed) != 0 {
            since.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// Milliseconds since `opened`, at least 1: 0 means that nothing waits.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn condition(&self) -> Condition {
        let waits = self.waiting_since.iter().map(|since| match since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.opened.elapsed().saturating_sub(Duration::from_millis(since)),
        });
        let waits = waits.max().unwrap_or_default();
        // The worst condition is reported first: a poisoned log needs a restart, a full one only room.
        match () {
            () if self.is_poisoned() => Condition::Poisoned,
            () if self.is_disk_full() => Condition::DiskFull,
            () if self.is_unwitnessed() => Condition::Unwitnessed,
            () if waits > SLOW_DISK => Condition::SlowDisk,
            () => Condition::Ready,
        }
    }

    /// The time of a record: `now`, or the latest time before if the clock was set back by less than
    /// [`CLOCK_STEP_MS`]. In milliseconds since the Unix epoch.
    pub(crate) fn time_ms(&self, now: u64) -> u64 {
        // Relaxed: `fetch_max` is one atomic step, so times never decrease, and it guards no other memory.
        let latest = self.latest_ms.fetch_max(now, Ordering::Relaxed);
        if latest <= now {
            return now;
        }
        if latest - now < CLOCK_STEP_MS {
            return latest;
        }
        // One record under a clock that was years ahead must not date all that follow.
        self.latest_ms.store(now, Ordering::Relaxed);
        tracing::warn!(
            back_ms = latest - now,
            "the system clock is minutes or more behind the evidence log's last record: check it (NTP)"
        );
        now
    }

    /// Latest time of any record so far, in milliseconds since the Unix epoch.
    pub(crate) fn latest_ms(&self) -> u64 {
        self.latest_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        *self.poison.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.poison.subscribe()
    }
}

/// A write that waits for the disk. Dropped when it is done.
pub(crate) struct DiskWait {
    shared: Arc<Shared>,
    write: Write,
}

impl Drop for DiskWait {
    fn drop(&mut self) {
        self.shared.waiting_since[self.write as usize].store(0, Ordering::Relaxed);
    }
}
