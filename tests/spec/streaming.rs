//! Tests of server streaming: the opening record is durable before the first byte, the closing record before
//! the status.

use std::time::Duration;

use chapar_evidence::Kind;
use chapar_tests::people::{OMID, ZAHRA};
use chapar_tests::{Agency, Ask, Bus, Caller, until};
use futures_util::future::join_all;

const LIST_CHILDREN: &str = "civil.v1.CivilRegistry/ListChildren";

#[tokio::test]
async fn each_message_of_a_stream_is_minimised() {
    let bus = Bus::start().await;

    let children = bus
        .welfare()
        .await
        .ask(LIST_CHILDREN)
        .purpose("benefit.eligibility")
        .field("national_id", ZAHRA)
        .send()
        .await
        .unwrap();

    assert_eq!(children.messages(), 2);
    for child in children.all_json() {
        let names: Vec<&str> = child.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["birthDate", "givenName", "parentId"]);
        assert_eq!(child["parentId"], ZAHRA);
    }
}

#[tokio::test]
async fn a_stream_is_two_records_and_its_trailers_name_the_closing_one() {
    let bus = Bus::start().await;

    let children = bus
        .welfare()
        .await
        .ask(LIST_CHILDREN)
        .purpose("benefit.eligibility")
        .field("national_id", ZAHRA)
        .send()
        .await
        .unwrap();

    let records = bus.records().await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        (records[0].kind(), records[1].kind()),
        (chapar_evidence::Kind::Open, chapar_evidence::Kind::Close)
    );
    assert_eq!((records[1].opening, records[1].messages, records[1].outcome.as_str()), (0, 2, "OK"));
    assert!(children.entry().is_some_and(|entry| entry.ends_with("/1")), "{:?}", children.entry());
}

#[tokio::test]
async fn a_stream_without_rows_is_ok_and_recorded() {
    let bus = Bus::start().await;

    let none = bus
        .welfare()
        .await
        .ask(LIST_CHILDREN)
        .purpose("benefit.eligibility")
        .field("national_id", OMID)
        .send()
        .await
        .unwrap();

    assert_eq!(none.messages(), 0);
    assert_eq!(bus.records().await.len(), 2);
}

fn list_children(caller: &Caller) -> Ask {
    caller.ask(LIST_CHILDREN).purpose("benefit.eligibility").field("national_id", ZAHRA)
}

#[tokio::test]
async fn streams_that_take_all_of_the_log_s_slots_are_refused_and_do_not_stop_the_gateway() {
    let endless = Agency::streaming_without_end(ZAHRA);
    let bus = Bus::builder().agency(endless).setting("max_calls = 8").evidence("queue = 16").start().await;
    let welfare = bus.welfare().await;
    let begun = join_all((0..24).map(|_| list_children(&welfare).open())).await;
    let begun: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
    let (running, refused): (Vec<_>, Vec<_>) =
        begun.into_iter().partition(|answer| !answer.headers().contains_key("grpc-status"));
    assert!(!running.is_empty() && running.len() <= 8, "{} of 24 run", running.len());
    assert!(refused.iter().all(|answer| answer.headers()["grpc-status"] == "14"), "the others may come back");

    drop((running, refused));
    let answered = async || {
        let begun = list_children(&welfare).open().await.unwrap();
        !begun.headers().contains_key("grpc-status")
    };
    until("the slots come back", Duration::from_secs(5), answered, String::new).await;
}

#[tokio::test]
async fn each_stream_ends_exactly_once_whenever_its_caller_leaves() {
    let bus = Bus::builder().agency(Agency::streaming_without_end(ZAHRA)).unlimited().start().await;
    let welfare = bus.welfare().await;
    let leave_after = |micros: u64| {
        let asked = list_children(&welfare).open();
        async move {
            let answered = tokio::time::timeout(Duration::from_micros(micros), asked).await;
            drop(answered);
        }
    };
    for round in 0..20 {
        join_all((0..10).map(|call| leave_after(300 + 100 * call + 37 * round))).await;
    }

    let is_ended = |records: &[chapar_evidence::Record]| {
        let of = |kind| records.iter().filter(|record| record.kind() == kind).count();
        of(Kind::Open) == of(Kind::Close)
    };
    let records = bus.records_when(|records| records.len() > 20 && is_ended(records)).await;
    let mut closed: Vec<u64> =
        records.iter().filter(|record| record.kind() == Kind::Close).map(|record| record.opening).collect();
    closed.sort_unstable();
    closed.dedup();
    let opened = records.iter().enumerate().filter(|(_, record)| record.kind() == Kind::Open);
    assert!(opened.map(|(index, _)| index as u64).eq(closed), "each opening has one closing that names it");
}

#[tokio::test]
async fn a_caller_that_leaves_a_stream_is_recorded_as_gone() {
    let bus = Bus::builder().agency(chapar_tests::Agency::streaming_without_end(ZAHRA)).start().await;

    bus.welfare()
        .await
        .ask(LIST_CHILDREN)
        .purpose("benefit.eligibility")
        .field("national_id", ZAHRA)
        .take_one_and_leave()
        .await;

    let records = bus.records_when(|records| records.len() == 2).await;
    assert_eq!(records[1].outcome, "CANCELLED");
    assert!(records[1].messages >= 1);
}
