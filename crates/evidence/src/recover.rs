//! Recovery when a log is opened: lock it, read every frame, cut a torn tail, and refuse a log that does not
//! extend the last checkpoint.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_tlog::{Checkpoint, EMPTY_ROOT, VerifierKey, open_note, root};
use prost::Message as _;

use crate::config::{Config, Error};
use crate::disk::{Disk, Identity};
use crate::files::{Named, io, make_folder, put_all, sync_folder};
use crate::last_signed;
use crate::record::pb::{Kind, Record};
use crate::segment::{self, Frame, HEADER, Segment};
use crate::state::State;
use crate::tiles::Tiles;

/// Bytes of full tiles and bundles that may gather before they are compared with their files.
const UNSETTLED_BYTES: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };

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
    /// What others were shown last.
    pub(crate) published: Option<Checkpoint>,
    /// What was signed last; none if nothing is known of it.
    pub(crate) signed: Option<Checkpoint>,
    /// Streams without an end: index and record of their opening.
    pub(crate) open_streams: Vec<(u64, Record)>,
}

/// How a log is held to the state file.
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
    sync_folder(&**disk, log)?;
    let lock = lock(&**disk, log)?;
    let folder = io("cannot look at", log, disk.identity(log))?;
    let published = published(&**disk, config, key)?;
    let signed = last_signed::read(&**disk, &config.state, key)?;
    let state = State::new(Tiles::new(disk, log), published.clone().filter(|_| hold == Hold::ToState));
    let mut scan = Scan::new(&**disk, config, state, signed.clone().filter(|_| hold == Hold::ToState), true);
    let last = scan.all()?;
    if hold == Hold::ToState {
        hold_to_state(config, signed.as_ref(), scan.state.tiles.size, scan.is_as_signed)?;
    }
    let Scan { mut state, open, latest_ms, .. } = scan;
    if hold == Hold::ToNothing {
        // Tiles and bundles of the entries that were lost may lie there, as long as those of today's.
        disk.remove_folder(&log.join("tile")).ok();
    }
    settle(&**disk, log, &mut state.tiles, true)?;
    let segment = match last {
        Some((path, length)) => Segment::open(&**disk, path, length)?,
        None => {
            state.segments.push(0);
            Segment::create(&**disk, log, 0)?
        }
    };
    let open_streams = open.into_iter().collect();
    let published = published.map(|(checkpoint, _)| checkpoint);
    Ok(Recovered { state, segment, lock, folder, latest_ms, published, signed, open_streams })
}

/// Reads a log as [`open`] does, and changes nothing; also while it is written.
pub(crate) fn check(disk: &Arc<dyn Disk>, config: &Config, key: &VerifierKey) -> Result<(), Error> {
    if !disk.is_folder(&segment::folder(&config.path)) {
        return hold_to_state(config, last_signed::read(&**disk, &config.state, key)?.as_ref(), 0, true);
    }
    // Read before the segments, which only grow past them.
    let signed = last_signed::read(&**disk, &config.state, key)?;
    let state = State::new(Tiles::without_bundles(disk, &config.path), published(&**disk, config, key)?);
    let mut scan = Scan::new(&**disk, config, state, signed.clone(), false);
    scan.all()?;
    hold_to_state(config, signed.as_ref(), scan.state.tiles.size, scan.is_as_signed)
}

fn hold_to_state(
    config: &Config,
    signed: Option<&Checkpoint>,
    found: u64,
    is_as_signed: bool,
) -> Result<(), Error> {
    let (path, state) = (config.path.clone(), last_signed::path(&config.state));
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
    if checkpoint.origin == config.origin {
        Ok(Some((checkpoint, note)))
    } else {
        Err(damaged("the checkpoint is of another log"))
    }
}

/// The segments in order. Other files in their folder (a file manager's, an editor's, NFS's) are passed over.
fn segments(disk: &dyn Disk, log: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = segment::folder(log);
    let names = io("cannot read", &folder, disk.list(&folder))?;
    let (segments, strays): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| segment::is_name(name));
    for stray in strays {
        tracing::warn!(file = %folder.join(stray).display(), "passed over a file that is no segment of the evidence log");
    }
    Ok(segments.into_iter().map(|name| folder.join(name)).collect())
}

/// A log that is being read from its beginning.
struct Scan<'a> {
    disk: &'a dyn Disk,
    log: &'a Path,
    state: State,
    /// What was signed last.
    signed: Option<Checkpoint>,
    is_as_signed: bool,
    latest_ms: u64,
    /// Whether tiles that are missing are written.
    repairs: bool,
    /// Streams that are open so far.
    open: BTreeMap<u64, Record>,
}

impl<'a> Scan<'a> {
    fn new(
        disk: &'a dyn Disk,
        config: &'a Config,
        state: State,
        signed: Option<Checkpoint>,
        repairs: bool,
    ) -> Self {
        let is_as_signed = true;
        let latest_ms = 0;
        let open = BTreeMap::new();
        Self { disk, log: &config.path, state, signed, is_as_signed, latest_ms, repairs, open }
    }

    /// Reads the whole log; gives the last segment and the offset where its sound frames end.
    fn all(&mut self) -> Result<Option<(PathBuf, u64)>, Error> {
        self.check()?;
        let paths = segments(self.disk, self.log)?;
        let mut last = None;
        for (number, path) in paths.iter().enumerate() {
            let sound = self.segment(path, number + 1 == paths.len())?;
            last = Some((path.clone(), sound));
        }
        let covered = self.state.covered();
        if covered > self.state.tiles.size {
            return Err(Error::Checkpoint {
                path: self.log.to_owned(),
                size: covered,
                problem: "it is shorter",
            });
        }
        Ok(last)
    }

    /// Reads a segment; gives the offset where its sound frames end.
    fn segment(&mut self, path: &Path, is_last: bool) -> Result<u64, Error> {
        if path != segment::path(self.log, self.state.tiles.size) {
            return Err(Error::Damaged {
                path: path.to_owned(),
                offset: 0,
                problem: "a segment is missing before it",
            });
        }
        self.state.segments.push(self.state.tiles.size);
        let bytes = io("cannot read", path, self.disk.read(path))?;
        let mut sound = 0;
        while let Some(frame) = bytes.get(sound..).and_then(Frame::at_start) {
            self.entry(sound as u64, frame.entry)?;
            sound += HEADER + frame.entry.len();
        }
        let rest = bytes.get(sound..).unwrap_or_default();
        if !rest.is_empty() {
            if !is_last || followed(rest, self.state.tiles.size) {
                let problem = "a frame is not what was written";
                return Err(Error::Damaged { path: path.to_owned(), offset: sound as u64, problem });
            }
            // Zeros were written ahead; anything else was being written when the process ended.
            if rest.iter().any(|byte| *byte != 0) {
                tracing::warn!("cut the torn tail of the evidence log");
            }
        }
        Ok(sound as u64)
    }

    fn entry(&mut self, offset: u64, entry: &[u8]) -> Result<(), Error> {
        let index = self.state.add(offset, entry);
        if let Ok(record) = Record::decode(entry) {
            self.latest_ms = self.latest_ms.max(record.time_unix_ms);
            match record.kind() {
                Kind::Open => self.open.insert(index, record),
                Kind::Close => self.open.remove(&record.opening),
                _ => None,
            };
        }
        if self.state.tiles.unwritten_bytes > UNSETTLED_BYTES && self.repairs {
            settle(self.disk, self.log, &mut self.state.tiles, false)?;
        }
        self.check()
    }

    /// At the size of the published checkpoint the root must be the checkpoint's; at the size that was signed
    /// last, that one's.
    fn check(&mut self) -> Result<(), Error> {
        let size = self.state.tiles.size;
        let published =
            self.state.published.as_ref().map(|(checkpoint, _)| checkpoint).filter(|at| at.size == size);
        let signed = self.signed.as_ref().filter(|at| at.size == size);
        if published.is_none() && signed.is_none() {
            return Ok(());
        }
        let found = if size == 0 { EMPTY_ROOT } else { root(&self.state.tiles, size)? };
        self.is_as_signed &= signed.is_none_or(|signed| signed.root == found);
        if published.is_some_and(|published| published.root != found) {
            return Err(Error::Checkpoint {
                path: self.log.to_owned(),
                size,
                problem: "its entries are others",
            });
        }
        Ok(())
    }
}

/// Whether a frame of a later group than that of entry `next` begins anywhere: then what was skipped had been
/// on disk, and is damaged. A group that nothing follows was never told of; any part of it may be missing.
fn followed(rest: &[u8], next: u64) -> bool {
    (1..rest.len()).any(|at| rest.get(at..).and_then(Frame::at_start).is_some_and(|frame| frame.group > next))
}

/// Compares full tiles and bundles with their files and writes those that are missing. Files that differ are
/// written anew only once the entries are known to be those of the checkpoint (`trusted`): until then either
/// may be what was altered.
fn settle(disk: &dyn Disk, log: &Path, tiles: &mut Tiles, trusted: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut settled = Vec::<Named>::new();
    for file in tiles.full() {
        let path = log.join(&file.0);
        let differs = match disk.len(&path) {
            Err(_) => {
                missing.push(file.clone());
                false
            }
            Ok(length) if length != file.1.len() as u64 => true,
            // Bundles are as large as the log; their hashes are checked by whoever reads them.
            Ok(_) if file.0.starts_with("tile/entries/") => false,
            Ok(_) => io("cannot read", &path, disk.read(&path))? != *file.1,
        };
        if differs && trusted {
            tracing::warn!(
                file = file.0,
                "a file of the evidence log's tree was damaged; it is made again from the entries"
            );
            missing.push(file.clone());
        }
        if !differs || trusted {
            settled.push(file);
        }
    }
    put_all(disk, log, &missing)?;
    tiles.written(&settled);
    Ok(())
}
