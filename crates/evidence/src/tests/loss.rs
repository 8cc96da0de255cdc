//! Tests that a log that holds less than was signed, or something else, does not start until an operator
//! accepts the loss.

use super::*;

/// What a start says.
fn refusal(folder: &Folder) -> Error {
    Log::open(folder.config(), Clock::system()).err().expect("it does not start")
}

/// A log of five signed entries, and a copy of its folder as it was with three.
async fn with_older_copy() -> (Folder, tempfile::TempDir) {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 3).await;
    log.close().await.unwrap();
    let older = tempfile::tempdir().unwrap();
    copy(&folder.log(), older.path());
    let log = folder.open();
    append(&log, 2).await;
    log.close().await.unwrap();
    (folder, older)
}

fn put_back(folder: &Folder, older: &Path) {
    std::fs::remove_dir_all(folder.log()).unwrap();
    copy(older, &folder.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_folder_does_not_start() {
    let (folder, older) = with_older_copy().await;
    put_back(&folder, older.path());
    let refused = refusal(&folder);
    assert!(matches!(refused, Error::Lost { found: 3, signed: 5, .. }), "{refused}");
    assert!(refused.to_string().contains("chapar evidence accept-loss"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_tail_is_cut_and_whose_checkpoint_is_gone_does_not_start() {
    let (folder, _) = with_older_copy().await;
    let whole = std::fs::read(folder.segment()).unwrap();
    std::fs::write(folder.segment(), &whole[..whole.len() / 2]).unwrap();
    std::fs::remove_file(folder.log().join("checkpoint")).unwrap();
    let refused = refusal(&folder);
    assert!(matches!(refused, Error::Lost { found: 2, signed: 5, .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_other_entries_does_not_start_however_long_it_is() {
    let (folder, older) = with_older_copy().await;
    let fork = Folder { dir: tempfile::tempdir().unwrap(), key: folder.key.clone() };
    for key in ["key", "period"] {
        std::fs::copy(folder.dir.path().join(key), fork.dir.path().join(key)).unwrap();
    }
    copy(older.path(), &fork.log());
    accept_loss(&fork.config(), &Clock::system(), "mirza", "a fork for the test").unwrap();
    let log = fork.open();
    append(&log, 20).await;
    log.close().await.unwrap();

    put_back(&folder, &fork.log());
    let refused = refusal(&folder);
    assert!(
        matches!(refused, Error::Lost { found: 24, signed: 5, problem, .. } if !problem.is_empty()),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_entries_and_without_its_state_does_not_start() {
    let (folder, _) = with_older_copy().await;
    std::fs::remove_dir_all(folder.dir.path().join("state")).unwrap();
    let refused = refusal(&folder);
    assert!(matches!(refused, Error::StateMissing { found: 5, .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_crashed_before_its_first_checkpoint_starts() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 4).await;
    drop(log);
    torn::free(&folder).await;
    assert_eq!(folder.open().size().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_loss_is_on_the_record_and_no_index_or_size_is_used_twice() {
    let (folder, older) = with_older_copy().await;
    let before = std::fs::read(folder.log().join("checkpoint")).unwrap();
    put_back(&folder, older.path());

    let loss = accept_loss(&folder.config(), &Clock::system(), "mirza", "disk 2 failed").unwrap();

    assert_eq!(loss, Loss { found: 3, signed: Some(5), written: 3 });
    let again = accept_loss(&folder.config(), &Clock::system(), "mirza", "again").unwrap_err();
    assert!(matches!(again, Error::NothingLost(_)), "{again}");
    let log = folder.open();
    assert_eq!(log.size().await, 6, "one more than any size that was signed");
    for index in 3..6 {
        let record = log.record(index).await.unwrap();
        assert_eq!(
            (record.kind(), record.clerk.as_str(), record.case.as_str()),
            (Kind::Lost, "mirza", "disk 2 failed")
        );
        assert!(verify::receipt(&log.receipt(index).await.unwrap().to_bytes(), &folder.key).is_ok());
    }
    append(&log, 1).await;
    log.close().await.unwrap();
    let sentence = verify::directory(&folder.log(), &folder.key, &[]).unwrap().sentence().to_owned();
    assert!(sentence.contains("3 stand where signed entries were lost"), "{sentence}");
    let since = verify::checkpoint(&before, &folder.key, &verify::Witnesses::default()).unwrap();
    assert!(
        verify::directory(&folder.log(), &folder.key, std::slice::from_ref(&since)).is_err(),
        "whoever kept a checkpoint sees it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_held_to_a_checkpoint_or_receipt_that_someone_kept() {
    let (folder, older) = with_older_copy().await;
    let early = verify::checkpoint(
        &std::fs::read(older.path().join("checkpoint")).unwrap(),
        &folder.key,
        &verify::Witnesses::default(),
    )
    .unwrap();
    let log = folder.open();
    append(&log, 3).await;
    let kept = log.receipt(7).await.unwrap().to_bytes();
    let late = verify::checkpoint(&kept, &folder.key, &verify::Witnesses::default()).unwrap();
    log.close().await.unwrap();
    for since in [&early, &late] {
        verify::directory(&folder.log(), &folder.key, std::slice::from_ref(since)).unwrap();
    }

    put_back(&folder, older.path());
    verify::directory(&folder.log(), &folder.key, &[]).expect("a copy is sound in itself");
    verify::directory(&folder.log(), &folder.key, std::slice::from_ref(&early)).unwrap();
    let invalid =
        verify::directory(&folder.log(), &folder.key, std::slice::from_ref(&late)).unwrap_err().to_string();
    assert!(invalid.contains("8 entries were signed before, the log holds 3"), "{invalid}");

    // Unsigned entries past the copy's checkpoint are held to it too.
    std::fs::remove_dir_all(folder.dir.path().join("state")).unwrap();
    accept_loss(&folder.config(), &Clock::system(), "mirza", "for the test").unwrap();
    let log = folder.open();
    append(&log, 10).await;
    let invalid =
        verify::directory(&folder.log(), &folder.key, std::slice::from_ref(&late)).unwrap_err().to_string();
    assert!(invalid.contains("the first 8 entries are others"), "{invalid}");
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stray_files_among_the_segments_are_passed_over() {
    let (folder, _) = with_older_copy().await;
    for name in [".DS_Store", "0000000000000000.bak", ".nfs000000000001", "0000000000000000~", "a"] {
        std::fs::write(folder.log().join("segments").join(name), "stray").unwrap();
    }
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
    assert_eq!(folder.open().size().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_folder_is_moved_replaced_or_cut_while_it_is_open_stops_within_a_second() {
    type Change = fn(&Folder);
    let changes: [(&str, Change); 5] = [
        ("removed", |folder| std::fs::remove_dir_all(folder.log()).unwrap()),
        ("renamed", |folder| std::fs::rename(folder.log(), folder.dir.path().join("away")).unwrap()),
        ("cut", |folder| std::fs::write(folder.segment(), "").unwrap()),
        ("segment removed", |folder| std::fs::remove_file(folder.segment()).unwrap()),
        ("replaced", |folder| {
            copy(&folder.log(), &folder.dir.path().join("copy"));
            std::fs::rename(folder.log(), folder.dir.path().join("away")).unwrap();
            std::fs::rename(folder.dir.path().join("copy"), folder.log()).unwrap();
        }),
    ];
    for (what, change) in changes {
        let folder = Folder::new();
        let log = folder.open();
        append(&log, 5).await;
        change(&folder);
        let stopped = tokio::time::timeout(Duration::from_secs(3), log.poisoned()).await;
        assert!(stopped.is_ok(), "{what}");
        assert!(matches!(log.reserve().err(), Some(NoSlot::Unavailable(_))), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_on_the_folder_and_no_file_that_can_be_removed() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 1).await;
    std::fs::remove_file(folder.log().join("lock")).ok();
    assert!(matches!(refusal(&folder), Error::InUse(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_low_water_mark_no_slot_is_given_until_there_is_room() {
    let folder = Folder::new();
    let log = Log::open(Config { low_water: u64::MAX, ..folder.config() }, Clock::system()).unwrap();
    let held = log.reserve().unwrap();
    let refused = async {
        while log.reserve().err() != Some(NoSlot::DiskFull) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), refused).await.expect("the disk is looked at");
    assert_eq!(log.condition(), Condition::DiskFull);
    held.append(&record(&log, Kind::Unary)).await.expect("what is under way is still written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_records_do_not_go_back_with_a_clock_that_was_corrected() {
    let folder = Folder::new();
    let log = folder.open();
    let day = Clock::system().now().as_millisecond().unsigned_abs() + 100_000;
    assert_eq!([log.time_ms(day), log.time_ms(day - 600), log.time_ms(day + 1)], [day, day, day + 1]);
    let ahead = day + 60_000;
    let late = Record { time_unix_ms: ahead, ..record(&log, Kind::Unary) };
    log.reserve().unwrap().append(&late).await.unwrap();
    log.close().await.unwrap();
    let log = folder.open();
    assert_eq!(log.time_ms(ahead - 1000), ahead, "over a restart too");
    assert_eq!(
        [log.time_ms(5), log.time_ms(6)],
        [5, 6],
        "a clock that was years ahead once does not date what follows"
    );
}
