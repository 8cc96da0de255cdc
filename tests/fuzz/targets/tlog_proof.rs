//! This target parses proof files, requests to witnesses and cosigned notes, and checks inclusion and
//! consistency proofs: a file or request that parses prints back the same bytes, made proofs verify, and a proof of another length than the tree's does not.
#![no_main]

use chapar_evidence::{AddCheckpoint, CosignerKey, Receipt, only_signed_by, verify};
use chapar_fuzz::{Input, Leaves, signing_key};
use chapar_tlog::{
    Hash, ProofFile, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency,
    verify_inclusion,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let file = ProofFile::parse(text);
        assert_eq!(file.is_ok(), Receipt::from_bytes(data).is_ok(), "a receipt is a proof file");
        if let Ok(file) = file {
            assert_eq!(file.to_text(), text);
        }
        if let Ok(request) = AddCheckpoint::parse(text) {
            assert_eq!(request.to_text(), text);
        }
        let key = signing_key();
        if let Ok(note) = only_signed_by(text, key.verifier()) {
            assert!(
                verify::checkpoint(note.as_bytes(), key.verifier(), &Default::default()).is_ok()
                    == verify::checkpoint(data, key.verifier(), &Default::default()).is_ok()
            );
        }
        text.parse::<CosignerKey>().ok();
    }
    verify::Prefix::from_bytes(data);
    verify::Prefix::default().push(data).ok();
    let key = signing_key();
    verify::receipt(data, key.verifier()).ok();
    verify::checkpoint(data, key.verifier(), &verify::Witnesses::default()).ok();

    let mut input = Input(data);
    let size = input.number() % 600 + 1;
    let index = input.number() % size;
    let old = input.number() % (size + 1);
    let leaves = Leaves((0..size as u64).map(|leaf| leaf_hash(&leaf.to_le_bytes())).collect());
    let (index, old, size) = (index as u64, old as u64, size as u64);
    let Ok(head) = root(&leaves, size);
    let Ok(old_head) = root(&leaves, old);
    let leaf = leaf_hash(&index.to_le_bytes());
    let Ok(Some(mut path)) = inclusion_proof(&leaves, index, size) else {
        panic!("the index is in the tree")
    };
    let Ok(Some(steps)) = consistency_proof(&leaves, old, size) else {
        panic!("the tree extends the old one")
    };
    assert_eq!(verify_inclusion(&leaf, index, size, &path, &head), Ok(()));
    assert_eq!(verify_consistency(old, &old_head, size, &head, &steps), Ok(()));
    // Another index or another number of hashes never proves the leaf.
    let other = u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|_| input.byte() as u8)));
    if other != index {
        assert!(verify_inclusion(&leaf, other, size, &path, &head).is_err());
    }
    let (hashes, _) = input.rest().as_chunks::<32>();
    let hashes: &[Hash] = hashes;
    verify_inclusion(&leaf, other, other.wrapping_mul(other), hashes, &head).ok();
    verify_consistency(index, &old_head, other, &head, hashes).ok();
    path.extend_from_slice(hashes);
    if !hashes.is_empty() {
        assert!(verify_inclusion(&leaf, index, size, &path, &head).is_err());
    }
});
