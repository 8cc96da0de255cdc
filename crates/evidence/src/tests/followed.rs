//! What those who follow a log from outside get, and what witnesses give back.

use chapar_tlog::{CosignerKey, WitnessKey, verify_consistency};

use super::*;
use crate::verify::{Prefix, Witnesses};

/// The newest checkpoint's note with the line of a witness.
fn cosign(log: &Log, witness: &WitnessKey) -> (Checkpoint, String) {
    let (checkpoint, note) = log.published().unwrap();
    let line = witness.cosign(&checkpoint.to_string(), 1_790_000_000);
    (checkpoint, note + &line)
}

fn only(key: &CosignerKey) -> Witnesses {
    Witnesses::new(vec![key.clone()], 1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_under_the_checkpoint_lead_to_its_root_in_parts_of_any_size() {
    let folder = Folder::new();
    let log = folder.open();
    append_at_once(&log, 1000).await;
    let checkpoint = log.checkpoint().await.unwrap();
    // Not under a checkpoint yet, and so nobody's.
    append_at_once(&log, 3).await;
    for most in [1, 10_000, 1 << 20] {
        let mut prefix = Prefix::default();
        loop {
            let entries = log.entries(prefix.size(), most).await.unwrap();
            if entries.is_empty() {
                break;
            }
            let bytes: usize = entries.iter().map(Vec::len).sum();
            assert!(entries.len() == 1 || bytes <= most, "{} entries of {bytes} bytes", entries.len());
            for entry in entries {
                prefix.push(&entry).unwrap();
            }
            if most == 1 && prefix.size() == 20 {
                break;
            }
        }
        if most > 1 {
            assert_eq!((prefix.size(), prefix.root()), (checkpoint.size, checkpoint.root));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_shows_that_each_checkpoint_extends_the_one_before() {
    let folder = Folder::new();
    let log = folder.open();
    let mut older = log.published().unwrap().0;
    for count in [1, 2, 300, 40] {
        append_at_once(&log, count).await;
        let newer = log.checkpoint().await.unwrap();
        let proof = log.consistency(older.size, newer.size).await.unwrap();
        verify_consistency(older.size, &older.root, newer.size, &newer.root, &proof).unwrap();
        older = newer;
    }
    assert!(matches!(log.consistency(0, 344).await, Err(Error::NoEntry(344))));
    assert!(matches!(log.consistency(4, 3).await, Err(Error::NoEntry(4))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cosigned_checkpoint_is_kept_over_a_restart_and_is_in_receipts() {
    let folder = Folder::new();
    let witness = WitnessKey::generate("witness.example").unwrap();
    let log = folder.open();
    append(&log, 5).await;
    log.checkpoint().await.unwrap();
    let (checkpoint, note) = cosign(&log, &witness);
    log.set_cosigned(note.clone()).await.unwrap();
    append(&log, 1).await;
    log.close().await.unwrap();

    let log = folder.open();
    assert_eq!(log.cosigned(), Some((checkpoint, note.clone())));
    let verified = |index| {
        let log = log.clone();
        let witnesses = only(witness.cosigner());
        let key = folder.key.clone();
        async move {
            let receipt = log.receipt(index).await.unwrap().to_bytes();
            verify::receipt(&receipt, &key).unwrap();
            verify::receipt_cosigned(&receipt, &key, &witnesses).map(|known| known.sentence().to_owned())
        }
    };
    let sentence = verified(4).await.unwrap();
    assert!(sentence.contains("cosigned by witness.example on 2026-09-21T"), "{sentence}");
    // No witness has seen this one.
    assert!(verified(5).await.is_err());
    let cosigned = std::fs::read(cosigned_path(&folder.log())).unwrap();
    assert_eq!(cosigned, note.as_bytes());
    let since = verify::checkpoint(&cosigned, &folder.key, &only(witness.cosigner())).unwrap();
    verify::directory(&folder.log(), &folder.key, &[since]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_this_log_did_not_publish_is_not_kept_as_cosigned() {
    let (folder, other) = (Folder::new(), Folder::new());
    let witness = WitnessKey::generate("witness.example").unwrap();
    let log = folder.open();
    append(&log, 5).await;
    log.checkpoint().await.unwrap();
    let (older, older_note) = cosign(&log, &witness);

    // A log of the same name and another key; a checkpoint of a size that this log does not have; text.
    let stranger = other.open();
    append(&stranger, 5).await;
    stranger.checkpoint().await.unwrap();
    let key = crate::keys::signing_key(&folder.config()).unwrap();
    let foreign =
        |size| chapar_tlog::sign_note(&Checkpoint { size, root: [7; 32], ..older.clone() }.to_string(), &key);
    for note in [cosign(&stranger, &witness).1, foreign(6), foreign(5), foreign(4), String::new()] {
        assert!(matches!(log.set_cosigned(note).await, Err(Error::Cosigned(_))));
    }
    assert_eq!(log.cosigned(), None);

    append(&log, 1).await;
    log.checkpoint().await.unwrap();
    let (newer, note) = cosign(&log, &witness);
    log.set_cosigned(note).await.unwrap();
    // An answer that comes late takes nothing back.
    log.set_cosigned(older_note).await.unwrap();
    assert_eq!(log.cosigned().unwrap().0, newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cosigned_file_that_is_damaged_or_of_a_lost_tail_is_not_used_and_stops_no_start() {
    let folder = Folder::new();
    let witness = WitnessKey::generate("witness.example").unwrap();
    let log = folder.open();
    append(&log, 5).await;
    log.checkpoint().await.unwrap();
    let (_, note) = cosign(&log, &witness);
    log.set_cosigned(note.clone()).await.unwrap();
    log.close().await.unwrap();
    let path = cosigned_path(&folder.log());
    for damaged in [note.replace("\n5\n", "\n6\n"), String::new(), "x".repeat(100)] {
        std::fs::write(&path, &damaged).unwrap();
        let log = folder.open();
        assert_eq!(log.cosigned(), None, "{damaged:?}");
        log.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_is_held_back_takes_no_record_until_it_is_let_go() {
    let folder = Folder::new();
    let log = folder.open();
    log.hold_back(true);
    assert_eq!(log.reserve().err(), Some(NoSlot::Unwitnessed));
    assert_eq!(log.condition(), Condition::Unwitnessed);
    log.hold_back(false);
    append(&log, 1).await;
}
