//! This module makes inclusion and consistency proofs from complete subtrees, and checks them from hashes
//! alone (RFC 9162 §2.1.3, §2.1.4).

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// Where the hashes of complete subtrees come from.
pub trait HashSource {
    /// Why a hash cannot be had.
    type Error;

    /// The hash of the complete subtree over leaves `index << level` up to `(index + 1) << level`.
    ///
    /// # Errors
    /// When the source lacks it.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// A proof that does not prove.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The index is not in the tree, or the sizes are in the wrong order.
    #[error("the index or the tree size is out of range")]
    OutOfRange,
    /// It has another number of hashes than it needs.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The greatest power of two below `size`, for `size` of 2 and more.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The root of the leaves from `start`, `size` of them; `start` is a multiple of every complete subtree in
/// it.
fn subtree<S: HashSource>(source: &S, start: u64, size: u64) -> Result<Hash, S::Error> {
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        // A level is at most 63, so the default is never used.
        return source.hash(u8::try_from(level).unwrap_or(u8::MAX), start >> level);
    }
    let left = split(size);
    Ok(node_hash(&subtree(source, start, left)?, &subtree(source, start + left, size - left)?))
}

/// The root of the tree of `size` leaves.
///
/// # Errors
/// Those of the source.
pub fn root<S: HashSource>(source: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(source, 0, size) }
}

/// The proof that leaf `index` is in the tree of `size` leaves, from leaf to root: at most 63 hashes, none if
/// `size` is 1. Nothing if `index >= size`.
///
/// # Errors
/// Those of the source.
pub fn inclusion_proof<S: HashSource>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut index = index;
    let mut start = 0;
    let mut size = size;
    let mut path = Vec::new();
    while size > 1 {
        let left = split(size);
        if index < left {
            path.push(subtree(source, start + left, size - left)?);
            size = left;
        } else {
            path.push(subtree(source, start, left)?);
            (index, start, size) = (index - left, start + left, size - left);
        }
    }
    // Gathered from the root downwards, while RFC 9162 lists the hashes from the leaf upwards.
    path.reverse();
    Ok(Some(path))
}

/// Checks an inclusion proof against a root.
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    // Checked first, because `size - 1` below needs a tree that is not empty.
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let mut node = index;
    let mut last = size - 1;
    let mut hash = *leaf;
    for sibling in proof {
        // A proof that is longer than the tree is high must not be accepted with its rest ignored.
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // Levels at which this node has no sibling are skipped: there the right edge of the tree is not
            // full.
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    // The length is judged before the root, so that a proof that was cut is named as that.
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// The proof that the tree of `size` leaves extends the one of `old`. Empty if `old` is 0 or `size`; nothing
/// if `old > size`.
///
/// # Errors
/// Those of the source.
pub fn consistency_proof<S: HashSource>(
    source: &S,
    old: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, S::Error> {
    if old > size {
        return Ok(None);
    }
    // Every tree extends the empty tree and itself, so there is nothing to prove.
    if old == 0 || old == size {
        return Ok(Some(Vec::new()));
    }
    let mut old = old;
    let mut start = 0;
    let mut size = size;
    // `whole` holds while the old tree is the left part itself: its root is then known to the verifier, and
    // is left out.
    let mut whole = true;
    let mut path = Vec::new();
    while old != size {
        let left = split(size);
        if old <= left {
            path.push(subtree(source, start + left, size - left)?);
            size = left;
        } else {
            path.push(subtree(source, start, left)?);
            (old, start, size, whole) = (old - left, start + left, size - left, false);
        }
    }
    if !whole {
        path.push(subtree(source, start, size)?);
    }
    // Gathered from the root downwards, while RFC 9162 lists the hashes from the leaves upwards.
    path.reverse();
    Ok(Some(path))
}

/// Checks that `new_root` over `new` leaves extends `old_root` over `old` (RFC 9162 §2.1.4.2).
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == new || old == 0 {
        // The proof must be empty here, else bytes that nobody checked would pass as part of it.
        let same = old == 0 || old_root == new_root;
        return if !proof.is_empty() {
            Err(ProofError::Length)
        } else if same {
            Ok(())
        } else {
            Err(ProofError::Root)
        };
    }
    let mut node = old - 1;
    let mut last = new - 1;
    // Complete subtrees of the old tree are equal in both trees, so the check begins above them.
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let mut rest = proof.iter();
    // If the old size is a power of two, the old root is itself the first subtree and is not in the proof.
    let first = if node == 0 { *old_root } else { *rest.next().ok_or(ProofError::Length)? };
    let mut from = first;
    let mut to = first;
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            from = node_hash(sibling, &from);
            to = node_hash(sibling, &to);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            to = node_hash(&to, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    // Both roots are made from the same hashes: the old one shows that nothing was changed, the new one that
    // it was extended.
    if from == *old_root && to == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

#[cfg(test)]
mod tests;
