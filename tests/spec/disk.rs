//! Tests of a gateway whose disk is slow, full or moved away. No answer leaves before its record is on disk,
//! no call waits for the disk past its deadline, and the gateway works again when the disk does.

use std::time::{Duration, Instant};

use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, SlowDisk, sync_order, until, until_some};

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_begins_before_the_sync_of_its_record_is_done() {
    let report = sync_order::run(600, 60, Duration::from_millis(20)).await;
    assert_eq!((report.answered, report.early), (600, 0), "{report:?}");
    assert!(report.streams > 0 && report.syncs > 5, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_waited_for_until_the_deadline_and_no_longer() {
    let disk = SlowDisk::default();
    let bus = Bus::builder().disk(disk.clone()).start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    disk.set_delay(Duration::from_secs(2));

    let began = Instant::now();
    let late = welfare.get_person(ZAHRA).header("grpc-timeout", "500m").send().await.unwrap_err();

    assert_eq!(late.reason, "DEADLINE_EXCEEDED");
    assert!(began.elapsed() < Duration::from_millis(1500), "it took {:?}", began.elapsed());
    let refused = welfare.get_person(ZAHRA).without_purpose().send().await.unwrap_err();
    assert_eq!(
        (refused.reason.as_str(), refused.entry),
        ("PURPOSE_REQUIRED", None),
        "answered before its record"
    );
    disk.set_delay(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bus.outcomes().await, ["OK", "OK", "PURPOSE_REQUIRED"], "all of it is on the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_answer_shows_in_readiness_and_health_and_keeps_no_stop_waiting() {
    let disk = SlowDisk::default();
    let mut bus = Bus::builder().disk(disk.clone()).start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    assert_eq!(bus.admin("/readyz").await, "ready\n");
    disk.set_delay(Duration::from_secs(30));

    welfare.get_person(ZAHRA).header("grpc-timeout", "100m").send().await.unwrap_err();

    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(bus.admin("/readyz").await, "the evidence log's disk does not answer\n");
    welfare.health_becomes("", false).await;
    let began = Instant::now();
    let ended = bus.stop_gateway_in_a_hurry().await.unwrap_err();
    assert!(ended.contains("does not answer") && began.elapsed() < Duration::from_secs(8), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_records_and_no_checkpoint_shows_in_readiness_too() {
    let disk = SlowDisk::default();
    let mut bus = Bus::builder().disk(disk.clone()).start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    disk.set_publish_delay(Duration::from_secs(30));

    welfare.get_person(ZAHRA).send().await.unwrap();

    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(bus.admin("/readyz").await, "the evidence log's disk does not answer\n");
    bus.stop_gateway_in_a_hurry().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_read_from_a_slow_disk_holds_up_no_record() {
    let disk = SlowDisk::default();
    let bus = Bus::builder().disk(disk.clone()).unlimited().start().await;
    let welfare = bus.welfare().await;
    let first = welfare.get_person(ZAHRA).send().await.unwrap();
    // More than a tile, whose hashes a receipt of the first record reads back.
    for _ in 0..300 {
        welfare.get_person(ZAHRA).send().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    disk.set_read_delay(Duration::from_millis(700));

    let reader = bus.welfare().await;
    let entry = first.entry().unwrap().to_owned();
    let receipt = tokio::spawn(async move { reader.receipt(&entry).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..5 {
        welfare.get_person(ZAHRA).header("grpc-timeout", "900m").send().await.unwrap();
    }
    assert!(!receipt.is_finished(), "it is still being read");
    receipt.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_calls_in_words_and_takes_them_again_without_a_restart() {
    let disk = SlowDisk::default();
    let bus = Bus::builder().disk(disk.clone()).start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    for _ in 0..3 {
        disk.pretend_free(Some(10 << 20));
        let refused = until_refused(&welfare).await;
        assert_eq!((refused.code, refused.reason.as_str()), (14, "EVIDENCE_UNAVAILABLE"));
        assert!(refused.retry_after.is_some(), "it may come back");
        assert_eq!(bus.admin("/readyz").await, "the evidence log's disk is full\n");
        disk.pretend_free(None);
        until_answered(&welfare).await;
    }
}

async fn until_refused(caller: &chapar_tests::Caller) -> chapar_tests::Refusal {
    let poll = async || {
        let refused = caller.get_person(ZAHRA).send().await.err();
        refused.filter(|refused| refused.reason != "RATE_LIMITED")
    };
    until_some("a call is refused", Duration::from_secs(10), poll, String::new).await
}

async fn until_answered(caller: &chapar_tests::Caller) {
    let answered = async || caller.get_person(ZAHRA).send().await.is_ok();
    until("a call is answered", Duration::from_secs(10), answered, String::new).await;
}
