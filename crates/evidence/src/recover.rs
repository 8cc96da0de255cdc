//! Opening a log: lock it, read every frame, cut a torn tail, and refuse to go on from anything that does not extend the last
//! checkpoint.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use chapar_tlog::{Checkpoint, EMPTY_ROOT, VerifierKey, open_note, root};
use prost::Message as _;

use crate::config::{Config, Error};
use crate::record::pb::{Kind, Record};
use crate::segment::{HEADER, Segment, io, unframe};
use crate::tiles::Tiles;

/// What is known of the durable log.
pub(crate) struct State {
    pub(crate) tiles: Tiles,
    /// First entry of each segment.
    pub(crate) segments: Vec<u64>,
    /// Entry → number of its segment, offset in it.
    places: Vec<(u32, u32)>,
    /// The last checkpoint and its signed note.
    pub(crate) published: (Checkpoint, String),
}

impl State {
    /// Takes in an entry that is on disk at `offset` of the last segment.
    pub(crate) fn add(&mut self, offset: u64, entry: &[u8]) -> Result<(), Error> {
        let segment = u32::try_from(self.segments.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.places.push((segment, u32::try_from(offset).unwrap_or(u32::MAX)));
        self.tiles.add(entry)
    }

    /// First entry of the segment that holds an entry, and the offset of its frame.
    pub(crate) fn place(&self, index: u64) -> Option<(u64, u64)> {
        let (segment, offset) = self.places.get(usize::try_from(index).ok()?)?;
        Some((*self.segments.get(*segment as usize)?, u64::from(*offset)))
    }
}

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
    let folder = log.join("segments");
    io("cannot create", log, std::fs::create_dir_all(&folder))?;
    let lock = lock(log)?;
    let published = published(config, key)?;
    let empty = Checkpoint { origin: config.origin.clone(), size: 0, root: EMPTY_ROOT };
    let expected = published.as_ref().map(|(checkpoint, _)| checkpoint.clone());
    let mut state = State {
        tiles: Tiles::new(log),
        segments: Vec::new(),
        places: Vec::new(),
        published: published.unwrap_or((empty, String::new())),
    };
    let mut open = BTreeMap::new();
    let mut names: Vec<_> = io("cannot read", &folder, std::fs::read_dir(&folder))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    names.sort();
    let mut last = None;
    for (number, path) in names.iter().enumerate() {
        let first = path.file_name().and_then(|name| u64::from_str_radix(&name.to_string_lossy(), 16).ok());
        if first != Some(state.tiles.size) {
            return Err(Error::Damaged { path: path.clone(), offset: 0, problem: "a segment is missing before it" });
        }
        state.segments.push(state.tiles.size);
        let bytes = io("cannot read", path, std::fs::read(path))?;
        let sound = scan(&bytes, |offset, entry| {
            note_stream(&mut open, state.tiles.size, entry);
            state.add(offset, entry)?;
            checked(config, &state, expected.as_ref())
        })?;
        let is_last = number + 1 == names.len();
        if sound < bytes.len() && (!is_last || has_sound_frame(&bytes[sound + 1..])) {
            return Err(Error::Damaged {
                path: path.clone(),
                offset: sound as u64,
                problem: "a frame is not what was written",
            });
        }
        if sound < bytes.len() {
            tracing::warn!(bytes = bytes.len() - sound, "cut the torn tail of the evidence log");
        }
        last = Some((path.clone(), sound as u64));
    }
    if let Some(expected) = expected.filter(|expected| expected.size > state.tiles.size) {
        return Err(Error::Checkpoint { path: log.clone(), size: expected.size, problem: "it is shorter" });
    }
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

/// Calls `each` with offset and entry of every sound frame; gives the offset where they end.
fn scan(bytes: &[u8], mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>) -> Result<usize, Error> {
    let mut at = 0;
    while let Some(entry) = bytes.get(at..).and_then(unframe) {
        each(at as u64, entry)?;
        at += HEADER + entry.len();
    }
    Ok(at)
}

/// Whether a sound frame begins anywhere: then what was skipped is damage, not a torn tail.
fn has_sound_frame(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| unframe(&bytes[at..]).is_some_and(|entry| Record::decode(entry).is_ok()))
}

/// At the checkpoint's size, the root must be the checkpoint's.
fn checked(config: &Config, state: &State, expected: Option<&Checkpoint>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected.size == state.tiles.size && root(&state.tiles, expected.size)? != expected.root => {
            Err(Error::Checkpoint { path: config.path.clone(), size: expected.size, problem: "its entries are others" })
        }
        _ => Ok(()),
    }
}

fn note_stream(open: &mut BTreeMap<u64, Record>, index: u64, entry: &[u8]) {
    let Ok(record) = Record::decode(entry) else { return };
    match record.kind() {
        Kind::Open => {
            open.insert(index, record);
        }
        Kind::Close => {
            open.remove(&record.opening);
        }
        _ => {}
    }
}
