//! The type map of `docs/reference/adapter.md`, row by row and in both directions.

use serde_json::{Value, json};

use super::bench::Bench;

const KINDS: &str = "enum Kind { KIND_UNSPECIFIED = 0; KIND_ONE = 1; }";

fn proto(request: &str, response: &str) -> String {
    format!(
        r#"syntax = "proto3";
        package reg.v1;
        import "chapar/contract/v1/options.proto";
        import "google/type/date.proto";
        import "google/protobuf/timestamp.proto";
        service Register {{
          rpc Get(Ask) returns (Told) {{ option (chapar.contract.v1.method) = {{ purposes: ["test"] }}; }}
        }}
        message Ask {{ {request} v = 1; }}
        message Told {{ {response} v = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }}
        {KINDS}"#
    )
}

/// What the SQL value `value` becomes in a field of type `field`, or the reason why not.
async fn told(field: &str, value: &str) -> Result<Value, String> {
    let statement = format!("-- unused: v\nSELECT {value} AS v");
    let bench = Bench::with(&proto("string", field), &[("Get", &statement)], "CREATE TABLE t (a)", "").unwrap();
    let answered = bench.call("Get", "v", "", "{}").await;
    match answered.messages.first() {
        Some(message) => Ok(message.get("v").cloned().unwrap_or(Value::Null)),
        None => Err(answered.reason().to_owned()),
    }
}

#[tokio::test]
async fn values_of_the_database_become_fields() {
    for (field, value, expected) in [
        ("string", "'متن'", json!("متن")),
        ("string", "''", Value::Null),
        ("optional string", "''", json!("")),
        ("bytes", "x'00ff'", json!("AP8=")),
        ("bool", "1", json!(true)),
        ("optional bool", "0", json!(false)),
        ("int32", "-2147483648", json!(-2_147_483_648)),
        ("sint32", "-2147483648", json!(-2_147_483_648)),
        ("sfixed32", "-1", json!(-1)),
        ("uint32", "4294967295", json!(4_294_967_295_u32)),
        ("fixed32", "4294967295", json!(4_294_967_295_u32)),
        ("int64", "-9223372036854775808", json!("-9223372036854775808")),
        ("sint64", "-9223372036854775808", json!("-9223372036854775808")),
        ("sfixed64", "-1", json!("-1")),
        ("uint64", "9223372036854775807", json!("9223372036854775807")),
        ("fixed64", "1", json!("1")),
        ("double", "0.1", json!(0.1)),
        ("double", "3", json!(3.0)),
        ("float", "0.5", json!(0.5)),
        ("optional double", "0.0", json!(0.0)),
        ("Kind", "1", json!("KIND_ONE")),
        ("Kind", "'KIND_ONE'", json!("KIND_ONE")),
        ("Kind", "'ONE'", json!("KIND_ONE")),
        ("google.type.Date", "'1991-08-03'", json!({"year": 1991, "month": 8, "day": 3})),
        ("google.type.Date", "'1991-08'", json!({"year": 1991, "month": 8})),
        ("google.type.Date", "NULL", Value::Null),
        ("google.protobuf.Timestamp", "'2026-11-23T12:00:00.5+03:30'", json!("2026-11-23T08:30:00.500Z")),
        ("google.protobuf.Timestamp", "'1969-12-31T23:59:59.5Z'", json!("1969-12-31T23:59:59.500Z")),
        ("google.protobuf.Timestamp", "0", json!("1970-01-01T00:00:00Z")),
    ] {
        assert_eq!(told(field, value).await, Ok(expected), "{value} as {field}");
    }
}

#[tokio::test]
async fn values_that_do_not_fit_are_unreadable_and_never_changed_to_fit() {
    for (field, value) in [
        ("string", "1"),
        ("string", "x'31'"),
        ("string", "CAST(x'ff' AS TEXT)"),
        ("bytes", "'text'"),
        ("bool", "2"),
        ("bool", "'true'"),
        ("int32", "2147483648"),
        ("int32", "1.0"),
        ("int32", "'1'"),
        ("uint32", "-1"),
        ("uint64", "-1"),
        ("fixed32", "4294967296"),
        ("double", "'1.5'"),
        ("Kind", "2"),
        ("Kind", "'kind_one'"),
        ("google.type.Date", "'1991-13-01'"),
        ("google.type.Date", "'1991-2-1'"),
        ("google.type.Date", "'0000'"),
        ("google.type.Date", "19910803"),
        ("google.protobuf.Timestamp", "'yesterday'"),
    ] {
        assert_eq!(told(field, value).await, Err("VALUE_UNREADABLE".to_owned()), "{value} as {field}");
    }
    assert_eq!(told("string", "NULL").await, Err("NULL_IN_REQUIRED".to_owned()));
}

#[tokio::test]
async fn fields_of_a_request_are_bound_with_their_type() {
    for (field, request, expected) in [
        ("string", r#"{"v": "آب"}"#, "text آب"),
        ("string", "{}", "text "),
        ("optional string", "{}", "null "),
        ("bytes", r#"{"v": "YWI="}"#, "blob ab"),
        ("bool", r#"{"v": true}"#, "integer 1"),
        ("int32", r#"{"v": -5}"#, "integer -5"),
        ("uint32", r#"{"v": 4294967295}"#, "integer 4294967295"),
        ("uint64", r#"{"v": "9223372036854775807"}"#, "integer 9223372036854775807"),
        ("uint64", r#"{"v": "9223372036854775808"}"#, "FIELD_INVALID"),
        ("double", r#"{"v": 0.5}"#, "real 0.5"),
        ("double", r#"{"v": "NaN"}"#, "FIELD_INVALID"),
        ("double", r#"{"v": "Infinity"}"#, "FIELD_INVALID"),
        ("Kind", r#"{"v": "KIND_ONE"}"#, "integer 1"),
        ("Kind", r#"{"v": 7}"#, "FIELD_INVALID"),
        ("google.type.Date", r#"{"v": {"year": 1991, "month": 8, "day": 3}}"#, "text 1991-08-03"),
        ("google.type.Date", r#"{"v": {"year": 1991, "month": 2, "day": 30}}"#, "FIELD_INVALID"),
        ("google.type.Date", "{}", "null "),
        ("google.protobuf.Timestamp", r#"{"v": "2026-11-23T08:30:00Z"}"#, "text 2026-11-23T08:30:00Z"),
    ] {
        let statement = "SELECT typeof(:v) || ' ' || ifnull(CAST(:v AS TEXT), '') AS v";
        let bench = Bench::with(&proto(field, "string"), &[("Get", statement)], "CREATE TABLE t (a)", "").unwrap();
        let answered = bench.call("Get", "v", "", request).await;
        let told = answered.messages.first().and_then(|message| message["v"].as_str());
        assert_eq!(told.unwrap_or(answered.reason()), expected, "{request} as {field}");
    }
}
