//! `Frontier` is the right edge of a Merkle tree: the roots of its complete subtrees from the left (RFC 6962
//! §2.1). It grows leaf by leaf and needs some 2 KiB for any size.

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// The right edge of a tree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    /// Height and root of each complete subtree, the highest first; no two of one height.
    subtrees: Vec<(u32, Hash)>,
}

impl Frontier {
    /// Leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf's hash. `completed` is shown each subtree that it completes: its height, beginning with
    /// the leaf's own 0, and its root.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u32, Hash)) {
        let mut top = (0, leaf);
        completed(top.0, top.1);
        // Equal heights are merged at once, so that the list never holds more subtrees than the size has
        // bits.
        while let Some((height, left)) = self.subtrees.pop_if(|(height, _)| *height == top.0) {
            top = (height + 1, node_hash(&left, &top.1));
            completed(top.0, top.1);
        }
        self.subtrees.push(top);
        self.size += 1;
    }

    /// The root of all leaves.
    pub fn root(&self) -> Hash {
        let subtrees = self.subtrees.iter().rev().map(|(_, hash)| *hash);
        subtrees.reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
    }

    /// The roots of the complete subtrees, the largest first: with the size, all that the frontier is.
    pub fn hashes(&self) -> impl Iterator<Item = &Hash> {
        self.subtrees.iter().map(|(_, hash)| hash)
    }

    /// The frontier of a tree of this size; nothing if the hashes are more or fewer than such a tree has.
    pub fn from_hashes(size: u64, hashes: &[Hash]) -> Option<Self> {
        let heights = (0..u64::BITS).rev().filter(|height| size >> height & 1 == 1);
        let subtrees: Vec<_> = heights.zip(hashes.iter().copied()).collect();
        let is_whole = subtrees.len() == hashes.len() && hashes.len() == size.count_ones() as usize;
        is_whole.then_some(Self { size, subtrees })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::{HashSource, root};

    struct Leaves(Vec<Hash>);

    impl HashSource for Leaves {
        type Error = std::convert::Infallible;

        fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            let first = usize::try_from(index << level).unwrap();
            Ok(crate::fold(&self.0[first..first + (1 << level)]).unwrap())
        }
    }

    #[test]
    fn the_root_is_that_of_the_tree_at_every_size_and_the_frontier_is_its_hashes() {
        let leaves = Leaves((0..70_u32).map(|number| leaf_hash(&number.to_be_bytes())).collect());
        let mut frontier = Frontier::default();
        for (size, leaf) in (1..).zip(&leaves.0) {
            frontier.push(*leaf, |_, _| {});
            let Ok(expected) = root(&leaves, size);
            assert_eq!((frontier.size(), frontier.root()), (size, expected));
            let hashes: Vec<Hash> = frontier.hashes().copied().collect();
            assert_eq!(Frontier::from_hashes(size, &hashes).as_ref(), Some(&frontier));
            assert_eq!(Frontier::from_hashes(size, &hashes[1..]), None);
        }
    }
}
