//! Segments: files of framed entries, appended to and never changed. A frame is the entry's length and a CRC-32 (both little-endian
//! 32-bit, the CRC over length and entry), then the entry.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::config::Error;

/// Bytes before an entry.
pub(crate) const HEADER: usize = 8;
/// The longest entry: what a C2SP entry bundle can hold.
pub(crate) const MAX_ENTRY: usize = u16::MAX as usize;
/// A segment that has grown past this is followed by a new one.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;

pub(crate) fn io<T>(what: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Io { what, path: path.to_owned(), source })
}

/// The path of the segment whose first entry is `first`.
pub(crate) fn path(log: &Path, first: u64) -> PathBuf {
    log.join("segments").join(format!("{first:016x}"))
}

/// Appends a frame to a buffer.
pub(crate) fn frame(entry: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc(&length, entry).to_le_bytes());
    out.extend_from_slice(entry);
}

fn crc(length: &[u8], entry: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(entry);
    hasher.finalize()
}

/// The entry of the frame that begins a slice; nothing if it is not whole and sound.
pub(crate) fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let length_bytes = bytes.get(..4)?;
    let length = u32::from_le_bytes(length_bytes.try_into().ok()?) as usize;
    let sum = u32::from_le_bytes(bytes.get(4..HEADER)?.try_into().ok()?);
    if length == 0 || length > MAX_ENTRY {
        return None;
    }
    let entry = bytes.get(HEADER..HEADER + length)?;
    (crc(length_bytes, entry) == sum).then_some(entry)
}

/// The segment that is appended to.
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    pub(crate) length: u64,
}

impl Segment {
    /// Makes a new segment and its entry in the folder durable.
    pub(crate) fn create(log: &Path, first: u64) -> Result<Self, Error> {
        let path = path(log, first);
        let file = io("cannot create", &path, OpenOptions::new().create_new(true).read(true).write(true).open(&path))?;
        sync_folder(&log.join("segments"))?;
        Ok(Self { path, file, length: 0 })
    }

    /// Opens the last segment, cutting what comes after `length` bytes.
    pub(crate) fn open(path: PathBuf, length: u64) -> Result<Self, Error> {
        let mut file = io("cannot open", &path, OpenOptions::new().read(true).write(true).open(&path))?;
        if io("cannot read", &path, file.metadata())?.len() != length {
            io("cannot cut", &path, file.set_len(length).and_then(|()| file.sync_all()))?;
        }
        io("cannot open", &path, file.seek(SeekFrom::End(0)))?;
        Ok(Self { path, file, length })
    }

    /// Appends and waits for the disk. After an error the segment must not be used again: the kernel may have dropped what it
    /// could not write, and a second sync would not tell.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        io("cannot write", &self.path, self.file.write_all(bytes).and_then(|()| self.file.sync_data()))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Reads one entry back; its frame must be sound.
pub(crate) fn read_entry(log: &Path, first: u64, offset: u64) -> Result<Vec<u8>, Error> {
    let path = path(log, first);
    let mut file = io("cannot open", &path, File::open(&path))?;
    io("cannot read", &path, file.seek(SeekFrom::Start(offset)))?;
    let mut head = [0; HEADER];
    io("cannot read", &path, file.read_exact(&mut head))?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let mut frame = head.to_vec();
    frame.resize(HEADER + length.min(MAX_ENTRY), 0);
    io("cannot read", &path, file.read_exact(&mut frame[HEADER..]))?;
    unframe(&frame).map(<[u8]>::to_vec).ok_or(Error::Damaged {
        path,
        offset,
        problem: "the frame is not what was written",
    })
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    io("cannot sync", path, File::open(path).and_then(|folder| folder.sync_all()))
}

/// Writes a file so that it is there whole or not at all, also after a power loss.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    io("cannot write", &temporary, written)?;
    io("cannot rename to", path, std::fs::rename(&temporary, path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}
