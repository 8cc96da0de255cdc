//! Tests of the lines: each value has one, and defaults are told where they are disclosed.

use chapar_contract::Contract;
use chapar_model::Language;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, Value};

use super::*;

/// A type with a field of each kind.
const TEXT: &str = r#"syntax = "proto3";
package a.v1;
import "chapar/contract/v1/options.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
import "google/type/money.proto";
service S {
  rpc Get(Request) returns (Answer) { option (chapar.contract.v1.method) = { subject: "id" purposes: ["a.b"] }; }
}
message Request { string id = 1; }
message Answer {
  bool matches = 1 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC label: { fa: "همخوان" en: "Matches" } }];
  int32 open_loans = 2 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  optional bool maybe = 3 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  string note = 4 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  Kind kind = 5 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  Inner inner = 6;
  repeated int32 years = 7 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  map<string, int32> shares = 8 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  bytes photo = 9 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  google.type.Date born = 10 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  google.type.Money debt = 11 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  google.protobuf.Timestamp at = 12 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  string id = 14 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC key: true }];
  google.protobuf.BoolValue known = 13 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
}
message Inner {
  bool paid = 1 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];
  Second inner = 2;
}
message Second { Third inner = 1; }
message Third { Fourth inner = 1; }
message Fourth { Fifth inner = 1; }
message Fifth { bool paid = 1 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }]; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_LAND = 1; }
"#;

fn pool() -> DescriptorPool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/a.proto"), TEXT).unwrap();
    Contract::load(&folder.path().join("a")).unwrap().pool().clone()
}

fn message(pool: &DescriptorPool, name: &str, fields: &[(&str, Value)]) -> DynamicMessage {
    let mut message = DynamicMessage::new(pool.get_message_by_name(name).unwrap());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    message
}

fn in_english(message: &DynamicMessage, disclosed: &[&str]) -> Vec<String> {
    let disclosed: Vec<String> = disclosed.iter().map(|&path| path.to_owned()).collect();
    let lines = lines(message, "4061234560", &disclosed, Language::En);
    lines.into_iter().map(|line| format!("{}: {}", line.label, line.value)).collect()
}

#[test]
fn false_and_zero_are_told_where_they_are_disclosed_and_not_where_they_are_withheld() {
    let pool = pool();
    let inner = message(&pool, "a.v1.Inner", &[]);
    let answer = message(&pool, "a.v1.Answer", &[("inner", Value::Message(inner))]);
    let all = ["matches", "open_loans", "maybe", "note", "kind", "inner", "years", "shares", "photo"];
    assert_eq!(in_english(&answer, &all), ["Matches: no", "open loans: 0", "inner · paid: no"]);
    assert_eq!(in_english(&answer, &["matches"]), ["Matches: no"]);
    assert_eq!(in_english(&answer, &["inner.paid"]), ["inner · paid: no"]);
    assert!(in_english(&answer, &["match", "inner.pa"]).is_empty());
    // A message that is not there has no fields.
    let without = message(&pool, "a.v1.Answer", &[]);
    assert!(in_english(&without, &["inner", "inner.paid"]).is_empty());
    let line = &lines(&answer, "", &["matches".to_owned()], Language::Fa)[0];
    assert_eq!((line.label.as_str(), line.value.as_str()), ("همخوان", "خیر"));
}

#[test]
fn every_value_has_a_line() {
    let pool = pool();
    let whole = |name: &str, fields: &[(&str, Value)]| Value::Message(message(&pool, name, fields));
    let fields = [
        ("matches", Value::Bool(true)),
        ("maybe", Value::Bool(false)),
        ("note", Value::String("at the river".to_owned())),
        ("kind", Value::EnumNumber(1)),
        ("years", Value::List(vec![Value::I32(1403), Value::I32(1404)])),
        ("shares", Value::Map([(MapKey::String("A".to_owned()), Value::I32(3))].into())),
        ("photo", Value::Bytes(vec![1, 2].into())),
        (
            "born",
            whole(
                "google.type.Date",
                &[("year", Value::I32(1982)), ("month", Value::I32(9)), ("day", Value::I32(6))],
            ),
        ),
        (
            "debt",
            whole(
                "google.type.Money",
                &[
                    ("currency_code", Value::String("IRR".to_owned())),
                    ("units", Value::I64(-2)),
                    ("nanos", Value::I32(-500_000_000)),
                ],
            ),
        ),
        ("at", whole("google.protobuf.Timestamp", &[("seconds", Value::I64(1_790_000_000))])),
        ("known", whole("google.protobuf.BoolValue", &[])),
    ];
    let lines = in_english(&message(&pool, "a.v1.Answer", &fields), &[]);
    assert_eq!(
        lines,
        [
            "Matches: yes",
            "maybe: no",
            "note: at the river",
            "kind: land",
            "years: 1403",
            "years: 1404",
            "shares · A: 3",
            "photo: (not shown on this page)",
            "born: 1361/06/15 (1982-09-06)",
            "debt: -2.5 IRR",
            "at: 1405/06/30 17:43",
            "known: no",
        ]
    );
}

#[test]
fn what_is_too_deep_is_told() {
    let pool = pool();
    let mut inner = message(&pool, "a.v1.Fifth", &[("paid", Value::Bool(true))]);
    for name in ["a.v1.Fourth", "a.v1.Third", "a.v1.Second", "a.v1.Inner"] {
        inner = message(&pool, name, &[("inner", Value::Message(inner))]);
    }
    let lines = in_english(&message(&pool, "a.v1.Answer", &[("inner", Value::Message(inner))]), &[]);
    assert_eq!(lines, ["inner · inner · inner · inner · inner: … (too deep for this page)"]);
}

#[test]
fn the_citizens_own_id_is_no_line_and_the_same_id_elsewhere_is() {
    let pool = pool();
    let id = || Value::String("4061234560".to_owned());
    let answer = message(&pool, "a.v1.Answer", &[("id", id()), ("note", id())]);
    assert_eq!(in_english(&answer, &[]), ["note: 4061234560"]);
    // Never so, for the gateway compares them; if it were, it would have to be seen.
    let other = message(&pool, "a.v1.Answer", &[("id", Value::String("0499370899".to_owned()))]);
    assert_eq!(in_english(&other, &[]), ["id: 0499370899"]);
}
