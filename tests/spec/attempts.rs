//! Tests of `chapar-request-id`: a repeated attempt of a request counts once, and is recorded as another
//! attempt; another request under the same id is refused.

use chapar_tests::people::{OMID, ZAHRA};
use chapar_tests::{Ask, Bus, Caller};

const ID: &str = "01939f00-7000-7000-8000-000000000001";
const OTHER_ID: &str = "01939f00-7000-7000-8000-000000000002";

/// A grant of three calls, of which none comes back while a test runs.
async fn three_calls() -> Bus {
    Bus::builder().grant_limit("{ rate = \"1/h\", burst = 3, concurrent = 16 }").start().await
}

fn under(id: &str, ask: Ask) -> Ask {
    ask.header("chapar-request-id", id)
}

async fn reason(ask: Ask) -> String {
    ask.send().await.err().map_or_else(|| "OK".to_owned(), |refused| refused.reason)
}

#[tokio::test]
async fn five_attempts_of_a_call_count_as_one_and_are_recorded_one_by_one() {
    let bus = three_calls().await;
    let welfare = bus.welfare().await;

    for _ in 0..5 {
        assert_eq!(reason(under(ID, welfare.get_person(ZAHRA))).await, "OK");
    }

    // One call has been counted; the two others are there for anyone, and then no more.
    assert_eq!(reason(welfare.get_person(ZAHRA)).await, "OK");
    assert_eq!(reason(under(OTHER_ID, welfare.get_person(ZAHRA))).await, "OK");
    assert_eq!(reason(welfare.get_person(ZAHRA)).await, "RATE_LIMITED");
    let records = bus.records().await;
    let attempts: Vec<_> =
        records.iter().map(|record| (record.request_id.as_str(), record.attempt)).collect();
    let wanted = [(ID, 0), (ID, 2), (ID, 3), (ID, 4), (ID, 5), ("", 0), (OTHER_ID, 0), ("", 0)];
    assert_eq!(attempts, wanted);
    let first = &records[0];
    assert!(records[1..5].iter().all(|record| record.subject_pseudonym == first.subject_pseudonym));
}

#[tokio::test]
async fn an_id_is_no_way_around_a_rate() {
    let bus = three_calls().await;
    let welfare = bus.welfare().await;

    let mut answered = 0;
    while reason(under(ID, welfare.get_person(ZAHRA))).await == "OK" {
        answered += 1;
    }

    assert_eq!(answered, 7, "five for one call, and then one for each that is left");
}

#[tokio::test]
async fn another_request_under_the_same_id_is_refused_and_recorded() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    assert_eq!(reason(under(ID, welfare.get_person(ZAHRA))).await, "OK");

    let other_person = under(ID, welfare.get_person(OMID)).send().await.unwrap_err();
    let other_case = reason(under(ID, welfare.get_person(ZAHRA).case("1405/7"))).await;

    assert_eq!((other_person.code, other_person.reason.as_str()), (9, "REQUEST_ID_CONFLICT"));
    assert!(
        other_person.retry_after.is_none() && other_person.pushback_ms.is_none(),
        "trying again cannot help"
    );
    assert_eq!(other_case, "REQUEST_ID_CONFLICT");
    // The second conflict within the second is counted into a later record.
    let records = bus.records_when(|records| records.len() == 3).await;
    assert!(records[1..].iter().all(|record| record.outcome == "REQUEST_ID_CONFLICT"));
    assert_eq!(records.iter().map(|record| record.count).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(reason(under(ID, welfare.get_person(ZAHRA))).await, "OK", "the first one still stands");
}

#[tokio::test]
async fn two_callers_may_use_the_same_id_for_their_own_calls() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller("com/agri-bank/loans").await;
    let of_bank = |bank: &Caller| under(ID, bank.get_person(OMID).purpose("loan.farm"));

    assert_eq!(reason(under(ID, welfare.get_person(ZAHRA))).await, "OK");
    assert_eq!(reason(of_bank(&bank)).await, "OK");

    assert!(bus.records().await.iter().all(|record| record.attempt == 0));
}

#[tokio::test]
async fn a_call_that_was_refused_for_its_rate_has_not_used_its_id() {
    let bus = three_calls().await;
    let welfare = bus.welfare().await;
    for _ in 0..3 {
        assert_eq!(reason(welfare.get_person(ZAHRA)).await, "OK");
    }

    for _ in 0..3 {
        assert_eq!(reason(under(ID, welfare.get_person(ZAHRA))).await, "RATE_LIMITED");
    }
    assert!(bus.records().await.iter().all(|record| record.attempt == 0));
}
