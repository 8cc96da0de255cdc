//! This module verifies a whole log: every frame, record and leaf, the signed tiles and bundles, the
//! checkpoint, and the durable tail after it. One segment is in memory at a time.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chapar_tlog::{Checkpoint, Frontier, Hash, VerifierKey, leaf_hash};

use super::prefix::Streams;
use super::{Invalid, Verified, signed_checkpoint};
use crate::record::pb::Record;

/// Verifies a log's folder against the key that signs it; also while the log is written. The log must extend
/// each checkpoint of `since`, which the same key signed earlier: that finds a log that was put back from an
/// older copy, or forked.
///
/// # Errors
/// [`Invalid`] naming the first file, place and entry that fails.
pub fn directory(path: &Path, trust: &VerifierKey, since: &[Checkpoint]) -> Result<Verified, Invalid> {
    read_directory(path, trust, since, &mut |_, _| {})
}

/// As [`directory`], and shows each record with its index to `visit`, in their order. What it has seen counts
/// only once this has returned: an entry further on may be wrong.
///
/// # Errors
/// As [`directory`].
pub fn read_directory(
    path: &Path,
    trust: &VerifierKey,
    since: &[Checkpoint],
    visit: &mut dyn FnMut(u64, &Record),
) -> Result<Verified, Invalid> {
    // Read before the segments: a log that is being written only grows past it.
    let note = path.join("checkpoint");
    let text = String::from_utf8(read(&note)?).unwrap_or_default();
    let (checkpoint, _) = signed_checkpoint(&text, trust)
        .map_err(|_| wrong(&note, 0, "it is not a checkpoint that the trusted key signed for its log"))?;
    let mut walk = Walk::new(path, checkpoint, since, visit);
    // An empty log is compared too: at size 0 the root must be the empty tree's.
    walk.check_end()?;
    let segments = segments(path)?;
    for (number, segment) in segments.iter().enumerate() {
        walk.segment(segment, number + 1 == segments.len())?;
    }
    let Walk { checkpoint, index, files, since, streams, .. } = walk;
    // A checkpoint is taken away once it has been confirmed, so that one which is left was never reached.
    if let Some(since) = since.first() {
        let problem = format!(
            "{} entries were signed before, the log holds {index}: it was cut or is an older copy",
            since.size
        );
        return Err(Invalid::Log(problem));
    }
    let Some(tail) = index.checked_sub(checkpoint.size) else {
        return Err(Invalid::Log(format!(
            "the checkpoint signs {} entries, the log holds {index}",
            checkpoint.size
        )));
    };
    let lost = streams.lost;
    let lost =
        if lost == 0 { String::new() } else { format!("; {lost} stand where signed entries were lost") };
    let sentence = format!(
        "VALID: log {} holds {index} entries; the first {} are signed by its checkpoint, {tail} are durable and not signed yet{lost}; {files} tiles and bundles agree. Checked offline.",
        checkpoint.origin, checkpoint.size,
    );
    Ok(Verified { sentence, record: None })
}

fn segments(log: &Path) -> Result<Vec<PathBuf>, Invalid> {
    let folder = log.join("segments");
    let unreadable = |source| Invalid::Read { path: folder.clone(), source };
    let entries = std::fs::read_dir(&folder).map_err(unreadable)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    // Other files may lie there (a file manager's, an editor's, NFS's): a segment that is missing is found by
    // its number.
    let is_segment = |name: &str| {
        name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_segment));
    paths.sort();
    Ok(paths)
}

/// A log that is read from its beginning.
struct Walk<'a> {
    log: &'a Path,
    checkpoint: Checkpoint,
    /// Earlier checkpoints that the log must extend, until it is known to.
    since: Vec<Checkpoint>,
    /// The next entry.
    index: u64,
    /// The group of the entry before it.
    group: u64,
    streams: Streams,
    tree: Frontier,
    /// Level → hashes of its unfinished tile.
    tiles: Vec<Vec<Hash>>,
    /// The unfinished bundle.
    bundle: Vec<u8>,
    /// Tiles and bundles that were compared.
    files: u64,
    /// Is shown each record.
    visit: &'a mut dyn FnMut(u64, &Record),
}

/// A frame: length (4 bytes), CRC-32 (4), index of its group's first entry (8), entry; numbers little-endian.
struct Frame<'a> {
    group: u64,
    entry: &'a [u8],
}

fn frame_at(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let bytes = bytes.get(at..)?;
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let sum = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let group = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    // Bounded before the slice, because the length is taken from bytes that are not verified yet.
    if !(1..=65535).contains(&length) {
        return None;
    }
    let entry = bytes.get(16..16 + length as usize)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..4]);
    crc.update(&bytes[8..16]);
    crc.update(entry);
    (crc.finalize() == sum).then_some(Frame { group, entry })
}

impl<'a> Walk<'a> {
    fn new(
        log: &'a Path,
        checkpoint: Checkpoint,
        since: &[Checkpoint],
        visit: &'a mut dyn FnMut(u64, &Record),
    ) -> Self {
        Self {
            log,
            checkpoint,
            since: since.to_vec(),
            index: 0,
            group: 0,
            streams: Streams::default(),
            tree: Frontier::default(),
            tiles: Vec::new(),
            bundle: Vec::new(),
            files: 0,
            visit,
        }
    }

    fn segment(&mut self, path: &Path, is_last: bool) -> Result<(), Invalid> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name != format!("{:016x}", self.index) {
            return Err(wrong(path, 0, "the segment before it is missing or short"));
        }
        let bytes = read(path)?;
        let mut at = 0;
        while at < bytes.len() {
            let entry = EntryPosition { index: self.index, path, offset: at };
            let Some(frame) = frame_at(&bytes, at) else {
                // What is torn was never acknowledged: the last group, which nothing follows and no
                // checkpoint covers.
                let followed = |later| frame_at(&bytes, later).is_some_and(|frame| frame.group > self.index);
                if is_last && self.index >= self.checkpoint.size && !(at + 1..bytes.len()).any(followed) {
                    return Ok(());
                }
                return Err(entry.wrong("the frame is not what was written"));
            };
            // The first frame of a group names its own index, and all others the same one. Anything else was
            // moved or inserted.
            if frame.group != self.index && (frame.group != self.group || self.index == 0) {
                return Err(entry.wrong("the frame is not of the group that stands here"));
            }
            self.group = frame.group;
            self.entry(frame.entry, &entry)?;
            at += 16 + frame.entry.len();
        }
        Ok(())
    }

    fn entry(&mut self, bytes: &[u8], place: &EntryPosition<'_>) -> Result<(), Invalid> {
        let record = self.streams.read(self.index, bytes).map_err(|problem| place.wrong(problem))?;
        (self.visit)(self.index, &record);
        self.index += 1;
        // Entries after the checkpoint are not in its tree, so hashing them would prove nothing.
        if self.index > self.checkpoint.size && self.since.is_empty() {
            return Ok(());
        }
        if self.index > self.checkpoint.size {
            // Not signed yet in this folder, but perhaps by a checkpoint that it is held to. Its tiles may
            // not be there.
            self.tree.push(leaf_hash(bytes), |_, _| {});
            return self.check_since();
        }
        self.bundle.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.bundle.extend_from_slice(bytes);
        self.leaf(leaf_hash(bytes))?;
        if self.index.is_multiple_of(256) {
            let bundle = std::mem::take(&mut self.bundle);
            self.compare("entries", self.index / 256 - 1, 256, &bundle)?;
        }
        self.check_end()
    }

    /// At the size of an earlier checkpoint the root is its root.
    fn check_since(&mut self) -> Result<(), Invalid> {
        let Some(at) = self.since.iter().position(|since| since.size == self.index) else { return Ok(()) };
        let since = self.since.remove(at);
        if since.root != self.tree.root() {
            let problem =
                format!("the first {} entries are others than were signed before: it was forked", since.size);
            return Err(Invalid::Log(problem));
        }
        // Another one may be of the same size.
        self.check_since()
    }

    /// The tree grows by a leaf; the tiles hold every eighth level of it.
    fn leaf(&mut self, leaf: Hash) -> Result<(), Invalid> {
        let mut of_tiles = Vec::new();
        self.tree.push(leaf, |height, root| {
            // Each tile stores the hashes of one level in eight; those between can be computed from it.
            if height % 8 == 0 {
                of_tiles.push((height as usize / 8, root));
            }
        });
        of_tiles.into_iter().try_for_each(|(level, hash)| self.tile(level, hash))
    }

    fn tile(&mut self, level: usize, hash: Hash) -> Result<(), Invalid> {
        if self.tiles.len() <= level {
            self.tiles.push(Vec::new());
        }
        let Some(tile) = self.tiles.get_mut(level) else { return Ok(()) };
        tile.push(hash);
        if tile.len() == 256 {
            let tile = std::mem::take(tile);
            self.compare(
                &level.to_string(),
                (self.index >> (8 * (level + 1))) - 1,
                256,
                tile.as_flattened(),
            )?;
        }
        Ok(())
    }

    /// At the checkpoint's size: the root, the partial tiles and the partial bundle.
    fn check_end(&mut self) -> Result<(), Invalid> {
        self.check_since()?;
        if self.index != self.checkpoint.size {
            return Ok(());
        }
        if self.tree.root() != self.checkpoint.root {
            let problem = format!("the first {} entries are not those that the checkpoint signs", self.index);
            return Err(Invalid::Log(problem));
        }
        let partial = self.tiles.iter().enumerate().filter(|(_, tile)| !tile.is_empty());
        // Copied, because `compare` counts files in `self` while the tiles are borrowed from it.
        let partial: Vec<_> =
            partial.map(|(level, tile)| (level, tile.len(), tile.as_flattened().to_vec())).collect();
        for (level, width, tile) in partial {
            self.compare(&level.to_string(), self.index >> (8 * (level + 1)), width, &tile)?;
        }
        let bundle = std::mem::take(&mut self.bundle);
        let width = usize::try_from(self.index % 256).unwrap_or_default();
        if width == 0 { Ok(()) } else { self.compare("entries", self.index / 256, width, &bundle) }
    }

    /// A file of the tree holds `expected`. A partial one may be gone when the full one has come, which then
    /// begins with it.
    fn compare(&mut self, kind: &str, index: u64, width: usize, expected: &[u8]) -> Result<(), Invalid> {
        let full = self.log.join(format!("tile/{kind}/{}", numbered(index)));
        let mut path = full.clone();
        if width < 256 {
            path = self.log.join(format!("tile/{kind}/{}.p/{width}", numbered(index)));
        }
        // The partial form is read first, and the full one only if that is gone: while the log is written,
        // the publisher removes the partial one after the full one exists.
        let found = match (read(&path), width < 256) {
            (Err(Invalid::Read { source, .. }), true)
                if source.kind() == ErrorKind::NotFound && full.exists() =>
            {
                path = full;
                read(&path).map(|mut bytes| {
                    bytes.truncate(expected.len());
                    bytes
                })
            }
            (found, _) => found,
        }?;
        self.files += 1;
        if found == expected {
            return Ok(());
        }
        let differs =
            found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
        Err(wrong(&path, differs, "it is not what the entries give"))
    }
}

/// C2SP `tlog-tiles`: groups of three digits, all but the last with an `x`.
fn numbered(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// Where an entry stands.
struct EntryPosition<'a> {
    index: u64,
    path: &'a Path,
    offset: usize,
}

impl EntryPosition<'_> {
    fn wrong(&self, problem: &'static str) -> Invalid {
        Invalid::Entry { index: self.index, path: self.path.to_owned(), offset: self.offset as u64, problem }
    }
}

fn wrong(path: &Path, offset: usize, problem: &'static str) -> Invalid {
    Invalid::File { path: path.to_owned(), offset: offset as u64, problem }
}

fn read(path: &Path) -> Result<Vec<u8>, Invalid> {
    std::fs::read(path).map_err(|source| Invalid::Read { path: path.to_owned(), source })
}
