//! `SimDisk` is a disk in memory that models what a crash may take: writes without a later sync are lost,
//! kept, or torn at sectors, each by chance, and so are names in a folder until the folder is synced. It can
//! also fail one call, or make writes short.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, Identity};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// One thing that happened to the disk, or that the test says has happened.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create {
        path: PathBuf,
        file: usize,
    },
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        file: usize,
        length: usize,
    },
    SyncFile {
        file: usize,
    },
    CreateFolder {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    SyncFolder {
        path: PathBuf,
    },
    /// Callers were told of all entries below this index.
    Acknowledged {
        size: u64,
    },
}

/// Which promises the disk keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// The call of this number (from 0) fails with this error.
    pub(super) fail: Option<(usize, io::ErrorKind)>,
    /// So many calls after it fail too, if they need room.
    pub(super) and_more: usize,
    /// Writes take a part of what they are given.
    pub(super) short_writes: bool,
    /// `fdatasync` and `fsync` of files do nothing.
    pub(super) no_file_sync: bool,
    /// `fsync` of folders does nothing.
    pub(super) no_folder_sync: bool,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, Node>,
    history: Vec<Op>,
    calls: usize,
    faults: Faults,
    failed_at: Option<usize>,
    failed_a_sync: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Node {
    File(usize),
    Folder,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct SimDisk(Arc<Mutex<Inner>>);

/// A small generator: the same seed, the same crash.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn chance(&mut self) -> bool {
        self.next() >> 32 & 1 == 1
    }
}

impl SimDisk {
    pub(super) fn with(faults: Faults) -> Self {
        let disk = Self::default();
        disk.0.lock().faults = faults;
        disk
    }

    /// The same disk with these faults from now on.
    pub(super) fn failing(self, faults: Faults) -> Self {
        self.0.lock().faults = faults;
        self
    }

    pub(super) fn acknowledged(&self, size: u64) {
        self.0.lock().history.push(Op::Acknowledged { size });
    }

    pub(super) fn history(&self) -> Vec<Op> {
        self.0.lock().history.clone()
    }

    /// Calls so far that can fail.
    pub(super) fn calls(&self) -> usize {
        self.0.lock().calls
    }

    /// How much of the history there was when a call failed.
    pub(super) fn failed_at(&self) -> Option<usize> {
        self.0.lock().failed_at
    }

    /// Whether a call failed that cannot be for want of room alone.
    pub(super) fn failed_a_sync(&self) -> bool {
        self.0.lock().failed_a_sync
    }

    /// What the disk holds after a crash in the middle of `history`.
    pub(super) fn after_crash(history: &[Op], random: &mut Random) -> Self {
        let mut durable = Durable::default();
        history.iter().for_each(|op| durable.take(op));
        durable.crash(random)
    }

    /// Counts a call that can fail; `needs_room` if ENOSPC is possible.
    fn call(inner: &mut Inner, needs_room: bool) -> io::Result<()> {
        let call = inner.calls;
        inner.calls += 1;
        let Some((number, kind)) = inner.faults.fail else { return Ok(()) };
        let fails = call == number || needs_room && (number..=number + inner.faults.and_more).contains(&call);
        if !fails {
            return Ok(());
        }
        inner.failed_at.get_or_insert(inner.history.len());
        inner.failed_a_sync |= !needs_room;
        Err(kind.into())
    }

    fn open_node(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match self.0.lock().names.get(path) {
            Some(Node::File(file)) => Ok(Box::new(SimFile { disk: self.clone(), file: *file })),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// What is durable for certain, and what may be.
#[derive(Default)]
struct Durable {
    files: BTreeMap<usize, (Vec<u8>, Vec<Op>)>,
    /// Folder → durable names in it, and changes that may be durable.
    folders: BTreeMap<PathBuf, (BTreeMap<PathBuf, Node>, Vec<Change>)>,
    volatile: BTreeMap<PathBuf, Node>,
}

#[derive(Clone)]
struct Change {
    path: PathBuf,
    node: Option<Node>,
}

impl Durable {
    fn take(&mut self, op: &Op) {
        match op {
            Op::Create { path, file } => {
                self.files.entry(*file).or_default();
                self.name(path, Some(Node::File(*file)));
            }
            Op::CreateFolder { path } => self.name(path, Some(Node::Folder)),
            Op::Remove { path } => self.name(path, None),
            Op::Rename { from, to } => {
                let node = self.volatile.get(from).copied();
                self.name(to, node);
                self.name(from, None);
            }
            Op::Write { file, .. } | Op::SetLen { file, .. } => {
                self.files.entry(*file).or_default().1.push(op.clone())
            }
            Op::SyncFile { file } => {
                let (bytes, pending) = self.files.entry(*file).or_default();
                pending.drain(..).for_each(|op| apply(bytes, &op, |_| true));
            }
            Op::SyncFolder { path } => {
                let (names, pending) = self.folders.entry(path.clone()).or_default();
                pending.drain(..).for_each(|change| rename(names, &change));
            }
            Op::Acknowledged { .. } => {}
        }
    }

    fn name(&mut self, path: &Path, node: Option<Node>) {
        let change = Change { path: path.to_owned(), node };
        rename(&mut self.volatile, &change);
        self.folders.entry(path.parent().unwrap().to_owned()).or_default().1.push(change);
    }

    fn crash(self, random: &mut Random) -> SimDisk {
        let mut inner = Inner::default();
        for (file, (mut bytes, pending)) in self.files {
            // All, none, or each by chance: the extremes are the likeliest on a real disk.
            let mood = random.next() % 4;
            for op in &pending {
                apply(&mut bytes, op, |_| mood == 0 || mood > 1 && random.chance());
            }
            inner.files.resize(inner.files.len().max(file + 1), Vec::new());
            inner.files[file] = bytes;
        }
        let mut names = BTreeMap::new();
        for (durable, pending) in self.folders.into_values() {
            names.extend(durable);
            pending.iter().filter(|_| random.chance()).for_each(|change| rename(&mut names, change));
        }
        // What stands in a folder that is not there is not there either.
        let is_folder = |names: &BTreeMap<PathBuf, Node>, path: &Path| {
            path == Path::new("/") || names.get(path) == Some(&Node::Folder)
        };
        let kept =
            names.iter().filter(|(path, _)| path.ancestors().skip(1).all(|above| is_folder(&names, above)));
        inner.names = kept.map(|(path, node)| (path.clone(), *node)).collect();
        SimDisk(Arc::new(Mutex::new(inner)))
    }
}

fn rename(names: &mut BTreeMap<PathBuf, Node>, change: &Change) {
    match change.node {
        Some(node) => drop(names.insert(change.path.clone(), node)),
        None => drop(names.remove(&change.path)),
    }
}

/// Applies a write or a change of length; of a write those sectors that `kept` lets through.
fn apply(bytes: &mut Vec<u8>, op: &Op, mut kept: impl FnMut(usize) -> bool) {
    match op {
        Op::SetLen { length, .. } if kept(0) => bytes.resize(*length, 0),
        Op::Write { offset, bytes: written, .. } => {
            let mut at = *offset;
            let mut rest = written.as_slice();
            while !rest.is_empty() {
                let (sector, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                if kept(at / SECTOR) {
                    bytes.resize(bytes.len().max(at + sector.len()), 0);
                    bytes[at..at + sector.len()].copy_from_slice(sector);
                }
                (at, rest) = (at + sector.len(), after);
            }
        }
        _ => {}
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.0.lock().names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.create(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock();
        Self::call(&mut inner, true)?;
        // A file that is emptied is another one, so that the old bytes may be what a crash leaves.
        inner.files.push(Vec::new());
        let file = inner.files.len() - 1;
        inner.names.insert(path.to_owned(), Node::File(file));
        inner.history.push(Op::Create { path: path.to_owned(), file });
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_node(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.0.lock();
        match inner.names.get(path) {
            Some(Node::File(file)) => Ok(inner.files[*file].clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.read(path).map(|bytes| bytes.len() as u64)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock();
        let inside = inner.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn is_folder(&self, path: &Path) -> bool {
        path == Path::new("/") || self.0.lock().names.get(path) == Some(&Node::Folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        Self::call(&mut inner, true)?;
        inner.names.insert(path.to_owned(), Node::Folder);
        inner.history.push(Op::CreateFolder { path: path.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        inner.history.push(Op::Remove { path: path.to_owned() });
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let inside: Vec<PathBuf> =
            self.0.lock().names.keys().filter(|inside| inside.starts_with(path)).cloned().collect();
        inside.iter().rev().try_for_each(|path| self.remove(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        Self::call(&mut inner, true)?;
        let node = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), node);
        inner.history.push(Op::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        Self::call(&mut inner, false)?;
        if !inner.faults.no_folder_sync {
            inner.history.push(Op::SyncFolder { path: folder.to_owned() });
        }
        Ok(())
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        match self.0.lock().names.get(path) {
            Some(Node::File(file)) => Ok((0, *file as u64)),
            Some(Node::Folder) => Ok((1, 0)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        Ok(Some(Box::new(())))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SimFile {
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        SimDisk::call(&mut inner, false)?;
        if !inner.faults.no_file_sync {
            inner.history.push(Op::SyncFile { file: self.file });
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.0.lock();
        SimDisk::call(&mut inner, true)?;
        if inner.faults.short_writes && inner.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = if inner.faults.short_writes { bytes.len().div_ceil(2) } else { bytes.len() };
        let offset = usize::try_from(offset).unwrap();
        let bytes = bytes[..length].to_vec();
        let op = Op::Write { file: self.file, offset, bytes };
        apply(&mut inner.files[self.file], &op, |_| true);
        inner.history.push(op);
        Ok(length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        SimDisk::call(&mut inner, false)?;
        let op = Op::SetLen { file: self.file, length: usize::try_from(length).unwrap() };
        apply(&mut inner.files[self.file], &op, |_| true);
        inner.history.push(op);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn stat(&self) -> io::Result<(Identity, u64)> {
        let inner = self.disk.0.lock();
        Ok(((0, self.file as u64), inner.files[self.file].len() as u64))
    }
}
