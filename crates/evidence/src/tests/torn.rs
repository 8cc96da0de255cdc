//! Tests of what a crash or a power loss leaves: a last group of which any part may be missing. It was never
//! acknowledged.

use super::*;
use crate::segment::Frame;

/// A log of five entries, each its own group, and the frames of a sixth group of three that was not
/// acknowledged.
async fn interrupted() -> (Folder, Vec<u8>, Vec<Vec<u8>>) {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 5).await;
    let frames = (0..3)
        .map(|_| {
            let mut frame = Vec::new();
            Frame { group: 5, entry: &prost::Message::encode_to_vec(&record(&log, Kind::Unary)) }
                .put(&mut frame);
            frame
        })
        .collect();
    log.close().await.unwrap();
    let durable = std::fs::read(folder.segment()).unwrap();
    (folder, durable, frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_reached_the_disk_in_part_is_cut_whatever_part_that_is() {
    let (folder, durable, frames) = interrupted().await;
    let before = tempfile::tempdir().unwrap();
    copy(folder.dir.path(), before.path());
    for missing in 0..frames.len() {
        for zeroed in [0..16, 16..frames[missing].len(), 0..frames[missing].len()] {
            let mut tail = frames.clone();
            tail[missing][zeroed.clone()].fill(0);
            std::fs::write(folder.segment(), [durable.as_slice(), &tail.concat()].concat()).unwrap();

            let verified = verify::directory(&folder.log(), &folder.key, &[]).unwrap();
            assert!(
                verified.sentence().contains(&format!("holds {} entries", 5 + missing)),
                "{}",
                verified.sentence()
            );
            let log = folder.open();
            assert_eq!(log.size().await, 5 + missing as u64, "{zeroed:?} of frame {missing} are zero");
            drop(log);
            free(&folder).await;

            // Back to the five entries, and to what was signed then.
            std::fs::remove_dir_all(folder.log()).unwrap();
            copy(&before.path().join("log"), &folder.log());
            copy(&before.path().join("state"), &folder.dir.path().join("state"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_frame_that_a_later_group_follows_is_damage_and_named() {
    let (folder, durable, frames) = interrupted().await;
    let mut last = Vec::new();
    Frame { group: 8, entry: &frames[0][16..] }.put(&mut last);
    let mut broken = frames.concat();
    broken[frames[0].len() + 20] ^= 1;
    std::fs::write(folder.segment(), [durable.as_slice(), &broken, &last].concat()).unwrap();

    let at = (durable.len() + frames[0].len()) as u64;
    let refused = Log::open(folder.config(), Clock::system()).err().unwrap();
    assert!(
        matches!(&refused, Error::Damaged { path, offset, .. } if *path == folder.segment() && *offset == at),
        "{refused}"
    );
    let invalid = verify::directory(&folder.log(), &folder.key, &[]).unwrap_err();
    assert!(matches!(invalid, verify::Invalid::Entry { index: 6, offset, .. } if offset == at), "{invalid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_that_was_open_is_closed_in_one_wait_for_the_disk() {
    let folder = Folder::new();
    let log = folder.open();
    for _ in 0..10 {
        log.reserve().unwrap().append(&record(&log, Kind::Open)).await.unwrap();
    }
    log.close().await.unwrap();
    let log = folder.open();
    assert_eq!((log.size().await, log.syncs()), (20, 1));
    log.close().await.unwrap();
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_are_lost_or_damaged_are_made_again_from_the_entries() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 520).await;
    log.close().await.unwrap();
    std::fs::remove_file(folder.log().join("tile/0/000")).unwrap();
    std::fs::remove_file(folder.log().join("tile/entries/001")).unwrap();
    let damaged = folder.log().join("tile/0/001");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[4000] ^= 4;
    std::fs::write(&damaged, bytes).unwrap();
    verify::directory(&folder.log(), &folder.key, &[]).unwrap_err();

    let log = folder.open();
    verify::receipt(&log.receipt(300).await.unwrap().to_bytes(), &folder.key).unwrap();
    log.close().await.unwrap();
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_log_is_refused_before_its_tiles_are_touched() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 512).await;
    log.close().await.unwrap();
    let tile = std::fs::read(folder.log().join("tile/0/000")).unwrap();
    let mut altered = std::fs::read(folder.segment()).unwrap();
    let frame = Frame::at_start(&altered).unwrap();
    let length = frame.entry.len();
    let mut entry = frame.entry.to_vec();
    let call_id = entry.iter().position(|byte| *byte == 0x1a).unwrap() + 2;
    entry[call_id] ^= 1;
    let mut first = Vec::new();
    Frame { group: 0, entry: &entry }.put(&mut first);
    altered.splice(..16 + length, first);
    std::fs::write(folder.segment(), altered).unwrap();

    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Checkpoint { size: 512, .. })));
    assert_eq!(std::fs::read(folder.log().join("tile/0/000")).unwrap(), tile);
}

/// Waits until a log that was dropped has given its lock back.
pub(super) async fn free(folder: &Folder) {
    let lock = std::fs::File::open(folder.log()).unwrap();
    for _ in 0..500 {
        if lock.try_lock().is_ok() {
            return lock.unlock().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the log is still locked");
}
