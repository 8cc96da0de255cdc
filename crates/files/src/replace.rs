//! Replaces a file so that a reader, and a crash, finds the old one or the new one, whole.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Writes `bytes` under another name beside `path`, with the Unix permissions `mode`, and renames it there. A
/// link is followed: what it points to is what others read. Durable when it returns, where the file system
/// can sync folders.
///
/// # Errors
/// What the system said. `path` is then as it was, unless the sync after the rename failed.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = target(path)?;
    let folder = folder_of(&path);
    // Opened before the rename, so that what cannot be synced is not replaced first.
    let names = File::open(folder)?;
    // The dot keeps the draft from those who read all files of the folder. It is removed if this fails.
    let mut draft = tempfile::Builder::new()
        .prefix(".chapar-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    draft.write_all(bytes)?;
    // The file is synced before the rename, and its folder after it, so that a power loss leaves the old file
    // or the new one.
    draft.as_file().sync_all()?;
    draft.persist(&path)?;
    match names.sync_all() {
        // Some file systems (FUSE, CIFS, 9p) cannot sync a folder.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Whether a file could be made at `path`, or in the nearest folder above it that exists: what a check can
/// tell without writing. Makes a file there and removes it.
///
/// # Errors
/// What the system said.
pub fn can_replace(path: &Path) -> io::Result<()> {
    let folder = path.ancestors().skip(1).find(|folder| folder.as_os_str().is_empty() || folder.exists());
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".chapar-").suffix(".tmp").tempfile_in(folder).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a link leads; the path itself if it is none.
fn target(path: &Path) -> io::Result<PathBuf> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => path.canonicalize(),
        _ => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        replace(&file, b"one", 0o600).unwrap();
        replace(&file, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn where_it_cannot_be_replaced_it_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::create_dir(&file).unwrap();
        std::fs::write(file.join("inside"), "").unwrap();
        replace(&file, b"two", 0o600).unwrap_err();
        assert!(file.join("inside").exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_goes_on_leading_to_the_file_and_one_to_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("published.crl"), "one").unwrap();
        std::os::unix::fs::symlink(at("published.crl"), at("ca.crl")).unwrap();
        replace(&at("ca.crl"), b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(at("published.crl")).unwrap(), b"two");
        std::os::unix::fs::symlink(at("away"), at("ca.key")).unwrap();
        replace(&at("ca.key"), b"two", 0o600).unwrap_err();
        assert!(at("ca.key").symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn a_check_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        can_replace(&folder.path().join("state/inner/a.toml")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join("state"), "no folder").unwrap();
        can_replace(&folder.path().join("state/a.toml")).unwrap_err();
    }
}
