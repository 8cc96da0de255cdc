//! Tests that a caller that is refused again and again can neither fill the evidence log nor overload the
//! gateway's own services.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_evidence::{Kind, Record};
use chapar_tests::fleet::Fleet;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Ask, Bus, Caller, until};
use futures_util::future::join_all;

/// Refusals that the records stand for.
fn refused(records: &[Record], outcome: &str) -> u64 {
    let of = records.iter().filter(|record| record.kind() == Kind::Refusal && record.outcome == outcome);
    of.map(|record| record.count.max(1)).sum()
}

async fn flood(caller: &Caller, calls: usize) {
    for _ in 0..calls / 50 {
        let asked = (0..50).map(|_| caller.get_person(ZAHRA).send());
        assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap_err().reason == "NOT_GRANTED"));
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_one_record_a_second_and_counted_exactly() {
    let bus = Bus::start().await;
    let stranger_to_the_grant = bus.caller("office/khorramabad-12/guest").await;
    let began = std::time::Instant::now();

    flood(&stranger_to_the_grant, 1000).await;

    let records = bus.records_when(|records| refused(records, "NOT_GRANTED") == 1000).await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(records.len() <= 2 + seconds, "{} records in {seconds} s", records.len());
    assert!(records.iter().all(|record| record.caller == "office/khorramabad-12/guest"));
}

#[tokio::test]
async fn what_is_counted_is_written_when_the_gateway_stops() {
    let mut bus = Bus::start().await;
    flood(&bus.caller("office/khorramabad-12/guest").await, 200).await;
    bus.restart_gateway().await;
    let records = bus.records().await;
    assert_eq!((refused(&records, "NOT_GRANTED"), records.len()), (200, 2));
}

#[tokio::test]
async fn a_call_that_reached_the_agency_always_has_a_record_of_its_own() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let asked = (0..10).map(|_| welfare.get_person(chapar_tests::people::NOBODY).send());
    assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap_err().reason == "RECORD_NOT_FOUND"));
    let records = bus.records().await;
    assert_eq!(records.len(), 10);
    assert!(records.iter().all(|record| record.count == 0 && !record.subject_pseudonym.is_empty()));
}

#[tokio::test]
async fn the_gateways_own_services_take_small_requests_within_a_rate() {
    let bus = Bus::start().await;
    let guest = bus.caller("office/khorramabad-12/guest").await;
    let ask = |body: Vec<u8>| guest.ask("chapar.meta.v1.Meta/WhoAmI").raw(Bytes::from(body)).send();
    let too_large = ask([&[0x0a, 0x80, 0x80, 0x04][..], &vec![b'x'; 64 << 10]].concat()).await.unwrap_err();
    assert!([8, 11].contains(&too_large.code), "{too_large:?}");

    let answers = join_all((0..300).map(|_| ask(Vec::new()))).await;
    let limited = answers.iter().filter_map(|answer| answer.as_ref().err());
    let reasons: std::collections::BTreeSet<_> = limited.map(|refusal| refusal.reason.as_str()).collect();
    assert!(reasons.contains("RATE_LIMITED"), "{reasons:?}");
    let welfare = bus.welfare().await;
    assert!(!welfare.who_am_i().await.is_empty(), "another caller is not concerned");
}

#[tokio::test]
async fn calls_of_the_own_services_are_counted_by_their_name_and_as_they_ended() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    welfare.who_am_i().await;
    let unknown = welfare.receipt("test.lorestan.example/evidence/7").await.unwrap_err();
    assert_eq!(unknown.code, 5);
    let page = bus.admin("/metrics").await;
    for line in [
        "chapar_calls_total{method=\"chapar.meta.v1.Meta/WhoAmI\",outcome=\"OK\"} 1",
        "chapar_calls_total{method=\"chapar.meta.v1.Meta/GetReceipt\",outcome=\"RECORD_NOT_FOUND\"} 1",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
}

/// A watch of the gateway's own health.
fn watch(caller: &Caller) -> Ask {
    caller.ask("grpc.health.v1.Health/Watch").raw(Bytes::new())
}

#[tokio::test]
async fn a_watch_lasts_as_long_as_its_caller_said() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let began = Instant::now();

    let watching = watch(&welfare).header("grpc-timeout", "200m").send();

    let ended = tokio::time::timeout(Duration::from_secs(2), watching).await.expect("the watch ends");
    let ended = ended.unwrap_err();
    assert_eq!((ended.code, ended.reason.as_str()), (4, "DEADLINE_EXCEEDED"));
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn of_seventeen_watches_at_once_the_last_is_refused_until_another_ends() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let mut watches = Vec::new();
    for number in 1..=16 {
        let begun = watch(&welfare).open().await.unwrap();
        assert!(!begun.headers().contains_key("grpc-status"), "watch {number}");
        watches.push(begun);
    }

    let last = tokio::time::timeout(Duration::from_secs(5), watch(&welfare).send()).await;
    let refused = last.expect("the last is answered").unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (8, "CONCURRENCY_LIMITED"));
    let bank = bus.caller("com/agri-bank/loans").await;
    assert!(!bank.who_am_i().await.is_empty(), "another caller is not concerned");

    watches.pop();
    let begins = async || {
        let begun = watch(&welfare).open().await.unwrap();
        !begun.headers().contains_key("grpc-status")
    };
    until("its place is given back", Duration::from_secs(5), begins, String::new).await;
}

#[tokio::test]
async fn a_malformed_timeout_is_no_timeout_for_the_own_services_either() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    for method in ["chapar.meta.v1.Meta/WhoAmI", "grpc.health.v1.Health/Check"] {
        for malformed in ["abc", "-1S", "5X", "123456789S", ""] {
            let ask = welfare.ask(method).raw(Bytes::new()).header("grpc-timeout", malformed);
            let refused = ask.send().await.unwrap_err();
            assert_eq!((refused.code, refused.reason.as_str()), (13, "TIMEOUT_MALFORMED"), "{malformed:?}");
        }
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_ten_lines_of_the_log_a_second_and_a_count_of_the_others() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    let nobody = fleet.client_of("gov/school/admission", "school");
    let began = Instant::now();
    for _ in 0..300 {
        nobody.get_person().await.unwrap_err();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    nobody.get_person().await.unwrap_err();
    let log = gateway.log();
    let lines = log.lines().filter(|line| line.contains("call refused")).count() as u64;
    assert!(lines <= 10 * (began.elapsed().as_secs() + 2), "{lines} lines of 301 calls");
    assert!(
        log.lines().any(|line| line.contains("call refused") && !line.contains("\"suppressed\":0")),
        "{log}"
    );
}
