//! This module reads entry bundles (C2SP `tlog-tiles`), from memory or from their files. A bundle has 256
//! entries in one file, each with its length as a big-endian u16 before it. Whether the entries belong to the
//! tree is not checked here: the caller compares the leaf hash.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Error;
use crate::disk::Disk;
use crate::files::io;

/// Appends an entry to a bundle.
pub(crate) fn put(bundle: &mut Vec<u8>, entry: &[u8]) {
    // The writer takes no entry that is longer (`MAX_ENTRY`).
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The first entry of a bundle, and what follows it; nothing if the bundle ends before.
pub(crate) fn split(bundle: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bundle.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The entry that `before` entries precede; nothing if the bundle holds fewer.
pub(crate) fn nth(bundle: &[u8], before: u64) -> Option<&[u8]> {
    let mut rest = bundle;
    for _ in 0..before {
        rest = split(rest)?.1;
    }
    split(rest).map(|(entry, _)| entry)
}

/// All entries of a bundle; nothing if it ends within one.
pub(crate) fn entries(bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, after) = split(rest)?;
        entries.push(entry);
        rest = after;
    }
    Some(entries)
}

/// Where an entry is, and those after it in its bundle.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    /// In memory: its bundle, which is not in a file yet, and the number of entries before it there.
    Here(Arc<Vec<u8>>, u64),
    /// In the file of this name, after this number of other entries.
    File(String, u64),
}

impl Stored {
    /// The entry's bytes.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] if the file holds fewer entries than it should.
    pub(crate) fn read(self, disk: &dyn Disk, log: &Path) -> Result<Vec<u8>, Error> {
        let (bundle, before, path) = self.bundle(disk, log)?;
        let entry = nth(&bundle, before).map(<[u8]>::to_vec);
        entry.ok_or(Error::Damaged {
            path,
            offset: 0,
            problem: "the bundle holds fewer entries than it should",
        })
    }

    /// The entry and those after it in its bundle.
    ///
    /// # Errors
    /// As [`Stored::read`].
    pub(crate) fn read_rest(self, disk: &dyn Disk, log: &Path) -> Result<Vec<Vec<u8>>, Error> {
        let (bundle, before, path) = self.bundle(disk, log)?;
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        let rest = entries(&bundle).and_then(|all| Some(all.get(before..)?.to_vec()));
        let rest = rest.filter(|rest| !rest.is_empty()).ok_or(Error::Damaged {
            path,
            offset: 0,
            problem: "the bundle holds fewer entries than it should",
        })?;
        Ok(rest.into_iter().map(<[u8]>::to_vec).collect())
    }

    fn bundle(self, disk: &dyn Disk, log: &Path) -> Result<(Arc<Vec<u8>>, u64, PathBuf), Error> {
        match self {
            Self::Here(bundle, before) => Ok((bundle, before, log.to_owned())),
            Self::File(name, before) => {
                let path = log.join(name);
                let bundle = io("cannot read", &path, disk.read(&path))?;
                Ok((Arc::new(bundle), before, path))
            }
        }
    }
}
