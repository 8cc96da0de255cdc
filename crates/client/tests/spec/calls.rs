//! Tests of calls: what is sent, what is received, and why a call has no answer.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_client::{CallError, CallMetadata, Client, Config};

use crate::stand_in::{CALL_ID, StandIn, spec};

#[tokio::test]
async fn an_answer_holds_its_messages_its_record_and_what_was_withheld() {
    let gateway = StandIn::start().await;
    let mut call = spec("Echo");
    call.metadata = CallMetadata {
        purpose: Some("loan.farm".parse().unwrap()),
        clerk: Some("z.saki".parse().unwrap()),
        on_behalf_of: Some("com/agri-bank".parse().unwrap()),
        language: Some("fa".to_owned()),
        ..call.metadata
    };
    let answer = gateway.client().await.call(&call, Bytes::from_static(b"request")).await.unwrap();
    assert_eq!(answer.message().unwrap(), "request");
    assert_eq!(answer.messages[1], "loan.farm z.saki com/agri-bank fa 500000u");
    assert_eq!(answer.ending.call_id().as_deref(), Some(CALL_ID));
    assert_eq!(answer.ending.entry().as_deref(), Some("log.example/7"));
    assert_eq!(answer.ending.disclosed(), ["given_name"]);
    assert_eq!(answer.ending.withheld(), ["life_status", "province"]);
}

#[tokio::test]
async fn a_stream_comes_message_by_message_and_a_refusal_midway_ends_it() {
    let gateway = StandIn::start().await;
    let client = gateway.client().await;
    let mut rows = client.call_streaming(&spec("Rows"), Bytes::new()).await.unwrap();
    assert_eq!(rows.call_id().as_deref(), Some(CALL_ID));
    assert_eq!(rows.next().await.unwrap().unwrap(), "1");
    assert_eq!(rows.ending().await.unwrap().entry().as_deref(), Some("log.example/7"));

    let mut rows = client.call_streaming(&spec("Midway"), Bytes::new()).await.unwrap();
    assert_eq!(rows.next().await.unwrap().unwrap(), "1");
    assert_eq!(rows.next().await.unwrap().unwrap(), "2");
    for method in ["Midway", "TornRefused"] {
        let error = client.call(&spec(method), Bytes::new()).await.unwrap_err();
        let CallError::Refused(refusal) = error else { panic!("{method}: {error}") };
        assert_eq!((refusal.code, refusal.reason.as_str()), (7, "NOT_GRANTED"));
        assert_eq!(refusal.call_id.as_deref(), Some(CALL_ID));
        assert_eq!(refusal.entry.as_deref(), Some("log.example/8"));
        assert_eq!(refusal.localized.as_deref(), Some("مجوزی نیست"));
    }
}

#[tokio::test]
async fn a_stream_of_no_messages_may_be_its_end_alone() {
    let gateway = StandIn::start().await;
    let answer = gateway.client().await.call(&spec("Empty"), Bytes::new()).await.unwrap();
    assert!(answer.messages.is_empty());
}

#[tokio::test]
async fn a_refusal_without_an_answer_is_read_from_the_headers() {
    let gateway = StandIn::start().await;
    let error = gateway.client().await.call(&spec("Refused"), Bytes::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: NOT_GRANTED: no grant");
}

#[tokio::test]
async fn a_gateway_that_talks_nonsense_is_named_with_what_is_wrong() {
    let gateway = StandIn::start().await;
    let client = gateway.client().await;
    let cases = [
        ("NoStatus", "ends without a status"),
        ("Torn", "ends inside a message"),
        ("Huge", "longer than 16777216 bytes"),
        ("Html", "not gRPC"),
        ("Http", "HTTP status 415"),
    ];
    for (method, problem) in cases {
        let error = client.call(&spec(method), Bytes::new()).await.unwrap_err();
        assert!(matches!(error, CallError::Garbled { .. }), "{method}: {error}");
        assert!(
            error.to_string().contains(problem) && error.to_string().contains(&gateway.config.gateway),
            "{error}"
        );
    }
}

#[tokio::test]
async fn no_call_is_waited_for_much_longer_than_its_own_time() {
    let gateway = StandIn::start().await;
    let client = gateway.client().await;
    for (method, call_id) in [("Late", None), ("Cancelled", None), ("Stuck", Some(CALL_ID))] {
        let began = Instant::now();
        let error = client.call(&spec(method), Bytes::new()).await.unwrap_err();
        let CallError::Late { call_id: told } = error else { panic!("{method}: {error}") };
        assert_eq!(told.as_deref(), call_id);
        assert!(began.elapsed() < Duration::from_millis(1500), "{method}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_is_told_apart_from_one_that_ended_midway() {
    let gateway = StandIn::start().await;
    let client = gateway.client().await;
    client.call(&spec("Rows"), Bytes::new()).await.unwrap();
    gateway.stop.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = client.call(&spec("Rows"), Bytes::new()).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    let error = Client::connect(gateway.config.clone()).await.err().unwrap();
    assert!(error.to_string().starts_with("cannot reach the gateway at 127.0.0.1:"), "{error}");
    assert_eq!(gateway.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn files_and_names_that_do_not_fit_are_told_before_any_call() {
    let gateway = StandIn::start().await;
    let missing = Config { cert: "missing.crt".into(), ..gateway.config.clone() };
    let told = Client::connect(missing).await.err().unwrap().to_string();
    assert!(told.contains("missing.crt"), "{told}");
    let elsewhere = Config { server_name: "other.lorestan.example".to_owned(), ..gateway.config.clone() };
    let told = Client::connect(elsewhere).await.err().unwrap().to_string();
    assert!(told.contains("other.lorestan.example"), "{told}");
    let lazy = Client::new(Config { gateway: "127.0.0.1:1".to_owned(), ..gateway.config.clone() }).unwrap();
    let told = lazy.call(&spec("Rows"), Bytes::new()).await.unwrap_err().to_string();
    assert!(told.starts_with("cannot reach the gateway at 127.0.0.1:1: "), "{told}");
    let nowhere = Config { gateway: "no-port".to_owned(), ..gateway.config.clone() };
    assert!(matches!(Client::connect(nowhere).await, Err(CallError::Config(_))));
}
