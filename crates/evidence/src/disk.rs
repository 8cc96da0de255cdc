//! `Disk` is the file system as the log uses it: a narrow trait, so that tests run the real writer over a
//! disk that loses, tears, reorders and refuses writes (`tests/crash`). Callers decide what is synced when,
//! and what an error means.

pub(crate) mod reserve;

use std::any::Any;
use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Device and inode of a file or folder.
pub type Identity = (u64, u64);

/// Files and folders. Every method may fail as its system call does.
#[expect(missing_docs, reason = "each method is the system call of its name")]
pub trait Disk: Debug + Send + Sync {
    /// Makes a file that does not exist, for reading and writing.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a file, or empties the one that exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Bytes in a file.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Names in a folder, sorted.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    fn is_folder(&self, path: &Path) -> bool;
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and what is in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    fn identity(&self, path: &Path) -> io::Result<Identity>;
    /// Bytes that an unprivileged process may still write to the file system of a folder.
    fn free(&self, folder: &Path) -> io::Result<u64>;
    /// Locks a folder against other processes until the value is dropped; none if one of them has it.
    fn lock(&self, folder: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
}

/// One open file.
#[expect(missing_docs, reason = "each method is the system call of its name")]
pub trait DiskFile: Debug + Send {
    /// Bytes written, perhaps fewer than given.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn sync_all(&self) -> io::Result<()>;
    /// Identity and length of the file itself, whatever stands at its path now.
    fn stat(&self) -> io::Result<(Identity, u64)>;
}

impl dyn DiskFile {
    /// Writes all of `bytes`, in as many calls as it takes.
    pub(crate) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            // POSIX allows a short write. One that writes nothing would loop for ever.
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
                // A signal that interrupts the call is not a failure of the disk, and must not poison the
                // log.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether an error says that there is no room, which may change (ENOSPC, EDQUOT), and not that the disk is
/// broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The operating system's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        boxed(reserve::open(|| OpenOptions::new().create_new(true).read(true).write(true).open(path)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        boxed(reserve::open(|| {
            OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        boxed(reserve::open(|| OpenOptions::new().read(true).write(true).open(path)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        reserve::open(|| std::fs::read(path))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        path.metadata().map(|metadata| metadata.len())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into())
        };
        let mut names: Vec<String> =
            reserve::open(|| std::fs::read_dir(folder))?.map(name).collect::<io::Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        reserve::open(|| File::open(folder))?.sync_all()
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        path.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// The folder itself is locked (`flock(2)`), not a file in it, which could be removed and made again
    /// under the lock.
    fn lock(&self, folder: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let folder = reserve::open(|| File::open(folder))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(Box::new(folder))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn boxed(file: io::Result<File>) -> io::Result<Box<dyn DiskFile>> {
    file.map(|file| Box::new(file) as Box<dyn DiskFile>)
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn stat(&self) -> io::Result<(Identity, u64)> {
        self.metadata().map(|metadata| ((metadata.dev(), metadata.ino()), metadata.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_the_kernel_refuses_is_an_error() {
        // The kernel answers EINVAL for a device without storage and for a folder of procfs.
        let null = OsDisk.open(Path::new("/dev/null")).unwrap();
        let synced = [null.sync_data(), null.sync_all(), OsDisk.sync_folder(Path::new("/proc/self"))];
        let refused = synced.map(|synced| synced.map_err(|error| error.kind()));
        assert_eq!(refused, [Err(io::ErrorKind::InvalidInput); 3]);
    }
}
