//! Segments are append-only files of framed entries. A frame is a header of 16 bytes and the entry. The
//! header has, in little-endian, the entry's length (u32), a CRC-32 of all the rest of the frame (u32), and
//! the index of the first entry of its group (u64).
//!
//! A group is the entries of one group commit. Its index tells a torn tail from damage: a torn last group was
//! never acknowledged, but a group that another one follows was on disk.
//!
//! The current segment ends in zeros that are written ahead, because overwriting allocated blocks costs one
//! disk wait, and growing a file costs the journal's wait as well. A segment that is full or closed ends with
//! its last frame.

use std::path::{Path, PathBuf};

use crate::config::Error;
use crate::disk::{Disk, DiskFile};
use crate::files::{io, io_with_room, sync_folder};

/// Bytes before an entry.
pub(crate) const HEADER: usize = 16;
/// The longest entry: what a C2SP entry bundle can hold.
pub(crate) const MAX_ENTRY: usize = u16::MAX as usize;
/// A segment that has grown past this is followed by a new one. A start reads the newest: 16 MiB are some
/// 50,000 records, which take about a tenth of a second.
pub(crate) const SEGMENT_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 16 << 20 };

/// Zeros that are written after the entries, each time the last ones are used up.
const PREALLOCATED_ZEROS: &[u8] = &[0; if cfg!(test) { 8 << 10 } else { 256 << 10 }];

/// The folder of the segments.
pub(crate) fn folder(log: &Path) -> PathBuf {
    log.join("segments")
}

/// The path of the segment whose first entry is `first`.
pub(crate) fn path(log: &Path, first: u64) -> PathBuf {
    folder(log).join(format!("{first:016x}"))
}

/// Whether a file in the folder is a segment, by its name.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A frame that is whole and sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame<'a> {
    /// Index of the first entry of the group.
    pub(crate) group: u64,
    pub(crate) entry: &'a [u8],
}

impl Frame<'_> {
    /// Appends the frame to a buffer.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.entry.len()).unwrap_or(u32::MAX).to_le_bytes();
        let group = self.group.to_le_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&crc(&length, &group, self.entry).to_le_bytes());
        out.extend_from_slice(&group);
        out.extend_from_slice(self.entry);
    }
}

impl<'a> Frame<'a> {
    /// The frame that begins a slice; nothing if it is not whole and sound.
    pub(crate) fn at_start(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let (group, rest) = rest.split_first_chunk::<8>()?;
        let entry = rest.get(..u32::from_le_bytes(*length) as usize)?;
        let sound =
            // A length of zero is refused, because zeros that were written ahead would be read as sound
            // frames of nothing.
            (1..=MAX_ENTRY).contains(&entry.len()) && crc(length, group, entry) == u32::from_le_bytes(*sum);
        sound.then_some(Self { group: u64::from_le_bytes(*group), entry })
    }
}

fn crc(length: &[u8], group: &[u8], entry: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [length, group, entry] {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The segment that is appended to.
pub(crate) struct Segment {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Bytes of sound frames.
    pub(crate) length: u64,
    /// Bytes of the file that have been written: frames, and zeros after them.
    written: u64,
}

impl Segment {
    /// Makes a new segment and its name in the folder durable.
    pub(crate) fn create(disk: &dyn Disk, log: &Path, first: u64) -> Result<Self, Error> {
        let path = path(log, first);
        // `create_new`: a segment that exists already holds entries that this process does not know.
        let file = io_with_room("cannot create", &path, disk.create_new(&path))?;
        sync_folder(disk, &folder(log))?;
        Ok(Self { path, file, length: 0, written: 0 })
    }

    /// Opens the last segment and cuts what comes after `length` bytes.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf, length: u64) -> Result<Self, Error> {
        let file = io("cannot open", &path, disk.open(&path))?;
        // The file is synced even if nothing is cut: bytes that an earlier process wrote can be read back
        // before they are on disk.
        io("cannot cut", &path, file.set_len(length).and_then(|()| file.sync_all()))?;
        // A process that was killed may have made the file and not come to sync its name.
        sync_folder(disk, path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self { path, file, length, written: length })
    }

    /// Appends and waits for the disk.
    ///
    /// # Errors
    /// [`Error::Full`] if there is no room: nothing was synced, and the same may be tried again. After any
    /// other error the segment must not be used again: the kernel may have dropped what it could not write,
    /// and a second sync would not tell.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let end = self.length + bytes.len() as u64;
        io_with_room("cannot write", &self.path, self.file.write_all_at(bytes, self.length))?;
        if end > self.written {
            // The zeros only save time. If there is no room for them, the entries are appended without.
            match io_with_room("cannot write", &self.path, self.file.write_all_at(PREALLOCATED_ZEROS, end)) {
                Ok(()) => self.written = end + PREALLOCATED_ZEROS.len() as u64,
                Err(Error::Full { .. }) => self.written = end,
                Err(error) => return Err(error),
            }
        }
        io("cannot sync", &self.path, self.file.sync_data())?;
        self.length = end;
        Ok(())
    }

    /// Cuts the zeros off: nothing more will be appended.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.written = self.length;
        io("cannot cut", &self.path, self.file.set_len(self.length).and_then(|()| self.file.sync_all()))
    }

    /// Whether the file is still at its path and as long as what was written to it.
    ///
    /// # Errors
    /// [`Error::Moved`] if not.
    pub(crate) fn check_place(&self, disk: &dyn Disk) -> Result<(), Error> {
        let moved = |change| Error::Moved { path: self.path.clone(), change };
        // The open file is checked as well: a segment whose file was replaced would go on taking writes to a
        // file without a name.
        let (own, length) = io("cannot look at", &self.path, self.file.stat())?;
        match disk.identity(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(moved("removed or renamed")),
            Err(source) => io("cannot look at", &self.path, Err(source)),
            Ok(found) if found != own => Err(moved("replaced")),
            Ok(_) if length < self.length => Err(moved("cut")),
            Ok(_) => Ok(()),
        }
    }

    /// A segment on a disk that refuses every write.
    #[cfg(test)]
    pub(crate) fn refusing(path: PathBuf) -> Self {
        let file = Box::new(std::fs::File::open(&path).unwrap());
        Self { file, path, length: 0, written: 0 }
    }
}
