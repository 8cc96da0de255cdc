//! Tests the table of outcomes: every way in which a call can end without an answer has one reason, and shows
//! no value.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use tonic_types::StatusExt;

use chapar_telemetry::SourceFigures;

use super::bench::{Bench, GATEWAY, framed, one_connection};
use crate::source::WAITING_BATCHES;
use crate::source::sqlite::Sqlite;

const ONE: &str = r#"{"id": "1"}"#;
/// Of every fixture, a text that must not come back in a refusal.
const SECRET: &str = "s3cret-value";

async fn person_after(sql: &str, fields: &str, rows: &str) -> String {
    let answered = Bench::after(sql).call("GetPerson", fields, rows, ONE).await;
    let status = tonic::Status::from_header_map(&answered.trailers);
    if let Some(status) = status.filter(|_| answered.reason.is_some()) {
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.reason.as_str()), ("chapar", answered.reason()));
        assert!(!format!("{status:?} {details:?} {:?}", answered.trailers).contains(SECRET));
        assert!(answered.messages.is_empty());
    }
    answered.reason().to_owned()
}

#[tokio::test]
async fn every_outcome_of_a_unary_call_has_its_reason() {
    for (sql, fields, rows, reason) in [
        ("DELETE FROM person", "given_name", "", "RECORD_NOT_FOUND"),
        ("", "given_name", "province=16", "RECORD_NOT_FOUND"),
        ("INSERT INTO person SELECT * FROM person WHERE id = '1'", "given_name", "", "RECORD_NOT_UNIQUE"),
        ("UPDATE person SET given_name = NULL", "given_name", "", "NULL_IN_REQUIRED"),
        ("UPDATE person SET street = NULL", "address", "", "NULL_IN_REQUIRED"),
        ("UPDATE person SET nickname = NULL", "nickname", "", "OK"),
        ("UPDATE person SET given_name = NULL", "nickname", "", "OK"),
        ("UPDATE person SET given_name = x'ff'", "given_name", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET given_name = CAST(x'ff' AS TEXT)", "given_name", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET birth_date = 's3cret-value'", "birth_date", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET birth_date = '1991-02-30'", "birth_date", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET life = 's3cret-value'", "life_status", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET life = 9", "life_status", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET children = 3000000000", "children", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET children = 's3cret-value'", "children", "", "VALUE_UNREADABLE"),
        ("UPDATE person SET photo = 's3cret-value'", "photo", "", "VALUE_UNREADABLE"),
        ("", "no_such_field", "", "SCHEMA_DRIFT"),
        ("", "given_name", "county=1", "SCHEMA_DRIFT"),
    ] {
        assert_eq!(person_after(sql, fields, rows).await, reason, "{sql} {fields} {rows}");
    }
}

#[tokio::test]
async fn a_list_is_never_cut_silently() {
    let bench = Bench::new();
    let two = r#"{"id": "2"}"#;
    assert_eq!(bench.call("ListChildren", "name", "", two).await.reason(), "TOO_MANY_ROWS");
    assert_eq!(bench.call("ListDegrees", "degrees.title", "", two).await.reason(), "TOO_MANY_ROWS");
}

#[tokio::test]
async fn a_fault_in_the_middle_of_a_stream_ends_it_with_its_reason() {
    let bench = Bench::after("UPDATE child SET name = x'00' WHERE name = 'Amir'");
    assert_eq!(bench.call("ListChildren", "name", "", ONE).await.reason(), "VALUE_UNREADABLE");
}

#[tokio::test]
async fn a_row_of_another_subject_is_never_released() {
    let statements = super::bench::STATEMENTS
        .map(|(method, sql)| (method, sql.replace("WHERE id = :id", "WHERE id <> :id")));
    let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
    let bench = Bench::with(super::bench::PROTO, &statements, super::bench::SCHEMA, "").unwrap();
    let answered = bench.call("GetPerson", "given_name", "", ONE).await;
    assert_eq!((answered.reason(), answered.messages.len()), ("SCHEMA_DRIFT", 0));
}

#[tokio::test]
async fn a_table_that_changed_under_the_adapter_is_drift() {
    let bench = Bench::new();
    let database = rusqlite::Connection::open(bench.folder().join("reg.db")).unwrap();
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "OK");
    database.execute_batch("ALTER TABLE person RENAME COLUMN given_name TO first_name").unwrap();
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "SCHEMA_DRIFT");
    assert_eq!(bench.call("ListDegrees", "degrees.title", "", ONE).await.reason(), "OK", "the others go on");
}

#[tokio::test]
async fn a_database_that_is_overwritten_in_place_is_answered_from_at_once() {
    let bench = Bench::new();
    let file = bench.folder().join("reg.db");
    let other = bench.folder().join("other.db");
    let was = std::fs::read(&file).unwrap();
    let name = async || {
        let answered = bench.call("GetPerson", "given_name", "", ONE).await;
        answered.messages.first().map(|message| message["givenName"].clone())
    };
    assert_eq!(name().await, Some("زهرا".into()));
    // Two exports by one program: other records, and the same change counter in the header.
    std::fs::copy(&file, &other).unwrap();
    let database = rusqlite::Connection::open(&other).unwrap();
    database.execute_batch("UPDATE person SET given_name = 'Other' WHERE id = '1'").unwrap();
    drop(database);
    let mut bytes = std::fs::read(&other).unwrap();
    bytes[24..28].copy_from_slice(&was[24..28]);
    bytes[92..96].copy_from_slice(&was[92..96]);
    // First slowly, on connections that are kept, then within one tick of the kernel's clock for files.
    for pause in [[50; 2].as_slice(), &[0; 60]].concat() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        assert_eq!(name().await, Some("زهرا".into()));
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(name().await, Some("Other".into()));
        std::fs::write(&file, &was).unwrap();
        assert_eq!(name().await, Some("زهرا".into()));
    }
    std::fs::write(&file, "").unwrap();
    assert_eq!(name().await, None);
    std::fs::write(&file, &was).unwrap();
    assert_eq!(name().await, Some("زهرا".into()), "what was empty for a moment is read again");
}

#[tokio::test]
async fn a_damaged_page_is_a_source_that_is_down_and_the_other_tables_go_on() {
    let bench = Bench::new();
    let file = bench.folder().join("reg.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'person'";
    let root: u32 = database.query_row(root, [], |row| row.get(0)).unwrap();
    drop(database);
    let root = root as usize;
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[(root - 1) * 4096..root * 4096].fill(0xaa);
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "SOURCE_DOWN");
    assert_eq!(bench.call("ListDegrees", "degrees.title", "", ONE).await.reason(), "OK");
}

#[tokio::test]
async fn a_writer_that_ended_in_the_middle_leaves_a_source_that_is_down_and_the_file_to_blame_is_named() {
    let bench = Bench::new();
    let at = |name: &str| bench.folder().join(name);
    std::fs::copy(at("reg.db"), at("writer.db")).unwrap();
    let writer = rusqlite::Connection::open(at("writer.db")).unwrap();
    // With a cache of two pages the change is in the file before the end of the transaction.
    let change = "PRAGMA cache_size = 2; BEGIN; UPDATE person SET photo = zeroblob(200000)";
    writer.execute_batch(change).unwrap();
    std::fs::copy(at("writer.db-journal"), at("reg.db-journal")).unwrap();
    std::fs::copy(at("writer.db"), at("reg.db")).unwrap();
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "SOURCE_DOWN");
    let told = Sqlite::open(&at("reg.db"), one_connection(Duration::from_secs(1)), SourceFigures::default())
        .err()
        .unwrap();
    assert!(told.contains("reg.db` cannot be opened") && told.contains("`-journal`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_failed_gives_its_connection_back_although_no_one_reads_it() {
    let failing = "WITH RECURSIVE counter(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counter WHERE number < 100000)\n\
                   SELECT CASE number WHEN :most THEN 'x' ELSE number END AS number FROM counter";
    let statements =
        super::bench::STATEMENTS.map(|(method, sql)| (method, if method == "Count" { failing } else { sql }));
    let bench = Bench::with(super::bench::PROTO, &statements, super::bench::SCHEMA, "").unwrap();
    // Row 7000 is in the fourth batch of 16 KiB: the first is taken, and the next two wait.
    let body = bench.begin("Count", "number", &[0x08, 0xd8, 0x36]).await;
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "OK");
    assert_eq!(body.waiting(), WAITING_BATCHES, "there is no place for the failure");
    let read = body.collect().await.unwrap();
    assert_eq!(read.trailers().unwrap()["chapar-reason"], "VALUE_UNREADABLE");
}

#[tokio::test]
async fn a_writer_that_is_done_soon_is_waited_for() {
    let bench = Bench::new();
    let database = rusqlite::Connection::open(bench.folder().join("reg.db")).unwrap();
    for _ in 0..3 {
        database.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let call = bench.call("GetPerson", "given_name", "", ONE);
        let writer = async {
            tokio::time::sleep(Duration::from_millis(250)).await;
            database.execute_batch("COMMIT").unwrap();
        };
        assert_eq!(tokio::join!(call, writer).0.reason(), "OK");
    }
}

#[tokio::test]
async fn a_locked_database_is_busy() {
    let bench = Bench::new();
    let database = rusqlite::Connection::open(bench.folder().join("reg.db")).unwrap();
    database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "SOURCE_BUSY");
    database.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bench.call("GetPerson", "given_name", "", ONE).await.reason(), "OK");
}

#[tokio::test]
async fn a_slow_statement_is_really_interrupted() {
    let slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000)\n\
                SELECT max(i) + :most AS number FROM n";
    let proto = super::bench::PROTO.replace("timeout: { seconds: 20 }", "timeout: { nanos: 200000000 }");
    let statements =
        super::bench::STATEMENTS.map(|(method, sql)| (method, if method == "Count" { slow } else { sql }));
    let bench = Bench::with(&proto, &statements, super::bench::SCHEMA, "").unwrap();
    for (timeout, reason) in [("10S", "SOURCE_TIMEOUT"), ("50m", "DEADLINE_EXCEEDED")] {
        let started = Instant::now();
        let metadata = [("chapar-fields", "number"), ("grpc-timeout", timeout)];
        let answered = bench.send("Count", &metadata, framed(&[]), GATEWAY).await;
        assert_eq!(answered.reason(), reason);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        // The only connection is free again, so the statement is not running any more.
        while bench.call("GetPerson", "given_name", "", ONE).await.reason() != "OK" {
            assert!(started.elapsed() < Duration::from_secs(2), "the statement still runs");
        }
    }
}

#[tokio::test]
async fn what_is_no_call_is_refused_before_the_database() {
    let bench = Bench::new();
    let granted = [("chapar-fields", "given_name")];
    let good = || framed(&[0x0a, 1, b'1']);
    let twice = [("chapar-fields", "given_name"), ("chapar-fields", "photo")];
    let timeout = [("chapar-fields", "given_name"), ("grpc-timeout", "soon")];
    for (method, metadata, body, caller, reason) in [
        (
            "GetPerson",
            &granted[..],
            good(),
            "spiffe://lorestan.example/gov/welfare/benefits",
            "IDENTITY_UNKNOWN",
        ),
        ("GetPerson", &granted, good(), "spiffe://other.example/bus/lorestan/gateway", "IDENTITY_UNKNOWN"),
        ("getperson", &granted, good(), GATEWAY, "METHOD_UNKNOWN"),
        ("GetPerson", &[], good(), GATEWAY, "REQUEST_MALFORMED"),
        ("GetPerson", &twice, good(), GATEWAY, "METADATA_AMBIGUOUS"),
        ("GetPerson", &timeout, good(), GATEWAY, "TIMEOUT_MALFORMED"),
        ("GetPerson", &granted, framed(&[0x0a, 9, b'1']), GATEWAY, "REQUEST_MALFORMED"),
        ("GetPerson", &granted, framed(&[0x0a, 1, 0xff]), GATEWAY, "REQUEST_MALFORMED"),
        ("GetPerson", &granted, framed(&[]), GATEWAY, "FIELD_INVALID"),
        ("GetPerson", &granted, Bytes::new(), GATEWAY, "CARDINALITY"),
        ("GetPerson", &granted, Bytes::from_static(&[0, 0, 0, 0]), GATEWAY, "FRAME_MALFORMED"),
        ("GetPerson", &granted, framed(&[0; 70_000]), GATEWAY, "MESSAGE_TOO_LARGE"),
    ] {
        assert_eq!(
            bench.send(method, metadata, body, caller).await.reason(),
            reason,
            "{method} {metadata:?}"
        );
    }
}
