//! `SlowDisk` is a disk whose syncs take as long as a test says, and that remembers when each was done. It is
//! for tests of what must wait for the disk, and of what must not wait for ever. Everything else is the
//! operating system's.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chapar_evidence::{Disk, DiskFile, Identity, OsDisk};
use parking_lot::Mutex;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SlowDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How long `fdatasync` takes.
    delay: Mutex<Duration>,
    /// How long it takes to sync what is published: whole files and folders.
    publish_delay: Mutex<Duration>,
    /// How long it takes to read a file.
    read_delay: Mutex<Duration>,
    synced: Mutex<Vec<Synced>>,
    /// Bytes that are said to be free, if not what the system says.
    free: Mutex<Option<u64>>,
}

/// One `fdatasync` that is done.
#[derive(Clone, Debug)]
pub struct Synced {
    /// The file.
    pub path: PathBuf,
    /// Where its data ended when the sync began: zeros that are written ahead are not counted.
    pub end: u64,
    /// When it was done.
    pub at: Instant,
}

impl SlowDisk {
    /// Every later sync takes this long.
    pub fn set_delay(&self, delay: Duration) {
        *self.0.delay.lock() = delay;
    }

    /// Every later sync of what is published takes this long.
    pub fn set_publish_delay(&self, delay: Duration) {
        *self.0.publish_delay.lock() = delay;
    }

    /// Every later reading of a file takes this long.
    pub fn set_read_delay(&self, delay: Duration) {
        *self.0.read_delay.lock() = delay;
    }

    /// Says that so many bytes are free; or what the system says.
    pub fn pretend_free(&self, free: Option<u64>) {
        *self.0.free.lock() = free;
    }

    /// All syncs so far, in order.
    pub fn synced(&self) -> Vec<Synced> {
        self.0.synced.lock().clone()
    }

    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(SlowFile { path: path.to_owned(), file, end: AtomicU64::new(0), disk: self.clone() })
    }
}

impl Disk for SlowDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        OsDisk.create_new(path).map(|file| self.file(path, file))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        OsDisk.create(path).map(|file| self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        OsDisk.open(path).map(|file| self.file(path, file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let delay = *self.0.read_delay.lock();
        std::thread::sleep(delay);
        OsDisk.read(path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        OsDisk.len(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(folder)
    }

    fn is_folder(&self, path: &Path) -> bool {
        OsDisk.is_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_folder(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        OsDisk.sync_folder(folder)
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        OsDisk.identity(path)
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let pretended = *self.0.free.lock();
        pretended.map_or_else(|| OsDisk.free(folder), Ok)
    }

    fn lock(&self, folder: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        OsDisk.lock(folder)
    }
}

#[derive(Debug)]
struct SlowFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    end: AtomicU64,
    disk: SlowDisk,
}

impl DiskFile for SlowFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.file.write_at(bytes, offset)?;
        if bytes.iter().any(|byte| *byte != 0) {
            self.end.fetch_max(offset + written as u64, Ordering::Relaxed);
        }
        Ok(written)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let end = self.end.load(Ordering::Relaxed);
        let delay = *self.disk.0.delay.lock();
        std::thread::sleep(delay);
        self.file.sync_data()?;
        self.disk.0.synced.lock().push(Synced { path: self.path.clone(), end, at: Instant::now() });
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        let delay = *self.disk.0.publish_delay.lock();
        std::thread::sleep(delay);
        self.file.sync_all()
    }

    fn stat(&self) -> io::Result<(Identity, u64)> {
        self.file.stat()
    }
}
