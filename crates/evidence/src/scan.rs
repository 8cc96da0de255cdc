//! `Scan` reads a log's segments in order and grows the tree from them: every frame must be sound, and the
//! root that of each signed checkpoint on the way. Leaves out which checkpoints a log is held to (`recover`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chapar_tlog::{Checkpoint, EMPTY_ROOT, root};
use prost::Message as _;

use crate::config::Error;
use crate::disk::Disk;
use crate::files::{Named, io, put_all};
use crate::record::pb::{Kind, Record};
use crate::resume::Resume;
use crate::segment::{self, Frame, HEADER};
use crate::state::State;
use crate::tiles::Tiles;

/// Bytes of full tiles and bundles that may gather before they are compared with their files.
const UNSETTLED_BYTES: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };

/// The segments in order. Other files in their folder (a file manager's, an editor's, NFS's) are passed over.
pub(crate) fn segments(disk: &dyn Disk, log: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = segment::folder(log);
    let names = io("cannot read", &folder, disk.list(&folder))?;
    let (segments, strays): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| segment::is_name(name));
    for stray in strays {
        tracing::warn!(file = %folder.join(stray).display(), "the evidence log ignores a file in its folder that is not a segment: move the file elsewhere");
    }
    Ok(segments.into_iter().map(|name| folder.join(name)).collect())
}

/// `Scan` is a log that is being read.
pub(crate) struct Scan<'a> {
    disk: &'a dyn Disk,
    log: &'a Path,
    pub(crate) state: State,
    /// What was signed last.
    signed: Option<Checkpoint>,
    pub(crate) is_as_signed: bool,
    pub(crate) latest_ms: u64,
    /// Whether tiles that are missing are written.
    repairs: bool,
    /// Streams that are open so far.
    pub(crate) open: BTreeMap<u64, Record>,
}

impl<'a> Scan<'a> {
    /// From the log's beginning.
    pub(crate) fn new(
        disk: &'a dyn Disk,
        log: &'a Path,
        state: State,
        signed: Option<Checkpoint>,
        repairs: bool,
    ) -> Self {
        let is_as_signed = true;
        let latest_ms = 0;
        let open = BTreeMap::new();
        Self { disk, log, state, signed, is_as_signed, latest_ms, repairs, open }
    }

    /// From the segment where `resume` was made; `state` holds its tree.
    pub(crate) fn resumed(
        disk: &'a dyn Disk,
        log: &'a Path,
        state: State,
        signed: &Checkpoint,
        resume: &Resume,
    ) -> Option<Self> {
        let mut open = BTreeMap::new();
        for stream in &resume.open {
            open.insert(stream.index, Record::decode(stream.entry.as_slice()).ok()?);
        }
        let scan = Self::new(disk, log, state, Some(signed.clone()), true);
        Some(Self { open, latest_ms: resume.latest_ms, ..scan })
    }

    /// Reads the log to its end; gives the last segment and the offset where its sound frames end.
    pub(crate) fn all(&mut self) -> Result<Option<(PathBuf, u64)>, Error> {
        self.check()?;
        let mut paths = segments(self.disk, self.log)?;
        let begin = segment::path(self.log, self.state.tiles.size);
        // Names are numbers of one width, so their order is that of the entries.
        paths.retain(|path| *path >= begin);
        let mut last = None;
        for (number, path) in paths.iter().enumerate() {
            let sound = self.segment(path, number + 1 == paths.len())?;
            last = Some((path.clone(), sound));
        }
        let covered = self.state.covered();
        // A log that is shorter than its checkpoint was cut, which no crash does: entries are durable before
        // they are signed.
        if covered > self.state.tiles.size {
            return Err(Error::Checkpoint {
                path: self.log.to_owned(),
                size: covered,
                problem: "it is shorter",
            });
        }
        Ok(last)
    }

    /// Reads the next segment; gives the offset where its sound frames end. Only the log's last one may be
    /// torn.
    pub(crate) fn segment(&mut self, path: &Path, is_last: bool) -> Result<u64, Error> {
        // A segment is named by its first entry, so a gap shows in the name.
        if path != segment::path(self.log, self.state.tiles.size) {
            return Err(Error::Damaged {
                path: path.to_owned(),
                offset: 0,
                problem: "a segment is missing before it",
            });
        }
        let bytes = io("cannot read", path, self.disk.read(path))?;
        // Reading ends at the first frame that is not sound. Whether that is a torn tail or damage is judged
        // below.
        let mut sound = 0;
        while let Some(frame) = bytes.get(sound..).and_then(Frame::at_start) {
            self.entry(frame.entry)?;
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
                tracing::warn!(
                    "the torn tail of the evidence log was cut off: a crash stopped that write before it was acknowledged"
                );
            }
        }
        Ok(sound as u64)
    }

    fn entry(&mut self, entry: &[u8]) -> Result<(), Error> {
        let index = self.state.tiles.size;
        self.state.tiles.add(entry);
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

/// Returns whether a frame of a later group than that of entry `next` begins anywhere. Then the skipped bytes
/// had been durable, and are damaged. A last group that no other group follows was never acknowledged, so any
/// part of it may be missing.
fn followed(rest: &[u8], next: u64) -> bool {
    // Every offset is tried, because the length in a damaged frame does not tell where the next one begins.
    (1..rest.len()).any(|at| rest.get(at..).and_then(Frame::at_start).is_some_and(|frame| frame.group > next))
}

/// Compares full tiles and bundles with their files and writes those that are missing. Files that differ are
/// written again only once the entries are known to be those of the checkpoint (`trusted`): until then it is
/// not known whether the entries or the files were altered.
pub(crate) fn settle(disk: &dyn Disk, log: &Path, tiles: &mut Tiles, trusted: bool) -> Result<(), Error> {
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
            // Bundles are as large as the log, so their content is not compared here; readers check the hash
            // of each entry.
            Ok(_) if file.0.starts_with("tile/entries/") => false,
            Ok(_) => io("cannot read", &path, disk.read(&path))? != *file.1,
        };
        if differs && trusted {
            tracing::warn!(
                file = file.0,
                "a Merkle tile or entry bundle of the evidence log was damaged and is rebuilt: check the disk"
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
