//! This target makes receipts of entries with arbitrary bytes: a receipt verifies exactly if its entry is a
//! known record, and no edit of its bytes verifies.
#![no_main]

use chapar_evidence::{Kind, RECORD_VERSION, Record, verify};
use chapar_fuzz::{Input, Leaves, edited, signing_key};
use chapar_tlog::{Checkpoint, ProofFile, inclusion_proof, leaf_hash, root, sign_note};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

/// `chapar.evidence.v1.ReceiptExtra`, written from `proto/`, because the crate keeps its own private.
#[derive(Clone, PartialEq, prost::Message)]
struct ReceiptExtra {
    #[prost(bytes = "vec", tag = "1")]
    record: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    salt: Vec<u8>,
}

fn is_known(entry: &[u8]) -> bool {
    Record::decode(entry).is_ok_and(|record| {
        let is_kind = matches!(Kind::try_from(record.kind), Ok(kind) if kind != Kind::Unspecified);
        is_kind && record.version == RECORD_VERSION
    })
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let size = input.byte() % 40 + 1;
    let index = input.byte() % size;
    let is_record = input.byte() % 2 == 0;
    let edit = input.take(8);
    let entry = if is_record {
        let text = String::from_utf8_lossy(input.rest()).into_owned();
        let kind = Kind::Unary as i32;
        Record { version: RECORD_VERSION, kind, caller: text, ..Record::default() }.encode_to_vec()
    } else {
        input.rest().to_vec()
    };
    let mut leaves = Leaves((0..size).map(|leaf| leaf_hash(&leaf.to_le_bytes())).collect());
    leaves.0[index] = leaf_hash(&entry);
    let key = signing_key();
    let (index, size) = (index as u64, size as u64);
    let Ok(head) = root(&leaves, size);
    let Ok(Some(proof)) = inclusion_proof(&leaves, index, size) else { panic!("the index is in the tree") };
    let checkpoint = Checkpoint { origin: key.verifier().name().to_owned(), size, root: head };
    let extra = ReceiptExtra { record: entry.clone(), salt: Vec::new() }.encode_to_vec();
    let checkpoint = sign_note(&checkpoint.to_string(), &key);
    let receipt = ProofFile { extra, index, proof, checkpoint }.to_text().into_bytes();
    match verify::receipt(&receipt, key.verifier()) {
        Ok(verified) => {
            assert!(is_known(&entry), "an unknown record verifies");
            assert!(verified.sentence().starts_with("VALID"));
            assert_eq!(verified.record(), Record::decode(entry.as_slice()).ok().as_ref());
        }
        Err(error) => assert!(!is_known(&entry), "{error}"),
    }
    let altered = edited(&receipt, &mut Input(edit));
    if altered != receipt {
        let verified = verify::receipt(&altered, key.verifier());
        assert!(verified.is_err(), "an altered receipt verifies: {:?}", String::from_utf8_lossy(&altered));
    }
});
