//! Replaces a file so that a reader, and a crash, finds the old one or the new one, whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes `bytes` under another name beside `path`, with the Unix permissions `mode`, and renames it there.
/// Durable when it returns.
///
/// # Errors
/// What the system said; `path` is then as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The dot keeps it from those who read all files of the folder, and the process's number keeps two
    // processes that write the same file apart.
    let draft = &folder.join(format!(".{name}.{}.tmp", std::process::id()));
    // What an earlier process of this number left.
    remove(draft)?;
    let written = (|| {
        // `create_new` follows no existing file or link, and the mode is set at creation, so that a secret is
        // at no moment readable by others.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
        // The file is synced before the rename, and its folder after it, so that a power loss leaves the old
        // file or the new one.
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(draft, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        remove(draft)?;
    }
    written
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        replace(&file, b"one", 0o600).unwrap();
        replace(&file, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
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
}
