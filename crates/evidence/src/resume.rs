//! The resume file lets a start read only the newest segments, so that its time does not grow with the log:
//! it keeps the tree's right edge, the open streams and the latest time as they were where a segment begins.
//!
//! It lies beside the state file and is not trusted: the tree that grows from it must have the signed root,
//! and a start for which it does not reads the whole log. What lies before it is read again after the start
//! (`recheck`).

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message as _;

use crate::config::Error;
use crate::disk::Disk;
use crate::files::{make_folder, replace};

/// The file's name in the state folder.
const NAME: &str = "resume";

/// Length in bytes of the SHA-256 before the message. The hash finds damage; it does not protect against
/// someone who edits the file, since anyone can compute it.
const DIGEST: usize = 32;

/// A log where one of its segments begins.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resume {
    /// The log's name.
    #[prost(string, tag = "1")]
    pub(crate) origin: String,
    /// Entries before the segment, which is its name.
    #[prost(uint64, tag = "2")]
    pub(crate) size: u64,
    /// Level → the hashes of its unfinished tile, 32 bytes each.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) edge: Vec<Vec<u8>>,
    /// The entries of the unfinished bundle, as a bundle has them.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) bundle: Vec<u8>,
    /// Latest `time_unix_ms` of the entries.
    #[prost(uint64, tag = "5")]
    pub(crate) latest_ms: u64,
    /// Streams without an end.
    #[prost(message, repeated, tag = "6")]
    pub(crate) open: Vec<OpenStream>,
}

/// A stream without an end.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OpenStream {
    /// Index of the entry that opened it.
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    /// That entry.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) entry: Vec<u8>,
}

fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Reads the file of the log `origin`. Whatever is wrong with it costs only the time to read the whole log.
pub(crate) fn read(disk: &dyn Disk, folder: &Path, origin: &str) -> Option<Resume> {
    let bytes = disk.read(&path(folder)).ok()?;
    let (sum, message) = bytes.split_at_checked(DIGEST)?;
    if digest(&SHA256, message).as_ref() != sum {
        tracing::warn!("the evidence log's resume file is damaged: the whole log is read at this start");
        return None;
    }
    Resume::decode(message).ok().filter(|resume| resume.origin == origin)
}

/// Writes the file, durably.
pub(crate) fn write(disk: &dyn Disk, folder: &Path, resume: &Resume) -> Result<(), Error> {
    let message = resume.encode_to_vec();
    make_folder(disk, folder)?;
    replace(disk, &path(folder), &[digest(&SHA256, &message).as_ref(), &message].concat())
}

/// Removes the file: the next start reads the whole log.
pub(crate) fn remove(disk: &dyn Disk, folder: &Path) {
    // An error is dropped: if the file stays, the next start still compares the log with the signed root.
    disk.remove(&path(folder)).ok();
}
