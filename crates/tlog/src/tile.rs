//! This module computes paths and sizes of tiles: 256 hashes of one level in one file (C2SP `tlog-tiles`). It
//! does no I/O.

use std::fmt;

use crate::hash::{Hash, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// One tile: level, place, and how many of its hashes there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tile {
    /// Tile level; its hashes are of complete subtrees of `256^level` leaves.
    pub level: u8,
    /// Place in its level.
    pub index: u64,
    /// 1 to 256; a tile with fewer than 256 hashes is partial.
    pub width: u64,
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}", self.level, numbered(self.index, self.width))
    }
}

/// The path of a bundle of entries, under `tile/entries`.
pub fn entries_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}", numbered(index, width))
}

/// `1234067` is `x001/x234/067`; a partial tile ends in `.p/WIDTH`.
fn numbered(index: u64, width: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    // Groups of three digits keep folders at a thousand entries (C2SP `tlog-tiles`).
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

/// The root of a complete subtree from the hashes of its leaves: a power of two of them, at least one.
/// Nothing for another number.
pub fn fold(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    level.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of C2SP `tlog-tiles`.
    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(Tile { level: 0, index: 1_234_067, width: 256 }.to_string(), "tile/0/x001/x234/067");
        assert_eq!(Tile { level: 1, index: 0, width: 17 }.to_string(), "tile/1/000.p/17");
        assert_eq!(entries_path(273, 112), "tile/entries/273.p/112");
    }
}
