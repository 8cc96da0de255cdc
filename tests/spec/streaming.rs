//! Server streaming: an opening record before the first byte, a closing one before the status.

use chapar_tests::Bus;
use chapar_tests::people::{OMID, ZAHRA};

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
    assert_eq!((records[0].kind(), records[1].kind()), (chapar_evidence::Kind::Open, chapar_evidence::Kind::Close));
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
