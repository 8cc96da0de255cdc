//! These tests run the parser on single messages whose bytes are written by hand. `property` compares it with
//! the reference.

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::*;

mod property;

/// Every way in which protobuf writes a field, in both of its syntaxes.
const NEW: &str = r#"
syntax = "proto3";
package t;
message Outer {
  string id = 1;
  optional int32 age = 2;
  Inner one = 3;
  repeated Inner many = 4;
  map<string, Inner> by_name = 5;
  repeated int32 packed = 6;
  oneof pick { string left = 7; Inner right = 8; }
  bytes blob = 9;
  double ratio = 10;
  fixed32 four = 11;
}
message Inner {
  string a = 1;
  int64 b = 2;
  Inner next = 3;
  repeated string texts = 4;
  oneof choice { string x = 5; Inner y = 6; sint32 z = 7; }
}
"#;
const OLD: &str = r#"
syntax = "proto2";
package u;
message Old {
  optional string id = 1;
  repeated group Item = 2 { optional string name = 1; optional Old more = 2; }
  optional group One = 3 { optional bool yes = 1; optional string why = 2; }
  repeated fixed32 packed = 4 [packed = true];
  repeated sint64 loose = 5;
  map<int32, string> names = 6;
  map<string, Old> olds = 7;
  oneof pick { group Left = 8 { optional string a = 1; optional uint32 b = 2; } bytes right = 9; Color third = 10; }
  repeated sfixed64 wide = 11 [packed = true];
  optional float f = 12;
}
enum Color { RED = 0; GREEN = 7; }
"#;

fn message(proto: &str, name: &str) -> MessageDescriptor {
    let file = protox::file::File::from_source("t.proto", proto).unwrap();
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file.file_descriptor_proto().clone()).unwrap();
    pool.get_message_by_name(name).unwrap()
}

fn outer() -> MessageDescriptor {
    message(NEW, "t.Outer")
}

fn old() -> MessageDescriptor {
    message(OLD, "u.Old")
}

fn kept(message: &MessageDescriptor, paths: &[&str], bytes: Vec<u8>) -> Result<Bytes, WireError> {
    FieldMask::new(message, paths).unwrap().keep(&Bytes::from(bytes))
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value, &mut out);
    out
}

fn tagged(number: u32, wire: u32, value: Vec<u8>) -> Vec<u8> {
    [varint(u64::from(number << 3 | wire)), value].concat()
}

fn delimited(number: u32, value: Vec<u8>) -> Vec<u8> {
    tagged(number, 2, [varint(value.len() as u64), value].concat())
}

fn group(number: u32, value: Vec<u8>) -> Vec<u8> {
    [tagged(number, 3, value), tagged(number, 4, Vec::new())].concat()
}

#[test]
fn nothing_to_remove_is_nothing_copied() {
    let bytes = Bytes::from(delimited(1, b"0013542419".to_vec()));
    let kept = FieldMask::new(&outer(), &["id"]).unwrap().keep(&bytes).unwrap();
    assert_eq!(kept.as_ptr(), bytes.as_ptr());
}

#[test]
fn malformed_bytes_each_have_their_error() {
    let cases: [(&[u8], WireError); 8] = [
        (&[0x00, 0x01], WireError::FieldNumber),
        (&[0x0e], WireError::WireType),
        (&[0x0f], WireError::WireType),
        (&[0x0a, 0x7f, 0x30], WireError::Truncated),
        (&[0x0b], WireError::Truncated),
        (&[0x0c], WireError::Group),
        (&[0x0b, 0x14], WireError::Group),
        (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], WireError::Overlong),
    ];
    for (bytes, error) in cases {
        assert_eq!(validate(bytes, &outer()), Err(error), "{bytes:x?}");
        assert_eq!(kept(&outer(), &["id"], bytes.to_vec()), Err(error));
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| (0..levels).fold(Vec::new(), |inside, _| delimited(3, inside));
    assert_eq!(validate(&nested(MAX_DEPTH - 1), &outer()), Ok(()));
    assert_eq!(validate(&nested(MAX_DEPTH), &outer()), Err(WireError::TooDeep));
    let groups = [vec![0x0b; 10_000], vec![0x0c; 10_000]].concat();
    assert_eq!(validate(&groups, &outer()), Err(WireError::TooDeep), "also in fields that no one knows");
}

#[test]
fn texts_and_wire_types_are_checked() {
    assert_eq!(validate(&[0x0a, 0x02, 0xc3, 0x28], &outer()), Err(WireError::Utf8));
    assert_eq!(validate(&[0x08, 0x01], &outer()), Err(WireError::Mismatch));
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    let error = FieldMask::new(&outer(), &["one.nothing"]).unwrap_err();
    assert_eq!(error.message, "t.Outer");
    assert_eq!(error.path, "one.nothing");
}

#[test]
fn a_value_of_another_wire_type_does_not_pass_as_a_granted_field() {
    let hidden = || b"0013542419".to_vec();
    // To a receiver these are unknown fields, whatever their numbers.
    assert_eq!(kept(&outer(), &["age"], delimited(2, hidden())), Err(WireError::Mismatch));
    assert_eq!(kept(&outer(), &["one"], delimited(3, delimited(2, hidden()))), Err(WireError::Mismatch));
    assert_eq!(kept(&outer(), &["one"], group(3, delimited(1, hidden()))), Err(WireError::Mismatch));
    assert_eq!(kept(&old(), &["one"], delimited(3, delimited(2, hidden()))), Err(WireError::Mismatch));
    assert_eq!(kept(&outer(), &["id"], delimited(1, vec![0xff])), Err(WireError::Utf8));
    assert_eq!(kept(&outer(), &["packed"], delimited(6, vec![0xff; 3])), Err(WireError::Truncated));
    assert_eq!(kept(&old(), &["packed"], delimited(4, vec![0; 3])), Err(WireError::Truncated));
    assert_eq!(kept(&outer(), &["id"], delimited(2, hidden())).unwrap(), "", "what is not granted only goes");
}

#[test]
fn a_member_of_a_oneof_that_was_unset_does_not_come_back() {
    let left = || delimited(7, b"old".to_vec());
    assert_eq!(kept(&outer(), &["left"], [left(), delimited(8, Vec::new())].concat()).unwrap(), "");
    // Also if both are granted: a reader of the bytes would see what no reader of the message sees.
    let both = [left(), delimited(8, Vec::new())].concat();
    assert_eq!(kept(&outer(), &["left", "right"], both).unwrap(), delimited(8, Vec::new()));
    // Protobuf reads two occurrences of one message as one, so the second may unset what the first one set.
    let split = [delimited(3, delimited(5, b"old".to_vec())), delimited(3, tagged(7, 0, varint(2)))].concat();
    assert_eq!(kept(&outer(), &["one.x"], split).unwrap(), delimited(3, Vec::new()));
    let back =
        [delimited(8, delimited(1, b"old".to_vec())), left(), delimited(8, tagged(2, 0, varint(2)))].concat();
    assert_eq!(kept(&outer(), &["left", "right.b"], back).unwrap(), delimited(8, tagged(2, 0, varint(2))));
}

#[test]
fn a_path_leads_through_a_map_into_its_values() {
    let inner = [delimited(1, b"kept".to_vec()), tagged(2, 0, varint(3))].concat();
    let entry = |value: Vec<u8>| delimited(5, [delimited(1, b"key".to_vec()), delimited(2, value)].concat());
    assert_eq!(kept(&outer(), &["by_name.a"], entry(inner)).unwrap(), entry(delimited(1, b"kept".to_vec())));
    for path in ["by_name.key", "by_name.value", "by_name.nothing"] {
        assert!(FieldMask::new(&outer(), &[path]).is_err(), "{path} is the encoding's, not the contract's");
    }
    assert!(FieldMask::new(&old(), &["names.x"]).is_err(), "no message, nothing inside");
}

#[test]
fn values_are_counted_packed_or_not_over_all_pieces_of_what_is_around_them() {
    let proto = "syntax = \"proto3\"; package c; message C { repeated int32 v = 1; repeated fixed32 four = 2; repeated fixed64 eight = 3; C in = 4; repeated string s = 5; }";
    let c = message(proto, "c.C");
    let counted = |bytes: &[u8], path: &[u32]| {
        let field = c.get_field(*path.last().unwrap()).unwrap();
        count(bytes, path, &field)
    };
    let varints = delimited(1, [varint(0x7f), varint(0x80), varint(300)].concat());
    assert_eq!(counted(&[varints.clone(), tagged(1, 0, varint(300))].concat(), &[1]), Ok(4));
    assert_eq!(counted(&[delimited(2, vec![0; 12]), tagged(2, 5, vec![0; 4])].concat(), &[2]), Ok(4));
    assert_eq!(counted(&[delimited(3, vec![0; 24]), tagged(3, 1, vec![0; 8])].concat(), &[3]), Ok(4));
    assert_eq!(counted(&[delimited(5, b"ab".to_vec()), delimited(5, Vec::new())].concat(), &[5]), Ok(2));
    let inside = delimited(4, varints);
    assert_eq!(counted(&[inside.clone(), inside.clone()].concat(), &[4, 1]), Ok(6), "pieces of one message");
    assert_eq!(counted(&inside, &[1]), Ok(0));
    assert_eq!(counted(&tagged(4, 0, varint(1)), &[4, 1]), Err(WireError::Mismatch));
    assert_eq!(counted(&tagged(1, 5, vec![0; 4]), &[1]), Err(WireError::Mismatch));
}

#[test]
fn a_path_is_as_long_as_messages_are_deep_and_no_longer() {
    let field = outer().get_field(3).unwrap();
    assert_eq!(find(&[], &[3; MAX_DEPTH]), Ok(None));
    assert_eq!(find(&[], &[3; MAX_DEPTH + 1]), Err(WireError::TooDeep));
    assert_eq!(count(&[], &[3; MAX_DEPTH], &field), Ok(0));
    assert_eq!(count(&[], &[3; MAX_DEPTH + 1], &field), Err(WireError::TooDeep));
}

#[test]
fn a_message_made_to_be_slow_takes_time_in_proportion_to_its_length() {
    // With any step that is quadratic each of these takes many minutes.
    let proto = "syntax = \"proto3\"; package q; message M { oneof a { int32 a1 = 1; int32 a2 = 2; } oneof b { int32 b1 = 3; int32 b2 = 4; } M m = 5; }";
    let m = message(proto, "q.M");
    let members = [[8, 1, 24, 1].repeat(250_000), vec![16, 1, 32, 1]].concat();
    assert_eq!(kept(&m, &["a1", "b1"], members).unwrap(), "");
    let switching = [8, 1, 16, 1].repeat(250_000);
    assert_eq!(kept(&m, &["a1", "b1"], switching).unwrap(), "");
    let pieces = delimited(5, delimited(5, vec![8, 1])).repeat(150_000);
    assert!(kept(&m, &["m.m.a2"], pieces).is_ok());
    let nested = (0..MAX_DEPTH - 2).fold([8, 1].repeat(50_000), |inside, _| delimited(5, inside));
    assert!(kept(&m, &["m"], nested).is_ok());
}
