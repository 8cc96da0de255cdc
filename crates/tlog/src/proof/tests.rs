//! These tests compare roots with published vectors and with the definition. They check proofs for every tree
//! of up to 300 leaves, and that no altered proof verifies.

use super::*;
use crate::hash::leaf_hash;

const MOST: usize = 300;

/// Level → hashes of all complete subtrees.
struct Leaves(Vec<Vec<Hash>>);

impl Leaves {
    fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            levels.push(below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect());
        }
        Self(levels)
    }

    fn counted(count: usize) -> Self {
        Self::new((0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect())
    }

    fn leaf(&self, index: u64) -> Hash {
        self.0[0][usize::try_from(index).unwrap()]
    }

    /// Size → root, by the definition.
    fn roots(&self) -> Vec<Hash> {
        (0..=self.0[0].len()).map(|size| mth(&self.0[0][..size])).collect()
    }
}

impl HashSource for Leaves {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        Ok(self.0[usize::from(level)][usize::try_from(index).unwrap()])
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

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every proof that differs from this one in a bit, is a hash shorter at either end, or a hash longer.
fn alterations(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let flipped = (0..proof.len() * 256).map(|bit| {
        let mut altered = proof.to_vec();
        altered[bit / 256][bit / 8 % 32] ^= 1 << (bit % 8);
        altered
    });
    let mut all: Vec<_> = flipped.collect();
    if let [first, rest @ ..] = proof {
        all.extend([rest.to_vec(), proof[..proof.len() - 1].to_vec(), [&[*first], proof].concat()]);
    }
    all.push([proof, &[[0; 32]]].concat());
    all
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
    let source = Leaves::new(inputs.iter().map(|input| leaf_hash(input)).collect());
    assert_eq!(
        hex(&root(&source, 0).unwrap()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (size, expected) in (1..).zip(roots) {
        assert_eq!(hex(&root(&source, size).unwrap()), expected, "{size} leaves");
    }
}

#[test]
fn the_root_of_every_tree_is_that_of_the_definition() {
    let source = Leaves::counted(MOST);
    for (size, expected) in (0..).zip(source.roots()) {
        assert_eq!(root(&source, size), Ok(expected), "{size} leaves");
    }
}

#[test]
fn every_leaf_of_every_tree_is_proved_at_its_place_and_no_other() {
    let source = Leaves::counted(MOST);
    for (size, root) in (0..).zip(source.roots()).skip(1) {
        for index in 0..size {
            let leaf = source.leaf(index);
            let proof = inclusion_proof(&source, index, size).unwrap().unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()), "{index} of {size}");
            assert!(size == 1 || verify_inclusion(&leaf, (index + 1) % size, size, &proof, &root).is_err());
            assert!(verify_inclusion(&leaf_hash(b"other"), index, size, &proof, &root).is_err());
        }
        assert!(inclusion_proof(&source, size, size).unwrap().is_none());
        assert_eq!(verify_inclusion(&root, size, size, &[], &root), Err(ProofError::OutOfRange));
    }
}

#[test]
fn no_altered_inclusion_proof_holds() {
    let source = Leaves::counted(MOST);
    let roots = source.roots();
    for size in [1, 2, 3, 7, 8, 9, 100, 255, 256, 257, 300] {
        for index in (0..size).step_by(37).chain([size - 1]) {
            let proof = inclusion_proof(&source, index, size).unwrap().unwrap();
            for altered in alterations(&proof) {
                let root = &roots[usize::try_from(size).unwrap()];
                assert!(
                    verify_inclusion(&source.leaf(index), index, size, &altered, root).is_err(),
                    "{index} of {size}"
                );
            }
        }
    }
}

#[test]
fn every_tree_extends_every_smaller_one_and_no_other() {
    let source = Leaves::counted(MOST);
    let roots = source.roots();
    for (new, to) in (0..).zip(&roots) {
        for (old, from) in (0..=new).zip(&roots) {
            let proof = consistency_proof(&source, old, new).unwrap().unwrap();
            assert_eq!(verify_consistency(old, from, new, to, &proof), Ok(()), "{old} to {new}");
            if old > 0 {
                assert!(verify_consistency(old, &[9; 32], new, to, &proof).is_err(), "{old} to {new}");
            }
            if old > 0 && old < new {
                assert!(verify_consistency(old, from, new, &[9; 32], &proof).is_err(), "{old} to {new}");
            }
        }
        assert!(consistency_proof(&source, new + 1, new).unwrap().is_none());
        assert_eq!(verify_consistency(new + 1, to, new, to, &[]), Err(ProofError::OutOfRange));
    }
}

#[test]
fn no_altered_consistency_proof_holds() {
    let source = Leaves::counted(MOST);
    let roots = source.roots();
    for new in [2_usize, 7, 8, 100, 256, 257, 300] {
        for old in (1..=new).step_by(31).chain([new]) {
            let proof = consistency_proof(&source, old as u64, new as u64).unwrap().unwrap();
            for altered in alterations(&proof) {
                let verified = verify_consistency(old as u64, &roots[old], new as u64, &roots[new], &altered);
                assert!(verified.is_err(), "{old} to {new}");
            }
        }
    }
}
