//! Tests that a start reads the newest segments only and loses nothing by it, because the other segments are
//! read again after the start.

use chapar_tlog::leaf_hash;

use super::*;
use crate::resume;

/// Entries of a segment: 1 MiB of 60,000 bytes each, and the one that grows past it.
const A_SEGMENT: usize = 18;

async fn append_large(log: &Log, count: usize, kind: Kind) {
    for _ in 0..count {
        let large = Record { disclosed: vec!["x".repeat(60_000)], ..record(log, kind) };
        log.reserve().unwrap().append(&large).await.unwrap();
    }
}

/// A closed log of three segments, with the index at which the newest begins.
async fn three_segments() -> (Folder, u64) {
    let folder = Folder::new();
    let log = folder.open();
    append_large(&log, A_SEGMENT, Kind::Unary).await;
    log.checkpoint().await.unwrap();
    append_large(&log, A_SEGMENT, Kind::Unary).await;
    append(&log, 3).await;
    log.close().await.unwrap();
    let resume =
        resume::read(&OsDisk, &folder.config().state, log.origin()).expect("a resume file is written");
    assert!(folder.log().join(format!("segments/{:016x}", resume.size)).exists());
    assert!(resume.size > A_SEGMENT as u64, "it names the newest segment");
    (folder, resume.size)
}

fn without_resume_file(folder: &Folder) {
    std::fs::remove_file(folder.config().state.join("resume")).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

async fn poisoned(log: &Log) -> bool {
    tokio::time::timeout(Duration::from_secs(10), log.poisoned()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_log_goes_on_as_one_that_was_read_from_its_beginning() {
    let (folder, newest) = three_segments().await;
    let whole = Folder { dir: tempfile::tempdir().unwrap(), key: folder.key.clone() };
    copy(folder.dir.path(), whole.dir.path());
    without_resume_file(&whole);
    for folder in [&folder, &whole] {
        let log = folder.open();
        append_large(&log, 300, Kind::Unary).await;
        for index in [0, newest - 1, newest, 255, 256, log.size().await - 1] {
            verify::receipt(&log.receipt(index).await.unwrap().to_bytes(), &folder.key).unwrap();
            assert!(log.record(index).await.is_ok(), "entry {index}");
        }
        log.close().await.unwrap();
        verify::directory(&folder.log(), &folder.key, &[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_an_older_segment_stops_the_log_soon_after_its_start_and_refuses_the_next() {
    let (folder, _) = three_segments().await;
    flip(&folder.segment(), 100);
    let log = folder.open();
    assert!(poisoned(&log).await, "the older segments are read again");
    drop(log);
    torn::free(&folder).await;
    let refused = Log::open(folder.config(), Clock::system()).err();
    assert!(
        matches!(&refused, Some(Error::Damaged { path, offset: 0, .. }) if *path == folder.segment()),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn older_segments_that_are_sound_but_others_or_gone_stop_the_log_too() {
    let (folder, _) = three_segments().await;
    let (other, _) = three_segments().await;
    std::fs::copy(other.segment(), folder.segment()).unwrap();
    assert!(poisoned(&folder.open()).await, "others");

    let (folder, _) = three_segments().await;
    std::fs::remove_file(folder.segment()).unwrap();
    assert!(poisoned(&folder.open()).await, "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_file_that_is_damaged_forged_or_anothers_costs_only_time() {
    type Change = fn(&Folder);
    fn forged(folder: &Folder, change: fn(&mut resume::Resume)) {
        let config = folder.config();
        let mut resume = resume::read(&OsDisk, &config.state, &config.origin).unwrap();
        change(&mut resume);
        resume::write(&OsDisk, &config.state, &resume).unwrap();
    }
    let changes: [(&str, Change); 8] = [
        ("damaged", |folder| flip(&folder.config().state.join("resume"), 90)),
        ("empty", |folder| std::fs::write(folder.config().state.join("resume"), "").unwrap()),
        ("another hash", |folder| forged(folder, |resume| resume.edge[0][5] ^= 1)),
        ("another entry", |folder| forged(folder, |resume| resume.bundle[70] ^= 1)),
        ("another hash and its entry", |folder| {
            forged(folder, |resume| {
                resume.bundle[70] ^= 1;
                let first = crate::bundle::nth(&resume.bundle, 0).unwrap();
                resume.edge[0][..32].copy_from_slice(&leaf_hash(first));
            })
        }),
        ("another hash and its entry, and no checkpoint in the log", |folder| {
            forged(folder, |resume| {
                resume.bundle[70] ^= 1;
                let first = crate::bundle::nth(&resume.bundle, 0).unwrap();
                resume.edge[0][..32].copy_from_slice(&leaf_hash(first));
            });
            std::fs::remove_file(folder.log().join("checkpoint")).unwrap();
        }),
        ("another size", |folder| forged(folder, |resume| resume.size -= 1)),
        ("another log's", |folder| forged(folder, |resume| resume.origin.push('x'))),
    ];
    for (what, change) in changes {
        let (folder, _) = three_segments().await;
        change(&folder);
        let log = folder.open();
        assert_eq!(log.size().await, 2 * A_SEGMENT as u64 + 3, "{what}");
        log.receipt(0).await.unwrap();
        log.close().await.unwrap();
        verify::directory(&folder.log(), &folder.key, &[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_back_to_an_older_segment_does_not_start() {
    let (folder, newest) = three_segments().await;
    let path = folder.log().join(format!("segments/{newest:016x}"));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Checkpoint { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Checkpoint { .. })));
    std::fs::remove_file(folder.log().join("checkpoint")).unwrap();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Lost { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_were_opened_in_an_older_segment_are_closed_at_a_fast_start() {
    let folder = Folder::new();
    let log = folder.open();
    let open = |log: &Log| log.reserve().unwrap().open(&record(log, Kind::Open));
    let (left_open, _) = open(&log);
    let (closed, opening) = open(&log);
    let left_open = left_open.await.unwrap().index;
    closed.await.unwrap();
    log.reserve().unwrap().close(&opening, &record(&log, Kind::Close)).await.unwrap();
    append_large(&log, A_SEGMENT + 2, Kind::Unary).await;
    log.close().await.unwrap();
    drop(log);
    let resume = resume::read(&OsDisk, &folder.config().state, "bus.example/evidence").unwrap();
    let open: Vec<_> = resume.open.iter().map(|stream| stream.index).collect();
    assert_eq!(open, [left_open]);

    let log = folder.open();
    let last = log.record(log.size().await - 1).await.unwrap();
    assert_eq!((last.kind(), last.opening, last.outcome.as_str()), (Kind::Close, left_open, UNKNOWN_OUTCOME));
    log.close().await.unwrap();
    drop(log);
    let size = folder.open().size().await;
    assert_eq!(size, 3 + A_SEGMENT as u64 + 2 + 1, "it is closed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_and_bundles_of_older_segments_that_are_lost_are_made_again() {
    let folder = Folder::new();
    let log = folder.open();
    append_at_once(&log, 512).await;
    append_large(&log, A_SEGMENT + 2, Kind::Unary).await;
    log.close().await.unwrap();
    drop(log);
    let lost = ["tile/0/000", "tile/entries/001"].map(|name| folder.log().join(name));
    for path in &lost {
        std::fs::remove_file(path).unwrap();
    }
    let log = folder.open();
    let made = async {
        while !lost.iter().all(|path| path.exists()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), made).await.expect("they are made again");
    log.receipt(300).await.unwrap();
    log.close().await.unwrap();
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_altered_gives_no_false_record() {
    let folder = Folder::new();
    let log = folder.open();
    append_at_once(&log, 300).await;
    log.checkpoint().await.unwrap();
    flip(&folder.log().join("tile/entries/000"), 40);
    assert!(matches!(log.record(0).await, Err(Error::Damaged { .. })));
    assert!(matches!(log.receipt(0).await, Err(Error::Damaged { .. })));
    assert!(log.record(299).await.is_ok());
}
