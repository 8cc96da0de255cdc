//! Tests of what an answered call holds, and what it must never hold.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::json;

use super::bench::Bench;
use crate::source::WAITING_BATCHES;

const ALL: &str = "id,given_name,nickname,birth_date,life_status,children,address.city,address.street,photo";

#[tokio::test]
async fn a_row_becomes_a_message_with_every_kind_of_field() {
    let bench = Bench::new();
    let answered = bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await;
    assert_eq!(
        answered.messages,
        [json!({
            "id": "1", "givenName": "زهرا", "birthDate": {"year": 1991, "month": 8, "day": 3},
            "lifeStatus": "LIFE_STATUS_ALIVE", "children": 2, "address": {"city": "خرم‌آباد", "street": "Kargar"}, "photo": "AP8=",
        })]
    );
    let answered = bench.call("GetPerson", ALL, "", r#"{"id": "2"}"#).await;
    let expected = json!({"id": "2", "givenName": "Ali", "nickname": "Alu", "birthDate": {"year": 1950},
        "lifeStatus": "LIFE_STATUS_DECEASED"});
    assert_eq!(answered.messages, [expected], "a message of NULLs only is unset, a year alone is a date");
}

#[tokio::test]
async fn only_granted_fields_and_keys_are_answered() {
    let answered = Bench::new().call("GetPerson", "given_name,address.city", "", r#"{"id": "1"}"#).await;
    assert_eq!(answered.messages, [json!({"id": "1", "givenName": "زهرا", "address": {"city": "خرم‌آباد"}})]);
}

#[tokio::test]
async fn a_column_that_is_not_granted_is_not_even_read() {
    let bench = Bench::after("UPDATE person SET birth_date = 'garbage'");
    let request = r#"{"id": "1"}"#;
    assert_eq!(bench.call("GetPerson", "given_name", "", request).await.reason(), "OK");
    assert_eq!(bench.call("GetPerson", "birth_date", "", request).await.reason(), "VALUE_UNREADABLE");
}

#[tokio::test]
async fn a_stream_keeps_the_statements_order_and_obeys_row_scopes() {
    let bench = Bench::new();
    let request = r#"{"id": "1"}"#;
    let answered = bench.call("ListChildren", "parent,name", "", request).await;
    assert_eq!(
        answered.messages,
        [json!({"parent": "1", "name": "Zhila"}), json!({"parent": "1", "name": "Amir"})]
    );
    let answered = bench.call("ListChildren", "parent,name", "province=15", request).await;
    assert_eq!(answered.messages, [json!({"parent": "1", "name": "Amir"})]);
    let answered = bench.call("ListChildren", "parent,name", "province=17,18", request).await;
    assert_eq!((answered.messages.len(), answered.reason()), (0, "OK"), "an empty list is an answer");
}

#[tokio::test]
async fn all_rows_fill_the_one_repeated_field_of_a_unary_answer() {
    let bench = Bench::new();
    let answered = bench.call("ListDegrees", "degrees.title,degrees.mark", "", r#"{"id": "1"}"#).await;
    assert_eq!(answered.messages, [json!({"degrees": [{"title": "BSc", "mark": 17.5}, {"title": "MSc"}]})]);
    let answered = bench.call("ListDegrees", "degrees.title", "", r#"{"id": "nobody"}"#).await;
    assert_eq!(answered.messages, [json!({})]);
}

#[tokio::test]
async fn injected_text_is_a_literal() {
    let bench = Bench::new();
    for text in [
        "1' OR '1'='1",
        "1; DROP TABLE sentinel",
        "1' UNION SELECT word FROM sentinel --",
        "1\") --",
        "%",
        "_",
        ":id",
        "?1",
        "1\\u0000",
        "1/**/",
        "\\u02bc OR 1=1",
        "1)) AS q; DELETE FROM sentinel; --",
    ] {
        let request = format!(r#"{{"id": {:?}}}"#, text).replace("\\\\u", "\\u");
        assert_eq!(
            bench.call("GetPerson", "given_name", "", &request).await.reason(),
            "RECORD_NOT_FOUND",
            "{text}"
        );
        assert_eq!(
            bench.call("ListDegrees", "degrees.title", "", &request).await.messages,
            [json!({})],
            "{text}"
        );
    }
    let database = rusqlite::Connection::open(bench.folder().join("reg.db")).unwrap();
    let word: String = database.query_row("SELECT word FROM sentinel", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "untouched");
}

#[tokio::test]
async fn a_long_stream_arrives_whole() {
    let answered = Bench::new().call("Count", "number", "", r#"{"most": 100000}"#).await;
    assert_eq!((answered.messages.len(), answered.reason()), (100_000, "OK"));
    assert_eq!(answered.messages[99_999], json!({"number": "100000"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_is_slow_holds_a_few_batches_and_one_who_leaves_frees_the_connection() {
    let bench = Bench::new();
    // 100,000 rows are some 900 KiB; nobody reads them.
    let mut body = bench.begin("Count", "number", &[0x08, 0xa0, 0x8d, 0x06]).await;
    assert!(body.frame().await.is_some());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(body.waiting() <= WAITING_BATCHES, "{}", body.waiting());
    assert_eq!(bench.call("GetPerson", "", "", r#"{"id": "1"}"#).await.reason(), "SOURCE_BUSY");

    drop(body);
    let left = Instant::now();
    while bench.call("GetPerson", "", "", r#"{"id": "1"}"#).await.reason() != "OK" {
        assert!(left.elapsed() < Duration::from_secs(5), "the statement still runs");
    }
}

#[tokio::test]
async fn a_call_is_one_trace_from_the_gateways_span_to_the_statement() {
    let bench = Bench::new();
    let metadata = [
        ("chapar-fields", "given_name"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("chapar-call-id", "01938a3e-5b5c-7cc0-8f1d-000000000001"),
    ];
    let body = super::bench::framed(&[0x0a, 1, b'1']);
    assert_eq!(bench.send("GetPerson", &metadata, body, super::bench::GATEWAY).await.reason(), "OK");
    let traces = serde_json::to_value(bench.traces.recent(1)).unwrap();
    let text = traces.to_string();
    for part in [
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
        "db.system.name",
        "sqlite",
        "reg.v1.Register/GetPerson",
        "db.response.returned_rows",
        "01938a3e-5b5c-7cc0-8f1d-000000000001",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("زهرا") && !text.contains("FROM"), "{text}");
}
