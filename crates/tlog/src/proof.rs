//! Inclusion and consistency proofs: made from complete subtrees, checked from hashes alone (RFC 9162 §2.1.3, §2.1.4).

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
    #[error("out of range")]
    OutOfRange,
    /// It has another number of hashes than it needs.
    #[error("a proof of the wrong length")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The greatest power of two below `size`, for `size` of 2 and more.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The root of the leaves from `start`, `size` of them; `start` is a multiple of every complete subtree in it.
fn subtree<S: HashSource>(source: &S, start: u64, size: u64) -> Result<Hash, S::Error> {
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
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

/// The proof that leaf `index` is in the tree of `size` leaves, from leaf to root: at most 63 hashes, none if `size` is 1.
/// Nothing if `index >= size`.
///
/// # Errors
/// Those of the source.
pub fn inclusion_proof<S: HashSource>(source: &S, index: u64, size: u64) -> Result<Option<Vec<Hash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut index, mut start, mut size) = (index, 0, size);
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
    path.reverse();
    Ok(Some(path))
}

/// Checks an inclusion proof against a root.
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// The proof that the tree of `size` leaves extends the one of `old`. Empty if `old` is 0 or `size`; nothing if `old > size`.
///
/// # Errors
/// Those of the source.
pub fn consistency_proof<S: HashSource>(source: &S, old: u64, size: u64) -> Result<Option<Vec<Hash>>, S::Error> {
    if old > size {
        return Ok(None);
    }
    if old == 0 || old == size {
        return Ok(Some(Vec::new()));
    }
    let (mut old, mut start, mut size, mut whole) = (old, 0, size, true);
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
        let same = old == 0 || old_root == new_root;
        return if !proof.is_empty() {
            Err(ProofError::Length)
        } else if same {
            Ok(())
        } else {
            Err(ProofError::Root)
        };
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let mut rest = proof.iter();
    let first = if node == 0 { *old_root } else { *rest.next().ok_or(ProofError::Length)? };
    let (mut from, mut to) = (first, first);
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
    if from == *old_root && to == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    /// All leaves in memory; every hash worked out anew.
    struct Leaves(Vec<Hash>);

    impl HashSource for Leaves {
        type Error = std::convert::Infallible;

        fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            if level == 0 {
                return Ok(self.0[usize::try_from(index).unwrap()]);
            }
            Ok(node_hash(&self.hash(level - 1, index * 2)?, &self.hash(level - 1, index * 2 + 1)?))
        }
    }

    /// RFC 6962 §2.1's definition, literally.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_ROOT,
            [one] => *one,
            more => {
                let left = usize::try_from(split(more.len() as u64)).unwrap();
                node_hash(&mth(&more[..left]), &mth(&more[left..]))
            }
        }
    }

    fn leaves(count: u64) -> Leaves {
        Leaves((0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect())
    }

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Inputs and roots of certificate-transparency's `merkle_tree_test.cc`.
    #[test]
    fn roots_are_those_of_the_published_vectors() {
        let inputs: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let source = Leaves(inputs.iter().map(|input| leaf_hash(input)).collect());
        assert_eq!(hex(&root(&source, 0).unwrap()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (size, expected) in (1..).zip(roots) {
            assert_eq!(hex(&root(&source, size).unwrap()), expected, "{size} leaves");
        }
    }

    #[test]
    fn every_leaf_of_every_tree_is_proved_and_no_altered_proof_holds() {
        let source = leaves(130);
        for size in 1..=130 {
            let root = mth(&source.0[..usize::try_from(size).unwrap()]);
            for index in 0..size {
                let leaf = source.0[usize::try_from(index).unwrap()];
                let proof = inclusion_proof(&source, index, size).unwrap().unwrap();
                assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()), "{index} of {size}");
                if size > 100 && index % 13 == 0 {
                    refuses_alterations(&leaf, index, size, &proof, &root);
                }
            }
            assert!(inclusion_proof(&source, size, size).unwrap().is_none());
        }
    }

    fn refuses_alterations(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) {
        for at in 0..proof.len() * 32 {
            let mut altered = proof.to_vec();
            altered[at / 32][at % 32] ^= 1;
            assert!(verify_inclusion(leaf, index, size, &altered, root).is_err());
        }
        assert!(verify_inclusion(leaf, index, size, &proof[1..], root).is_err());
        assert!(verify_inclusion(leaf, index, size, &[proof, &[[0; 32]]].concat(), root).is_err());
        assert!(verify_inclusion(leaf, (index + 1) % size, size, proof, root).is_err());
        assert!(verify_inclusion(&[7; 32], index, size, proof, root).is_err());
    }

    #[test]
    fn every_tree_extends_every_smaller_one_and_no_other() {
        let source = leaves(70);
        let roots: Vec<Hash> = (0..=70).map(|size| mth(&source.0[..size])).collect();
        for new in 0..=70_u64 {
            for old in 0..=new {
                let proof = consistency_proof(&source, old, new).unwrap().unwrap();
                let (from, to) = (&roots[usize::try_from(old).unwrap()], &roots[usize::try_from(new).unwrap()]);
                assert_eq!(verify_consistency(old, from, new, to, &proof), Ok(()), "{old} to {new}");
                if old > 0 {
                    assert!(verify_consistency(old, &[9; 32], new, to, &proof).is_err(), "{old} to {new}");
                }
                if old > 0 && old < new {
                    assert!(verify_consistency(old, from, new, &[9; 32], &proof).is_err(), "{old} to {new}");
                }
            }
        }
    }
}
