//! Tests of providers in trouble: the caller gets a clear reason in time, and calls to other providers are
//! not affected.

use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus, until};

#[tokio::test]
async fn a_provider_that_is_down_is_unavailable_and_comes_back() {
    let mut bus = Bus::start().await;
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());

    bus.stop_adapter().await;
    let refused = welfare.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (14, "ADAPTER_UNAVAILABLE"));
    assert!(refused.retry_after.is_some());

    bus.start_adapter().await;
    let answered = async || welfare.get_person(ZAHRA).send().await.is_ok();
    until("the service comes back by itself", Duration::from_secs(10), answered, String::new).await;
}

#[tokio::test]
async fn a_provider_that_hangs_costs_its_caller_the_deadline_and_no_more() {
    let bus = Bus::builder().agency(Agency::hanging()).start().await;

    let refused =
        bus.welfare().await.get_person(ZAHRA).header("grpc-timeout", "200m").send().await.unwrap_err();

    assert_eq!((refused.code, refused.reason.as_str()), (4, "DEADLINE_EXCEEDED"));
    assert_eq!(bus.outcomes().await, ["DEADLINE_EXCEEDED"]);
}

#[tokio::test]
async fn a_providers_own_words_do_not_reach_the_caller() {
    let bus = Bus::builder().agency(Agency::refusing(7, "CANARY secret of the database")).start().await;

    let refused = bus.welfare().await.get_person(ZAHRA).send().await.unwrap_err();

    assert_eq!((refused.code, refused.reason.as_str()), (14, "ADAPTER_UNAVAILABLE"));
    assert!(!format!("{refused:?}").contains("CANARY"));
}

#[tokio::test]
async fn an_adapter_with_another_identity_is_not_believed() {
    let bus = Bus::builder().adapter_identity("gov/welfare/benefits").start().await;
    let refused = bus.welfare().await.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!(refused.reason, "ADAPTER_UNAVAILABLE");
}

#[tokio::test]
async fn only_a_gateway_may_call_an_adapter() {
    let bus = Bus::start().await;
    let direct = bus.caller_of_adapter("gov/welfare/benefits").await;

    let refused = direct.get_person(ZAHRA).send().await.unwrap_err();

    assert_eq!(refused.code, 16, "{refused:?}");
}

#[tokio::test]
async fn a_database_that_is_replaced_or_removed_under_the_adapter_is_noticed_at_the_next_call() {
    let bus = Bus::builder().unlimited().start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    let database = bus.folder().join("civil.db");
    let away = bus.folder().join("away.db");

    std::fs::copy(&database, &away).unwrap();
    rusqlite::Connection::open(&away).unwrap().execute("UPDATE person SET given_name = 'نو'", []).unwrap();
    std::fs::rename(&away, &database).unwrap();
    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap().json()["givenName"], "نو");

    std::fs::rename(&database, &away).unwrap();
    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap_err().reason, "SOURCE_DOWN");
    std::fs::rename(&away, &database).unwrap();
    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap().json()["givenName"], "نو");
}
