//! The newest records, for what is counted by time.

use super::*;

const HOUR: u64 = 3_600_000;

/// Appends so many records of calls that came in at this time.
async fn at(log: &Log, time_unix_ms: u64, count: usize) {
    let mut waiting = Vec::new();
    for _ in 0..count {
        let record = Record { time_unix_ms, ..record(log, Kind::Unary) };
        waiting.push(log.reserve().unwrap().append(&record));
        if waiting.len() == 500 {
            for appended in waiting.drain(..) {
                appended.await.unwrap();
            }
        }
    }
    for appended in waiting {
        appended.await.unwrap();
    }
}

fn indices(log: &Log, since: u64) -> BTreeSet<u64> {
    let mut indices = BTreeSet::new();
    log.recent(since, &mut |index, record| {
        assert!(record.time_unix_ms >= since && indices.insert(index), "{index} twice, or too old");
    })
    .unwrap();
    indices
}

#[tokio::test]
async fn records_since_a_time_are_shown_once_each_with_their_index_over_several_segments() {
    let folder = Folder::new();
    let log = folder.open();
    // Some 5,000 records fill a segment of the tests.
    at(&log, 10 * HOUR, 9000).await;
    at(&log, 20 * HOUR, 9000).await;
    at(&log, 19 * HOUR, 10).await;
    assert!(std::fs::read_dir(folder.log().join("segments")).unwrap().count() > 3);
    assert_eq!(indices(&log, 20 * HOUR), (9000..18_000).collect());
    assert_eq!(indices(&log, 19 * HOUR), (9000..18_010).collect());
    assert_eq!(indices(&log, 0), (0..18_010).collect());
    assert!(indices(&log, 21 * HOUR).is_empty());
}

#[tokio::test]
async fn damage_in_an_older_segment_is_an_error_and_not_a_lower_count() {
    let folder = Folder::new();
    let log = folder.open();
    at(&log, 20 * HOUR, 12_000).await;
    let mut bytes = std::fs::read(folder.segment()).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(folder.segment(), bytes).unwrap();
    let error = log.recent(0, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    // What was enough without it is not disturbed.
    at(&log, 40 * HOUR, 9000).await;
    assert!(!indices(&log, 40 * HOUR).is_empty());
}

#[tokio::test]
async fn a_missing_segment_and_a_damaged_end_are_errors_too() {
    let folder = Folder::new();
    let log = folder.open();
    at(&log, 20 * HOUR, 18_000).await;
    let mut names: Vec<_> = std::fs::read_dir(folder.log().join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let (second, newest) = (&names[1], names.last().unwrap());
    let away = folder.dir.path().join("away");
    std::fs::rename(second, &away).unwrap();
    assert!(matches!(log.recent(0, &mut |_, _| {}), Err(Error::Damaged { .. })));
    std::fs::rename(&away, second).unwrap();
    log.recent(0, &mut |_, _| {}).unwrap();

    let mut bytes = std::fs::read(newest).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    assert!(matches!(log.recent(0, &mut |_, _| {}), Err(Error::Damaged { .. })));
}
