//! Tests SQLite's type map of `docs/reference/adapter.md`, row by row and in both directions.

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
    let bench =
        Bench::with(&proto("string", field), &[("Get", &statement)], "CREATE TABLE t (a)", "").unwrap();
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
        ("float", "0.1", json!(f64::from(0.1_f32))),
        ("float", "16777216", json!(16_777_216.0)),
        ("double", "9007199254740992", json!(9_007_199_254_740_992.0)),
        ("google.protobuf.Timestamp", "-62135596800", json!("0001-01-01T00:00:00Z")),
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
        ("google.protobuf.Timestamp", "'0000-12-31T23:59:59Z'"),
        ("google.protobuf.Timestamp", "'0000-12-31T23:59:59.5Z'"),
        ("google.protobuf.Timestamp", "253402300800"),
        ("google.protobuf.Timestamp", "'1392-04-02T00:00:00Z'"),
        ("google.type.Date", "'1392-04-02'"),
        ("google.type.Date", "'1392'"),
        ("float", "16777217"),
        ("float", "1e300"),
        ("float", "0.123456789012"),
        ("double", "9007199254740993"),
    ] {
        assert_eq!(told(field, value).await, Err("VALUE_UNREADABLE".to_owned()), "{value} as {field}");
    }
    assert_eq!(told("string", "NULL").await, Err("NULL_IN_REQUIRED".to_owned()));
}

#[tokio::test]
async fn a_declared_conversion_is_exact_and_fails_by_row() {
    for (field, declared, value, expected) in [
        ("int64", "integer", "'1,500,000'", Ok(json!("1500000"))),
        ("int32", "integer", "'۱۲'", Ok(json!(12))),
        ("int32", "integer", "'12a'", Err("VALUE_UNREADABLE")),
        ("int32", "integer", "'3,000,000,000'", Err("VALUE_UNREADABLE")),
        ("double", "number", "'۱۷٫۵'", Ok(json!(17.5))),
        ("google.type.Date", "jalali", "'1392/04/02'", Ok(json!({"year": 2013, "month": 6, "day": 23}))),
        ("google.type.Date", "jalali", "'1392/07/31'", Err("VALUE_UNREADABLE")),
        ("google.type.Date", "gregorian", "'1392-04-02'", Ok(json!({"year": 1392, "month": 4, "day": 2}))),
    ] {
        let statement = format!("-- unused: v\n-- column v: {declared}\nSELECT {value} AS v");
        let bench =
            Bench::with(&proto("string", field), &[("Get", &statement)], "CREATE TABLE t (a)", "").unwrap();
        let answered = bench.call("Get", "v", "", "{}").await;
        let told = answered.messages.first().map(|message| message["v"].clone());
        assert_eq!(told.ok_or(answered.reason()), expected, "{value} by {declared} as {field}");
    }
}

#[test]
fn a_conversion_of_no_column_or_of_another_field_is_a_finding() {
    for (field, declared, finding) in [
        ("string", "column w: integer", "`column w` is no column that fills a field"),
        ("string", "column v: integer", "the field `v` cannot be made by this conversion"),
        ("int32", "column v: jalali", "the field `v` cannot be made by this conversion"),
        ("string", "bind v: national", "`bind v` is no request field with a format"),
    ] {
        let statement = format!("-- unused: v\n-- {declared}\nSELECT 1 AS v");
        let error =
            Bench::with(&proto("string", field), &[("Get", &statement)], "CREATE TABLE t (a)", "").err();
        assert!(error.unwrap().to_string().contains(finding), "{declared}");
    }
}

#[tokio::test]
async fn the_form_in_which_an_identifier_is_bound_can_be_chosen() {
    let validate = "string v = 1 [(chapar.contract.v1.field).format = FORMAT_IR_MOBILE]; string w";
    let proto = proto(validate, "string").replace("w v = 1;", "w = 2;");
    for (declared, expected) in [
        ("", "+989021234567"),
        ("-- bind v: canonical\n", "+989021234567"),
        ("-- bind v: national\n", "09021234567"),
        ("-- bind v: given\n", "۰۹۰۲-123 4567"),
    ] {
        let statement = format!("-- unused: w\n{declared}SELECT :v AS v");
        let bench = Bench::with(&proto, &[("Get", &statement)], "CREATE TABLE t (a)", "").unwrap();
        let answered = bench.call("Get", "v", "", r#"{"v": "۰۹۰۲-123 4567"}"#).await;
        assert_eq!(answered.messages[0]["v"], expected, "{declared}");
    }
}

#[tokio::test]
async fn an_identifier_of_every_format_is_bound_canonical_unless_it_is_wanted_as_given() {
    for (format, given, canonical) in [
        ("IR_NATIONAL_ID", "۴۰۶-۱۲۳۴۵۶-۰", "4061234560"),
        ("IR_LEGAL_ID", "۱۰۳۸۰۲۸۴۷۹۰", "10380284790"),
        ("IR_POSTAL_CODE", "۱۶۱۹۷-۳۵۷۴۴", "1619735744"),
        ("IR_IBAN", "ir82 0540 1026 8002 0817 9090 02", "IR820540102680020817909002"),
        ("JALALI_DATE", "۱۴۰۵-۰۹-۰۲", "1405/09/02"),
    ] {
        let validate =
            format!("string v = 1 [(chapar.contract.v1.field).format = FORMAT_{format}]; string w");
        let proto = proto(&validate, "string").replace("w v = 1;", "w = 2;");
        for (declared, expected) in
            [("", canonical), ("-- bind v: canonical\n", canonical), ("-- bind v: given\n", given)]
        {
            let statement = format!("-- unused: w\n{declared}SELECT :v AS v");
            let bench = Bench::with(&proto, &[("Get", &statement)], "CREATE TABLE t (a)", "").unwrap();
            let answered = bench.call("Get", "v", "", &json!({"v": given}).to_string()).await;
            assert_eq!(answered.reason(), "OK", "{format} {declared}");
            assert_eq!(answered.messages[0]["v"], expected, "{format} {declared}");
        }
    }
}

#[test]
fn one_name_for_two_values_of_an_enum_is_a_finding() {
    let proto = proto("string", "Kind").replace("KIND_ONE = 1;", "KIND_ONE = 1; ONE = 2;");
    let error =
        Bench::with(&proto, &[("Get", "-- unused: v\nSELECT 1 AS v")], "CREATE TABLE t (a)", "").err();
    assert!(error.unwrap().to_string().contains("one name stands for two values"));
}

#[tokio::test]
async fn one_value_that_no_message_can_hold_is_too_large_and_not_too_many() {
    for field in ["bytes", "string"] {
        let value = if field == "bytes" {
            "zeroblob(5000000)"
        } else {
            "CAST(replace(hex(zeroblob(2500000)), '00', 'ab') AS TEXT)"
        };
        assert_eq!(told(field, value).await, Err("MESSAGE_TOO_LARGE".to_owned()));
    }
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
        let bench =
            Bench::with(&proto(field, "string"), &[("Get", statement)], "CREATE TABLE t (a)", "").unwrap();
        let answered = bench.call("Get", "v", "", request).await;
        let told = answered.messages.first().and_then(|message| message["v"].as_str());
        assert_eq!(told.unwrap_or(answered.reason()), expected, "{request} as {field}");
    }
}
