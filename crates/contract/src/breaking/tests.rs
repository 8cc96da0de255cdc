//! Each test makes one change to one small contract.

use super::{Break, Breaking, breaking};
use crate::Contract;

const BEFORE: &str = r#"syntax = "proto3";
package t;
import "chapar/contract/v1/options.proto";
import "buf/validate/validate.proto";
service S {
  rpc Get(Ask) returns (Say) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (chapar.contract.v1.method) = {
      subject: "id"
      purposes: ["a.b", "c"]
      timeout: { seconds: 2 }
      row_scopes: ["province", "county"]
      max_rows: 10
    };
  }
  rpc Other(Ask) returns (Ack);
}
message Ask {
  string id = 1 [(chapar.contract.v1.field).format = FORMAT_IR_NATIONAL_ID];
  optional string file = 2 [(chapar.contract.v1.field).pattern = "[0-9]+"];
  string spare = 3 [(buf.validate.field).string.max_len = 5];
}
message Say {
  string id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  repeated Part parts = 2;
  Color color = 3 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
  oneof one { string left = 4 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
  int64 count = 5 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  Part whole = 6 [(chapar.contract.v1.field).class = CLASS_SECRET];
  reserved 8, 9;
  reserved "gone";
}
message Part { string name = 1 [(chapar.contract.v1.field).class = CLASS_SENSITIVE]; }
message Ack {}
enum Color { NONE = 0; RED = 1; }
"#;

fn load(text: &str) -> Contract {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("t");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("t.proto"), text).unwrap();
    Contract::load(&dir).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn changed(changes: &[(&str, &str)]) -> Vec<Breaking> {
    let mut text = BEFORE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    breaking(&load(BEFORE), &load(&text))
}

/// One edit breaks in this way and says so, and nothing else is told.
fn breaks(from: &str, to: &str, kind: Break, message: &str) {
    let found = changed(&[(from, to)]);
    let [only] = found.as_slice() else { panic!("{from} → {to}: {found:#?}") };
    assert_eq!(only.kind, kind, "{only}");
    assert!(only.to_string().contains(message), "{message} in {only}");
    assert!(only.finding.line > 0 && only.finding.column > 0, "{only} has its place");
}

#[test]
fn nothing_changed_breaks_nothing() {
    assert_eq!(changed(&[]), []);
}

#[test]
fn what_the_wire_and_json_cannot_bear_is_told() {
    breaks("  rpc Other(Ask) returns (Ack);\n", "", Break::Removed, "the method Other is gone");
    breaks(
        "Other(Ask) returns (Ack)",
        "Other(Ask) returns (stream Ack)",
        Break::StreamingChanged,
        "is a stream now",
    );
    breaks(
        "Other(Ask) returns",
        "Other(Ack) returns",
        Break::TypeChanged,
        "the request was t.Ask and is t.Ack",
    );
    breaks("NO_SIDE_EFFECTS", "IDEMPOTENT", Break::IdempotencyLowered, "t.S.Get");
    breaks(
        "  int64 count = 5 [(chapar.contract.v1.field).class = CLASS_PUBLIC];\n",
        "",
        Break::Removed,
        "count = 5",
    );
    breaks("int64 count", "int64 number", Break::Renamed, "its name was count");
    breaks("count = 5 [", "count = 5 [json_name = \"n\", ", Break::Renamed, "its name in JSON was count");
    breaks("int64 count", "int32 count", Break::TypeChanged, "its type was int64 and is int32");
    breaks("int64 count", "repeated int64 count", Break::CardinalityChanged, "was single and is repeated");
    breaks("RED = 1;", "", Break::Removed, "the value RED of t.Color is gone");
    breaks("RED = 1;", "BLUE = 1;", Break::Renamed, "the value 1 of t.Color was RED");
    breaks("reserved 8, 9;", "reserved 8;", Break::Removed, "the numbers 9 to 9 are no longer reserved");
    breaks("  reserved \"gone\";\n", "", Break::Removed, "the name gone is no longer reserved");
    let oneof = "oneof one { string left = 4 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }";
    let plain = "string left = 4 [(chapar.contract.v1.field).class = CLASS_PUBLIC];";
    breaks(oneof, plain, Break::CardinalityChanged, "out of one");
}

#[test]
fn what_no_public_tool_sees_is_told() {
    breaks(
        "CLASS_SENSITIVE];\n  oneof",
        "CLASS_PERSONAL];\n  oneof",
        Break::ClassLowered,
        "was sensitive and is personal",
    );
    breaks("\"a.b\", \"c\"", "\"a.b\"", Break::PurposeRemoved, "the purpose c is gone");
    breaks("\"a.b\", \"c\"", "\"a.b\", \"c\", \"d\"", Break::PurposeAdded, "the purpose d is new");
    breaks(
        "\"province\", \"county\"",
        "\"county\"",
        Break::RowScopeRemoved,
        "the row scope province is gone",
    );
    breaks("subject: \"id\"", "subject: \"file\"", Break::SubjectMoved, "was id and is file");
    breaks(" key: true", "", Break::KeyChanged, "the key was id and is nothing");
    breaks("seconds: 2", "seconds: 1", Break::BoundLowered, "was 2s and is 1s");
    breaks("max_rows: 10", "max_rows: 9", Break::BoundLowered, "max_rows was 10 and is 9");
    breaks("string.max_len = 5", "required = false", Break::FormatLoosened, "t.Ask.spare: no longer held to");
    breaks(
        "string spare = 3 [",
        "string spare = 3 [(buf.validate.field).required = true, ",
        Break::FormatTightened,
        "now",
    );
    breaks(
        "  string id = 1 [(chapar.contract.v1.field).format",
        "  optional string id = 1 [(chapar.contract.v1.field).format",
        Break::FormatLoosened,
        "must be present",
    );
    let both = changed(&[("pattern = \"[0-9]+\"", "pattern = \"[0-9]*\"")]);
    let kinds: Vec<_> = both.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [Break::FormatLoosened, Break::FormatTightened], "another pattern may be both");
}

#[test]
fn a_class_cannot_be_lowered_by_classing_parts_instead_of_the_whole() {
    let found =
        changed(&[("Part whole = 6 [(chapar.contract.v1.field).class = CLASS_SECRET];", "Part whole = 6;")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].kind, Break::ClassLowered);
    assert!(
        found[0].to_string().contains("t.Part.name: its class was secret and is sensitive"),
        "{}",
        found[0]
    );
}

#[test]
fn what_only_adds_breaks_nothing() {
    for (from, to) in [
        (
            "message Ack {}",
            "message Ack { string new = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }",
        ),
        ("  rpc Other", "  rpc New(Ask) returns (Ack);\n  rpc Other"),
        ("CLASS_SENSITIVE];\n  oneof", "CLASS_SECRET];\n  oneof"),
        ("\"province\", \"county\"", "\"province\", \"county\", \"district\""),
        ("seconds: 2", "seconds: 3"),
        ("RED = 1;", "RED = 1; BLUE = 2;"),
        ("int64 count", "optional int64 count"),
        ("syntax", "// A comment.\nsyntax"),
    ] {
        assert_eq!(changed(&[(from, to)]), [], "{to}");
    }
    let field = "  int64 count = 5 [(chapar.contract.v1.field).class = CLASS_PUBLIC];\n";
    assert_eq!(changed(&[(field, "  reserved 5;\n  reserved \"count\";\n")]), [], "removed and reserved");
}

#[test]
fn a_service_that_is_gone_is_told() {
    let mut found = changed(&[("service S", "service T")]);
    assert_eq!(found.remove(0).kind, Break::Removed);
    assert!(found.is_empty());
}
