//! This module recovers a log when it is opened: it locks the log, reads the newest segments (or all, if the
//! resume file cannot be used), cuts a torn tail, and refuses a log that does not extend what was signed.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_tlog::{Checkpoint, VerifierKey, open_note};

use crate::config::{Config, Error};
use crate::disk::{Disk, Identity};
use crate::files::{io, make_folder, sync_folder};
use crate::last_signed;
use crate::record::pb::Record;
use crate::resume::{self, Resume};
use crate::scan::{Scan, settle};
use crate::segment::{self, Segment};
use crate::state::State;
use crate::tiles::Tiles;

/// Keeps other processes from the log's folder until the last clone is dropped.
pub(crate) type Lock = Arc<dyn Any + Send + Sync>;

/// An opened log.
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) segment: Segment,
    pub(crate) lock: Lock,
    /// The folder that is locked.
    pub(crate) folder: Identity,
    /// Latest `time_unix_ms` of any entry.
    pub(crate) latest_ms: u64,
    /// The checkpoint that was published last.
    pub(crate) published: Option<Checkpoint>,
    /// The checkpoint of the state file; `None` if there is no state file.
    pub(crate) signed: Option<Checkpoint>,
    /// Streams without an end: index and record of their opening.
    pub(crate) open_streams: Vec<(u64, Record)>,
    /// From where the log was read, if not from its beginning.
    pub(crate) resumed: Option<Resume>,
}

/// `Hold` says how a log is compared with the state file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hold {
    /// It must hold all that was signed.
    ToState,
    /// Whatever it holds is taken: an operator accepts the loss.
    ToNothing,
}

pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    config: &Config,
    key: &VerifierKey,
    hold: Hold,
) -> Result<Recovered, Error> {
    let log = &config.path;
    make_folder(&**disk, &segment::folder(log))?;
    // The folder may have been made by a process that was killed before it synced the name.
    sync_folder(&**disk, log)?;
    let lock = lock(&**disk, log)?;
    let folder = io("cannot look at", log, disk.identity(log))?;
    // Read under the lock, so that no other process can publish in between.
    let published = published(&**disk, config, key)?;
    let signed = last_signed::read(&**disk, &config.state, key)?;
    if hold == Hold::ToNothing {
        resume::remove(&**disk, &config.state);
    }
    let held = LogWithProof { disk, config, signed: signed.as_ref(), published: published.as_ref(), hold };
    let (scan, last, resumed) = match held.newest() {
        Some((scan, last, resume)) => (scan, Some(last), Some(resume)),
        None => {
            let (scan, last) = held.whole()?;
            (scan, last, None)
        }
    };
    let Scan { mut state, open, latest_ms, .. } = scan;
    if hold == Hold::ToNothing {
        // Tiles and bundles of the entries that were lost may lie there, as long as those of today's.
        disk.remove_folder(&log.join("tile")).ok();
    }
    settle(&**disk, log, &mut state.tiles, true)?;
    let segment = match last {
        Some((path, length)) => Segment::open(&**disk, path, length)?,
        // A crash before the first record leaves no segment.
        None => Segment::create(&**disk, log, 0)?,
    };
    let open_streams = open.into_iter().collect();
    let published = published.map(|(checkpoint, _)| checkpoint);
    Ok(Recovered { state, segment, lock, folder, latest_ms, published, signed, open_streams, resumed })
}

/// The last segment, and the offset where its sound frames end.
type End = (PathBuf, u64);

/// A log with what it is held to.
struct LogWithProof<'a> {
    disk: &'a Arc<dyn Disk>,
    config: &'a Config,
    signed: Option<&'a Checkpoint>,
    published: Option<&'a (Checkpoint, String)>,
    hold: Hold,
}

impl<'a> LogWithProof<'a> {
    /// Reads the log from where the resume file says; nothing if there is none that serves, or if what it
    /// leads to is not the log that was signed: then the whole log is read, and tells what is wrong.
    fn newest(&self) -> Option<(Scan<'a>, End, Resume)> {
        let signed = self.signed.filter(|_| self.hold == Hold::ToState)?;
        let resume = resume::read(&**self.disk, &self.config.state, &self.config.origin)?;
        let published = self.published.map_or(signed.size, |(checkpoint, _)| checkpoint.size);
        if resume.size > signed.size.min(published) {
            return None;
        }
        let tiles = Tiles::resumed(self.disk, &self.config.path, &resume)?;
        let state = State::new(tiles, self.published.cloned());
        let mut scan = Scan::resumed(&**self.disk, &self.config.path, state, signed, &resume)?;
        let last = scan.all().ok()??;
        let is_signed = scan.is_as_signed && signed.size <= scan.state.tiles.size;
        is_signed.then_some((scan, last, resume))
    }

    /// Reads the log from its beginning.
    fn whole(&self) -> Result<(Scan<'a>, Option<End>), Error> {
        let is_held = self.hold == Hold::ToState;
        let published = self.published.cloned().filter(|_| is_held);
        let signed = self.signed.cloned().filter(|_| is_held);
        let state = State::new(Tiles::new(self.disk, &self.config.path), published);
        let mut scan = Scan::new(&**self.disk, &self.config.path, state, signed, true);
        let last = scan.all()?;
        if is_held {
            hold_to_state(self.config, self.signed, scan.state.tiles.size, scan.is_as_signed)?;
        }
        Ok((scan, last))
    }
}

/// Reads a log as [`open`] does, and changes nothing; also while it is written.
pub(crate) fn check(disk: &Arc<dyn Disk>, config: &Config, key: &VerifierKey) -> Result<(), Error> {
    // A log that was never opened has no folder. It is sound unless something was signed for it.
    if !disk.is_folder(&segment::folder(&config.path)) {
        return hold_to_state(config, last_signed::read(&**disk, &config.state, key)?.as_ref(), 0, true);
    }
    // Read before the segments, which only grow past them.
    let signed = last_signed::read(&**disk, &config.state, key)?;
    let state = State::new(Tiles::without_bundles(disk, &config.path), published(&**disk, config, key)?);
    let mut scan = Scan::new(&**disk, &config.path, state, signed.clone(), false);
    scan.all()?;
    hold_to_state(config, signed.as_ref(), scan.state.tiles.size, scan.is_as_signed)
}

fn hold_to_state(
    config: &Config,
    signed: Option<&Checkpoint>,
    found: u64,
    is_as_signed: bool,
) -> Result<(), Error> {
    // The state file lies apart from the log, and so survives a log that was replaced as a whole.
    let path = config.path.clone();
    let state = last_signed::path(&config.state);
    match signed {
        None if found > 0 => Err(Error::StateMissing { path, state, found }),
        Some(signed) if signed.size > found => {
            Err(Error::Lost { path, state, found, signed: signed.size, problem: "" })
        }
        Some(signed) if !is_as_signed => {
            let problem = ", but others than were signed";
            Err(Error::Lost { path, state, found, signed: signed.size, problem })
        }
        _ => Ok(()),
    }
}

fn lock(disk: &dyn Disk, log: &Path) -> Result<Lock, Error> {
    let lock = io("cannot lock", log, disk.lock(log))?;
    lock.map(Lock::from).ok_or_else(|| Error::InUse(log.to_owned()))
}

fn published(
    disk: &dyn Disk,
    config: &Config,
    key: &VerifierKey,
) -> Result<Option<(Checkpoint, String)>, Error> {
    let path = config.path.join("checkpoint");
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { what: "cannot read", path, source }),
    };
    let damaged = |problem| Error::Damaged { path: path.clone(), offset: 0, problem };
    let note = String::from_utf8(bytes).map_err(|_| damaged("the checkpoint is not text"))?;
    let text =
        open_note(&note, key).map_err(|_| damaged("the checkpoint is not signed by this log's key"))?;
    let checkpoint: Checkpoint = text.parse().map_err(|_| damaged("the checkpoint is malformed"))?;
    // A key may sign several logs, so the origin is compared as well.
    if checkpoint.origin == config.origin {
        Ok(Some((checkpoint, note)))
    } else {
        Err(damaged("the checkpoint is of another log"))
    }
}
