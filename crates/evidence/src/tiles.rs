//! The tree behind the durable tail: full tiles on disk, the right edge in memory. Everything here can be made again from the
//! segments, so tiles are written without waiting for the disk.

use std::path::{Path, PathBuf};

use chapar_tlog::{Hash, HashSource, TILE_WIDTH, Tile, entries_path, fold, leaf_hash};

use crate::config::Error;
use crate::segment::io;

const WIDTH: usize = TILE_WIDTH as usize;

/// The tree's hashes and the entries of the last bundle.
pub(crate) struct Tiles {
    log: PathBuf,
    pub(crate) size: u64,
    /// Level → hashes of its unfinished tile, fewer than 256.
    edge: Vec<Vec<Hash>>,
    /// Entries of the unfinished bundle, as the bundle has them.
    bundle: Vec<u8>,
}

impl Tiles {
    pub(crate) fn new(log: &Path) -> Self {
        Self { log: log.to_owned(), size: 0, edge: vec![Vec::new()], bundle: Vec::new() }
    }

    /// Adds an entry that is on disk. `write`: full tiles are written out; recovery leaves those alone that are there.
    pub(crate) fn add(&mut self, entry: &[u8]) -> Result<(), Error> {
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(entry);
        self.size += 1;
        if self.size.is_multiple_of(TILE_WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            self.put(&entries_path(self.size / TILE_WIDTH - 1, TILE_WIDTH), &bundle)?;
        }
        self.push(0, leaf_hash(entry))
    }

    fn push(&mut self, level: usize, hash: Hash) -> Result<(), Error> {
        if self.edge.len() == level {
            self.edge.push(Vec::new());
        }
        self.edge[level].push(hash);
        if self.edge[level].len() < WIDTH {
            return Ok(());
        }
        let full = std::mem::take(&mut self.edge[level]);
        let level_number = u8::try_from(level).unwrap_or(u8::MAX);
        let index = (self.size >> (8 * (level + 1))) - 1;
        self.put(&Tile { level: level_number, index, width: TILE_WIDTH }.to_string(), full.as_flattened())?;
        match fold(&full) {
            Some(root) => self.push(level + 1, root),
            None => Ok(()),
        }
    }

    /// Writes the unfinished tiles and bundle for a checkpoint of the current size.
    pub(crate) fn put_edge(&self) -> Result<(), Error> {
        for (level, hashes) in self.edge.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()) {
            let tile = Tile {
                level: u8::try_from(level).unwrap_or(u8::MAX),
                index: self.size >> (8 * (level + 1)),
                width: hashes.len() as u64,
            };
            self.put(&tile.to_string(), hashes.as_flattened())?;
        }
        let width = self.size % TILE_WIDTH;
        if width > 0 { self.put(&entries_path(self.size / TILE_WIDTH, width), &self.bundle) } else { Ok(()) }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.log.join(name);
        if path.metadata().is_ok_and(|found| found.len() == bytes.len() as u64) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.log);
        io("cannot create", folder, std::fs::create_dir_all(folder))?;
        let temporary = path.with_extension("tmp");
        io("cannot write", &temporary, std::fs::write(&temporary, bytes))?;
        io("cannot rename to", &path, std::fs::rename(&temporary, &path))
    }
}

impl HashSource for Tiles {
    type Error = Error;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Error> {
        let (tile_level, within) = (usize::from(level / 8), level % 8);
        let first = index << within;
        let (tile, start) = (first / TILE_WIDTH, usize::try_from(first % TILE_WIDTH).unwrap_or(0));
        let complete = self.size >> (8 * tile_level);
        let hashes = if (tile + 1) * TILE_WIDTH <= complete {
            let name =
                Tile { level: u8::try_from(tile_level).unwrap_or(u8::MAX), index: tile, width: TILE_WIDTH }.to_string();
            let path = self.log.join(name);
            let bytes = io("cannot read", &path, std::fs::read(&path))?;
            bytes.chunks_exact(32).filter_map(|chunk| chunk.try_into().ok()).collect()
        } else {
            self.edge.get(tile_level).cloned().unwrap_or_default()
        };
        let part = hashes.get(start..start + (1 << within)).and_then(fold);
        part.ok_or(Error::NoEntry(first << (8 * tile_level)))
    }
}
