//! Tests that every change to the files on disk is found, and that the error says where.

use super::*;
use crate::segment::Frame;

/// A closed log of 600 entries, over several tiles.
async fn log_of_600() -> Folder {
    let folder = Folder::new();
    let log = folder.open();
    append_at_once(&log, 600).await;
    log.close().await.unwrap();
    folder
}

fn frames(folder: &Folder) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder.segment()).unwrap();
    let mut rest = bytes.as_slice();
    let mut frames = Vec::new();
    while let Some(frame) = Frame::at_start(rest) {
        let (first, after) = rest.split_at(16 + frame.entry.len());
        frames.push(first.to_vec());
        rest = after;
    }
    frames
}

#[tokio::test(flavor = "multi_thread")]
async fn bits_flipped_anywhere_in_a_log_of_many_tiles_are_found() {
    let folder = log_of_600().await;
    let files = [
        "segments/0000000000000000",
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ];
    for (number, name) in files.iter().enumerate() {
        let path = folder.log().join(name);
        let whole = std::fs::read(&path).unwrap();
        for flip in 0..24 {
            let bit = (flip * 7919 + number * 104_729) * 31 % (whole.len() * 8);
            let mut altered = whole.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &altered).unwrap();
            let invalid = verify::directory(&folder.log(), &folder.key, &[]).unwrap_err().to_string();
            assert!(invalid.starts_with("INVALID: "), "{name}, bit {bit}: {invalid}");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_doubled_and_dropped_entries_are_found_at_start_and_offline() {
    let folder = log_of_600().await;
    let whole = frames(&folder);
    let mut changes = vec![whole.clone(); 4];
    changes[0].swap(10, 11);
    changes[1].insert(20, whole[20].clone());
    changes[2].remove(30);
    changes[3].truncate(599);
    for (number, changed) in changes.into_iter().enumerate() {
        std::fs::write(folder.segment(), changed.concat()).unwrap();
        verify::directory(&folder.log(), &folder.key, &[]).expect_err(&format!("change {number}"));
        let refused = Log::open(folder.config(), Clock::system()).err();
        assert!(matches!(refused, Some(Error::Checkpoint { size: 600, .. })), "change {number}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_does_not_start_under_the_checkpoint_of_today() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 3).await;
    log.close().await.unwrap();
    let yesterday = Folder { dir: tempfile::tempdir().unwrap(), key: folder.key.clone() };
    copy(folder.dir.path(), yesterday.dir.path());
    let log = folder.open();
    append(&log, 2).await;
    log.close().await.unwrap();

    std::fs::copy(folder.log().join("checkpoint"), yesterday.log().join("checkpoint")).unwrap();
    assert!(matches!(Log::open(yesterday.config(), Clock::system()), Err(Error::Checkpoint { size: 5, .. })));
    verify::directory(&yesterday.log(), &folder.key, &[]).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durable_tail_is_verified_too() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 4).await;
    log.checkpoint().await.unwrap();
    append(&log, 3).await;
    let sentence = verify::directory(&folder.log(), &folder.key, &[]).unwrap().sentence().to_owned();
    assert!(
        sentence.contains("holds 7 entries; the first 4 are signed by its checkpoint, 3 are durable"),
        "{sentence}"
    );

    let mut altered = std::fs::read(folder.segment()).unwrap();
    let sixth: usize = frames(&folder)[..5].iter().map(Vec::len).sum();
    altered[sixth + 30] ^= 1;
    std::fs::write(folder.segment(), &altered).unwrap();
    let invalid = verify::directory(&folder.log(), &folder.key, &[]).unwrap_err();
    assert!(matches!(invalid, verify::Invalid::Entry { index: 5, .. }), "{invalid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_format_to_come_is_refused_by_name() {
    let folder = Folder::new();
    let log = folder.open();
    let later = Record { version: RECORD_VERSION + 1, ..record(&log, Kind::Unary) };
    log.reserve().unwrap().append(&later).await.unwrap();
    let receipt = log.receipt(0).await.unwrap().to_bytes();
    log.close().await.unwrap();
    for invalid in [
        verify::receipt(&receipt, &folder.key).unwrap_err(),
        verify::directory(&folder.log(), &folder.key, &[]).unwrap_err(),
    ] {
        assert!(invalid.to_string().contains("another version"), "{invalid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_from_the_folder_is_the_logs_own_but_for_the_salt() {
    let folder = log_of_600().await;
    for index in [0, 255, 256, 511, 512, 599] {
        let receipt = from_directory(&folder.log(), index).unwrap();
        assert_eq!(receipt.index(), index);
        let verified = verify::receipt(&receipt.to_bytes(), &folder.key).unwrap();
        assert_eq!(verified.record().unwrap().caller, "gov/welfare/benefits");
    }
    let outside = from_directory(&folder.log(), 600).unwrap_err().to_string();
    assert!(outside.contains("entry 600 is not under the checkpoint of 600 entries"), "{outside}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_damaged_while_the_log_is_open_gives_no_false_receipt() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 300).await;
    log.checkpoint().await.unwrap();
    let tile = folder.log().join("tile/0/000");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    assert!(matches!(log.receipt(0).await, Err(Error::Damaged { .. })));
}
