//! Reads files that people write: the byte order mark (U+FEFF) that some editors put before UTF-8 is passed
//! over, and a secret that everyone on the machine may read is refused.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Rights of those who are neither a file's owner nor in its group.
const OTHERS: u32 = 0o007;

/// Maximum size in bytes of a file that people write. The largest are revocation lists and descriptor sets.
const MAX_FILE: u64 = 256 << 20;

/// A file's bytes without a byte order mark.
///
/// # Errors
/// What the system said; `FileTooLarge` for more than 256 MiB, of which no more are read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    whole(std::fs::File::open(path)?).map(without_mark)
}

fn whole(file: std::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file has more than 256 MiB"));
    }
    Ok(bytes)
}

/// A file's text without a byte order mark.
///
/// # Errors
/// What the system said; `InvalidData` if the file is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    text(read(path)?)
}

/// The same, of a file that holds no more than `max` bytes; nothing if it holds more, of which no more are
/// read.
///
/// # Errors
/// What the system said.
pub fn read_at_most(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    let is_whole = bytes.len() as u64 <= max;
    Ok(is_whole.then(|| without_mark(bytes)))
}

/// The same; `None` if there is no such file.
///
/// # Errors
/// As [`read_text`].
pub fn read_text_if_any(path: &Path) -> io::Result<Option<String>> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8 text"))
}

fn without_mark(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    bytes
}

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Everyone on the machine may read or write it.
    #[error("is a secret that everyone on this machine may read or write: `chmod o= FILE`")]
    Shared,
}

/// The text of a key or token, without a byte order mark. Its group may read it, as service managers set it
/// up.
///
/// # Errors
/// [`SecretError`].
pub fn read_secret(path: &Path) -> Result<String, SecretError> {
    let file = std::fs::File::open(path)?;
    // The file that is looked at is the one that is read, also if another is renamed into its place
    // meanwhile.
    if file.metadata()?.permissions().mode() & OTHERS != 0 {
        return Err(SecretError::Shared);
    }
    Ok(text(without_mark(whole(file)?))?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_file_without_an_end_is_not_read_for_ever() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_at_the_beginning_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, "\u{FEFF}one\u{FEFF}").unwrap();
        assert_eq!(read_text(&file).unwrap(), "one\u{FEFF}");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(read_text(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_text_if_any(&folder.path().join("b.txt")).unwrap(), None);
        assert_eq!(read_text_if_any(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem");
        std::fs::write(&file, "\u{FEFF}four").unwrap();
        assert_eq!(read_at_most(&file, 7).unwrap(), Some(b"four".to_vec()));
        assert_eq!(read_at_most(&file, 6).unwrap(), None);
    }

    #[test]
    fn a_secret_that_others_may_read_or_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        std::fs::write(&file, "\u{FEFF}secret").unwrap();
        let with = |mode| {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            read_secret(&file)
        };
        for mode in [0o600, 0o640, 0o400] {
            assert_eq!(with(mode).unwrap(), "secret", "{mode:o}");
        }
        for mode in [0o644, 0o602] {
            assert!(matches!(with(mode), Err(SecretError::Shared)), "{mode:o}");
        }
    }
}
