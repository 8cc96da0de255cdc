//! Opening a log: lock it, read every frame, cut a torn tail, and refuse to go on from anything that does not extend the last
//! checkpoint.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use chapar_tlog::{Checkpoint, EMPTY_ROOT, VerifierKey, open_note, root};
use prost::Message as _;

use crate::config::{Config, Error};
use crate::files::{Named, io, make_folder, put_all, sync_folder};
use crate::record::pb::{Kind, Record};
use crate::segment::{self, Frame, HEADER, Segment};
use crate::state::State;
use crate::tiles::Tiles;

/// Bytes of full tiles and bundles that may gather before they are compared with their files.
const UNSETTLED_BYTES: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };

/// An opened log.
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) segment: Segment,
    pub(crate) lock: File,
    /// Streams without an end: index and record of their opening.
    pub(crate) open_streams: Vec<(u64, Record)>,
}

pub(crate) fn open(config: &Config, key: &VerifierKey) -> Result<Recovered, Error> {
    let log = &config.path;
    make_folder(&segment::folder(log))?;
    sync_folder(log)?;
    let lock = lock(log)?;
    let mut scan = Scan { log, state: State::new(Tiles::new(log), published(config, key)?), open: BTreeMap::new() };
    scan.check()?;
    let paths = segments(log)?;
    let mut last = None;
    for (number, path) in paths.iter().enumerate() {
        let sound = scan.segment(path, number + 1 == paths.len())?;
        last = Some((path.clone(), sound));
    }
    let Scan { mut state, open, .. } = scan;
    let covered = state.covered();
    if covered > state.tiles.size {
        return Err(Error::Checkpoint { path: log.clone(), size: covered, problem: "it is shorter" });
    }
    settle(log, &mut state.tiles, true)?;
    let segment = match last {
        Some((path, length)) => Segment::open(path, length)?,
        None => {
            state.segments.push(0);
            Segment::create(log, 0)?
        }
    };
    Ok(Recovered { state, segment, lock, open_streams: open.into_iter().collect() })
}

fn lock(log: &Path) -> Result<File, Error> {
    let path = log.join("lock");
    let file = io("cannot open", &path, OpenOptions::new().create(true).truncate(false).write(true).open(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(log.to_owned())),
        Err(TryLockError::Error(source)) => Err(Error::Io { what: "cannot lock", path, source }),
    }
}

fn published(config: &Config, key: &VerifierKey) -> Result<Option<(Checkpoint, String)>, Error> {
    let path = config.path.join("checkpoint");
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { what: "cannot read", path, source }),
    };
    let damaged = |problem| Error::Damaged { path: path.clone(), offset: 0, problem };
    let text = open_note(&note, key).map_err(|_| damaged("the checkpoint is not signed by this log's key"))?;
    let checkpoint: Checkpoint = text.parse().map_err(|_| damaged("the checkpoint is malformed"))?;
    if checkpoint.origin == config.origin {
        Ok(Some((checkpoint, note)))
    } else {
        Err(damaged("the checkpoint is of another log"))
    }
}

fn segments(log: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = segment::folder(log);
    let entries = io("cannot read", &folder, std::fs::read_dir(&folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(io("cannot read", &folder, entry)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// A log that is being read from its beginning.
struct Scan<'a> {
    log: &'a Path,
    state: State,
    /// Streams that are open so far.
    open: BTreeMap<u64, Record>,
}

impl Scan<'_> {
    /// Reads a segment; gives the offset where its sound frames end.
    fn segment(&mut self, path: &Path, is_last: bool) -> Result<u64, Error> {
        if path != segment::path(self.log, self.state.tiles.size) {
            return Err(Error::Damaged { path: path.to_owned(), offset: 0, problem: "a segment is missing before it" });
        }
        self.state.segments.push(self.state.tiles.size);
        let bytes = io("cannot read", path, std::fs::read(path))?;
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
            match record.kind() {
                Kind::Open => self.open.insert(index, record),
                Kind::Close => self.open.remove(&record.opening),
                _ => None,
            };
        }
        if self.state.tiles.unwritten_bytes > UNSETTLED_BYTES {
            settle(self.log, &mut self.state.tiles, false)?;
        }
        self.check()
    }

    /// At the checkpoint's size, the root must be the checkpoint's.
    fn check(&self) -> Result<(), Error> {
        let size = self.state.tiles.size;
        match &self.state.published {
            Some((checkpoint, _)) if checkpoint.size == size => {
                let found = if size == 0 { EMPTY_ROOT } else { root(&self.state.tiles, size)? };
                if found == checkpoint.root {
                    return Ok(());
                }
                Err(Error::Checkpoint { path: self.log.to_owned(), size, problem: "its entries are others" })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a frame of a later group than that of entry `next` begins anywhere: then what was skipped had been on disk, and is
/// damaged. A group that nothing follows was never told of; any part of it may be missing.
fn followed(rest: &[u8], next: u64) -> bool {
    (1..rest.len()).any(|at| rest.get(at..).and_then(Frame::at_start).is_some_and(|frame| frame.group > next))
}

/// Compares full tiles and bundles with their files and writes those that are missing. Files that differ are written anew only
/// once the entries are known to be those of the checkpoint (`trusted`): until then either may be what was altered.
fn settle(log: &Path, tiles: &mut Tiles, trusted: bool) -> Result<(), Error> {
    let (mut missing, mut settled) = (Vec::new(), Vec::<Named>::new());
    for file in tiles.full() {
        let path = log.join(&file.0);
        let differs = match path.metadata() {
            Err(_) => {
                missing.push(file.clone());
                false
            }
            Ok(found) if found.len() != file.1.len() as u64 => true,
            // Bundles are as large as the log; their hashes are checked by whoever reads them.
            Ok(_) if file.0.starts_with("tile/entries/") => false,
            Ok(_) => io("cannot read", &path, std::fs::read(&path))? != *file.1,
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
    put_all(log, &missing)?;
    tiles.written(&settled);
    Ok(())
}
