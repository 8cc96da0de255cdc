//! This module keeps the Merkle tiles over the durable entries. The tree's right edge is in memory, and so
//! are full tiles and bundles until they are in their files. All of it can be rebuilt from the segments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_tlog::{Hash, HashSource, TILE_WIDTH, Tile, entries_path, fold, leaf_hash};

use crate::bundle::{self, Stored};
use crate::config::Error;
use crate::disk::Disk;
use crate::files::{Named, io};
use crate::resume::Resume;

const WIDTH: usize = TILE_WIDTH as usize;

/// The tree's hashes and the entries of the last bundle.
pub(crate) struct Tiles {
    disk: Arc<dyn Disk>,
    log: PathBuf,
    pub(crate) size: u64,
    /// Level → hashes of its unfinished tile, fewer than 256.
    edge: Vec<Vec<Hash>>,
    /// Entries of the unfinished bundle, as the bundle has them.
    bundle: Vec<u8>,
    keeps_bundles: bool,
    /// Full tiles and bundles that are not in their files yet.
    unwritten: BTreeMap<String, Arc<Vec<u8>>>,
    /// Bytes of `unwritten`.
    pub(crate) unwritten_bytes: usize,
    /// Unfinished tiles and bundles that this process has written. Those of others are not trusted: they may
    /// be of entries that were lost since.
    partial_written: BTreeSet<String>,
}

impl Tiles {
    pub(crate) fn new(disk: &Arc<dyn Disk>, log: &Path) -> Self {
        Self {
            disk: Arc::clone(disk),
            log: log.to_owned(),
            size: 0,
            edge: vec![Vec::new()],
            bundle: Vec::new(),
            keeps_bundles: true,
            unwritten: BTreeMap::new(),
            unwritten_bytes: 0,
            partial_written: BTreeSet::new(),
        }
    }

    /// For a reader of the log who needs the hashes only, and writes nothing: 33 bytes of memory for each
    /// entry.
    pub(crate) fn without_bundles(disk: &Arc<dyn Disk>, log: &Path) -> Self {
        Self { keeps_bundles: false, ..Self::new(disk, log) }
    }

    /// The tree where `resume` was made; nothing if what it holds is not the right edge of a tree of its
    /// size.
    pub(crate) fn resumed(disk: &Arc<dyn Disk>, log: &Path, resume: &Resume) -> Option<Self> {
        let mut edge = Vec::new();
        for (level, hashes) in resume.edge.iter().enumerate() {
            let (hashes, []) = hashes.as_chunks::<32>() else { return None };
            let expected = resume.size.checked_shr(8 * u32::try_from(level).ok()?)? % TILE_WIDTH;
            if hashes.len() as u64 != expected {
                return None;
            }
            edge.push(hashes.to_vec());
        }
        let levels = u32::try_from(edge.len()).ok().filter(|levels| *levels > 0)?;
        if resume.size.checked_shr(8 * levels).unwrap_or(0) != 0 {
            return None;
        }
        let entries = bundle::entries(&resume.bundle)?;
        let is_of_edge = edge.first()?.iter().copied().eq(entries.into_iter().map(leaf_hash));
        let bundle = resume.bundle.clone();
        is_of_edge.then_some(Self { size: resume.size, edge, bundle, ..Self::new(disk, log) })
    }

    /// The right edge, as a resume file keeps it.
    pub(crate) fn edge(&self) -> Vec<Vec<u8>> {
        self.edge.iter().map(|hashes| hashes.as_flattened().to_vec()).collect()
    }

    /// The entries of the unfinished bundle, as the bundle has them.
    pub(crate) fn unfinished_bundle(&self) -> &[u8] {
        &self.bundle
    }

    /// Where an entry is; nothing if there is no such entry.
    pub(crate) fn stored(&self, index: u64) -> Option<Stored> {
        if index >= self.size {
            return None;
        }
        let number = index / TILE_WIDTH;
        let before = index % TILE_WIDTH;
        let name = entries_path(number, TILE_WIDTH);
        Some(match self.unwritten.get(&name) {
            Some(full) => Stored::Here(Arc::clone(full), before),
            // The one that still grows is copied: it holds fewer than 256 entries.
            None if number == self.size / TILE_WIDTH => Stored::Here(Arc::new(self.bundle.clone()), before),
            None => Stored::File(name, before),
        })
    }

    /// The hashes as they are now, to be read without a lock: tiles are read back from the disk, which may
    /// take its time. Some kilobytes, whatever the size; bundles are left out.
    pub(crate) fn snapshot(&self) -> Self {
        let mut snapshot = Self::without_bundles(&self.disk, &self.log);
        snapshot.size = self.size;
        snapshot.edge.clone_from(&self.edge);
        // The bytes are shared and not copied: a snapshot is taken for each receipt.
        snapshot.unwritten =
            self.unwritten.iter().map(|(name, bytes)| (name.clone(), Arc::clone(bytes))).collect();
        snapshot
    }

    /// Adds an entry that is on disk.
    pub(crate) fn add(&mut self, entry: &[u8]) {
        if self.keeps_bundles {
            bundle::put(&mut self.bundle, entry);
        }
        self.size += 1;
        // The bundle is closed with its 256th entry. The size is already counted up, hence the minus one.
        if self.keeps_bundles && self.size.is_multiple_of(TILE_WIDTH) {
            let full = std::mem::take(&mut self.bundle);
            self.keep(entries_path(self.size / TILE_WIDTH - 1, TILE_WIDTH), full);
        }
        let mut level = 0;
        let mut hash = leaf_hash(entry);
        // A full tile gives one hash to the level above, which may fill that tile too.
        loop {
            if self.edge.len() == level {
                self.edge.push(Vec::new());
            }
            let Some(tile) = self.edge.get_mut(level) else { return };
            tile.push(hash);
            if tile.len() < WIDTH {
                return;
            }
            let full = std::mem::take(tile);
            self.keep(self.tile(level, TILE_WIDTH, 1).to_string(), full.as_flattened().to_vec());
            let Some(root) = fold(&full) else { return };
            (level, hash) = (level + 1, root);
        }
    }

    fn keep(&mut self, name: String, bytes: Vec<u8>) {
        self.unwritten_bytes += bytes.len();
        self.unwritten.insert(name, Arc::new(bytes));
    }

    /// The last tile of a level, or the one `back` before it.
    fn tile(&self, level: usize, width: u64, back: u64) -> Tile {
        let index = (self.size >> (8 * (level + 1))) - back;
        Tile { level: u8::try_from(level).unwrap_or(u8::MAX), index, width }
    }

    /// Full tiles and bundles that are not in their files yet.
    pub(crate) fn full(&self) -> Vec<Named> {
        self.unwritten.iter().map(|(name, bytes)| (name.clone(), Arc::clone(bytes))).collect()
    }

    /// The unfinished tiles and the unfinished bundle of the current size, but for those that were written
    /// before.
    pub(crate) fn partial(&self) -> Vec<Named> {
        let levels = self.edge.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty());
        let mut files: Vec<_> = levels
            .map(|(level, hashes)| {
                (
                    self.tile(level, hashes.len() as u64, 0).to_string(),
                    Arc::new(hashes.as_flattened().to_vec()),
                )
            })
            .collect();
        let width = self.size % TILE_WIDTH;
        if width > 0 {
            files.push((entries_path(self.size / TILE_WIDTH, width), Arc::new(self.bundle.clone())));
        }
        // A partial tile that did not change would cost a sync for the same bytes.
        files.retain(|(name, _)| !self.partial_written.contains(name));
        files
    }

    /// Remembers which unfinished tiles and bundles are in their files.
    pub(crate) fn partial_written(&mut self, files: &[Named]) {
        let level_is_over = |name: &String| files.iter().any(|(new, _)| folder_of(new) == folder_of(name));
        self.partial_written.retain(|name| !level_is_over(name));
        self.partial_written.extend(files.iter().map(|(name, _)| name.clone()));
    }

    /// Forgets files that have been written.
    pub(crate) fn written(&mut self, files: &[Named]) {
        for (name, bytes) in files {
            if self.unwritten.remove(name).is_some() {
                self.unwritten_bytes -= bytes.len();
            }
        }
    }
}

/// `tile/0` of `tile/0/000.p/3`.
fn folder_of(name: &str) -> &str {
    name.match_indices('/').nth(1).and_then(|(at, _)| name.get(..at)).unwrap_or(name)
}

impl HashSource for Tiles {
    type Error = Error;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Error> {
        let tile_level = level / 8;
        let within = level % 8;
        let first = index << within;
        let tile = first / TILE_WIDTH;
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(0);
        let complete = self.size >> (8 * tile_level);
        // A full tile is in memory or on disk. The unfinished one is in memory only, because its file may be
        // of an earlier size.
        let part = if (tile + 1) * TILE_WIDTH <= complete {
            let name = Tile { level: tile_level, index: tile, width: TILE_WIDTH }.to_string();
            let bytes = match self.unwritten.get(&name) {
                Some(bytes) => bytes.to_vec(),
                None => io("cannot read", &self.log.join(&name), self.disk.read(&self.log.join(&name)))?,
            };
            let (hashes, _) = bytes.as_chunks::<32>();
            hashes.get(start..start + (1 << within)).and_then(fold)
        } else {
            self.edge
                .get(usize::from(tile_level))
                .and_then(|hashes| hashes.get(start..start + (1 << within)))
                .and_then(fold)
        };
        part.ok_or(Error::NoEntry(first << (8 * tile_level)))
    }
}
