//! Files that are there whole or not at all, also after a power loss: what is written is synced before it gets its name, and the
//! folder that holds the name after it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Error;

/// A file's path in the log's folder, and its bytes.
pub(crate) type Named = (String, Arc<Vec<u8>>);

/// Says what was tried on which path, if the system refuses.
pub(crate) fn io<T>(what: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Io { what, path: path.to_owned(), source })
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    io("cannot sync", path, File::open(path).and_then(|folder| folder.sync_all()))
}

/// The folder that holds a path's name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those above it that do not exist, durably.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    make_folder(parent(path))?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => io("cannot create", path, made)?,
    }
    sync_folder(parent(path))
}

/// Writes a file under a temporary name, syncs it and renames it. The folder is not synced yet.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    io("cannot write", &temporary, written)?;
    io("cannot rename to", path, std::fs::rename(&temporary, path))
}

/// Puts a file in the place of an older one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    put(path, bytes)?;
    sync_folder(parent(path))
}

/// Writes files into a log's folder; each folder is synced once, at the end.
pub(crate) fn put_all(log: &Path, files: &[Named]) -> Result<(), Error> {
    let mut folders = BTreeSet::<PathBuf>::new();
    for (name, bytes) in files {
        let path = log.join(name);
        let folder = parent(&path);
        if !folders.contains(folder) {
            make_folder(folder)?;
            folders.insert(folder.to_owned());
        }
        put(&path, bytes)?;
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}
