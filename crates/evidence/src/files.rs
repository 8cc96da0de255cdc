//! This module writes files atomically and durably: a file is written under a temporary name, synced and
//! renamed, and its folder is synced after that. So a power loss leaves the complete file or none.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Error;
use crate::disk::{Disk, is_full};

/// A file's path in the log's folder, and its bytes.
pub(crate) type Named = (String, Arc<Vec<u8>>);

/// Adds what was tried and on which path to an error of the system.
pub(crate) fn io<T>(what: &'static str, path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Io { what, path: path.to_owned(), source })
}

/// Does the same for an operation that may need room on the disk, and maps want of room to [`Error::Full`].
/// It is not for a sync: after a failed sync nothing is known of what was written, whatever the cause, so it
/// must not be retried.
pub(crate) fn io_with_room<T>(what: &'static str, path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| match is_full(&source) {
        true => Error::Full { path: path.to_owned(), source },
        false => Error::Io { what, path: path.to_owned(), source },
    })
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    io("cannot sync", path, disk.sync_folder(path))
}

/// The folder that holds a path's name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those above it that do not exist, durably.
pub(crate) fn make_folder(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    if disk.is_folder(path) {
        return Ok(());
    }
    // The folder above comes first and is synced, because a name is durable only if the folder that holds it
    // is.
    make_folder(disk, parent(path))?;
    match disk.create_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && disk.is_folder(path) => {}
        made => io_with_room("cannot create", path, made)?,
    }
    sync_folder(disk, parent(path))
}

/// Writes a file under a temporary name, syncs it and renames it. The folder is not synced yet.
fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let file = io_with_room("cannot create", &temporary, disk.create(&temporary))?;
    let written = io_with_room("cannot write", &temporary, file.write_all_at(bytes, 0));
    if written.is_err() {
        // The partial file is removed, because it would take the room that is missing.
        disk.remove(&temporary).ok();
    }
    written?;
    // The content is durable before the rename, else a power loss could leave the new name with an empty
    // file.
    io("cannot sync", &temporary, file.sync_all())?;
    io_with_room("cannot rename to", path, disk.rename(&temporary, path))
}

/// Puts a file in the place of an older one.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    put(disk, path, bytes)?;
    sync_folder(disk, parent(path))
}

/// Writes files into a log's folder; each folder is synced once, at the end.
pub(crate) fn put_all(disk: &dyn Disk, log: &Path, files: &[Named]) -> Result<(), Error> {
    let mut folders = BTreeSet::<PathBuf>::new();
    for (name, bytes) in files {
        // A folder is made once for all files of a checkpoint, since each `make_folder` may cost a sync.
        let path = log.join(name);
        let folder = parent(&path);
        if !folders.contains(folder) {
            make_folder(disk, folder)?;
            folders.insert(folder.to_owned());
        }
        put(disk, &path, bytes)?;
    }
    folders.iter().try_for_each(|folder| sync_folder(disk, folder))
}
