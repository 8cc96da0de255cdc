//! This module keeps the last signed checkpoint apart from the log (rollback protection): a log folder that
//! is an older copy, was cut or was replaced does not match it, and must not be signed again (Sunlight's
//! checkpoint store serves the same end).
//!
//! The file is durable before the checkpoint is published, and is read only when a log is opened or checked.
//! What to do about a loss is in `accept_loss`.

use std::io;
use std::path::{Path, PathBuf};

use chapar_tlog::{Checkpoint, VerifierKey, open_note};

use crate::config::Error;
use crate::disk::Disk;
use crate::files::{io, make_folder, replace};

/// The file's name in its folder.
const NAME: &str = "last-signed";

/// The path of the note of the newest checkpoint in a log's state folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Reads the file; none if there is none.
///
/// # Errors
/// [`Error::Damaged`] if it is not what this log's key signed.
pub(crate) fn read(disk: &dyn Disk, folder: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, Error> {
    let path = path(folder);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return io("cannot read", &path, Err(source)),
    };
    let damaged = |problem| Error::Damaged { path: path.clone(), offset: 0, problem };
    let note = String::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    // A file that cannot be verified is an error and not a missing one: else damaging it would switch the
    // protection off.
    let text = open_note(&note, key).map_err(|_| damaged("it is not signed by this log's key"))?;
    text.parse().map(Some).map_err(|_| damaged("it is no checkpoint"))
}

/// Writes the file, durably.
pub(crate) fn write(disk: &dyn Disk, folder: &Path, note: &str) -> Result<(), Error> {
    make_folder(disk, folder)?;
    replace(disk, &path(folder), note.as_bytes())
}
