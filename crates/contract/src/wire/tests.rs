//! The walker against the reference: decode, clear what is not granted, encode.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _};

use super::*;

const PROTO: &str = r#"
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
message Inner { string a = 1; int64 b = 2; Inner next = 3; repeated string texts = 4; }
"#;

fn outer() -> MessageDescriptor {
    let file = protox::file::File::from_source("t.proto", PROTO).unwrap();
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file.file_descriptor_proto().clone()).unwrap();
    pool.get_message_by_name("t.Outer").unwrap()
}

/// All but `paths` cleared, by decoding: the slow way that cannot be wrong.
fn reference(message: &MessageDescriptor, bytes: &[u8], paths: &[&str]) -> DynamicMessage {
    let mut decoded = DynamicMessage::decode(message.clone(), bytes).unwrap();
    clear(&mut decoded, paths);
    normal(&decoded)
}

/// Once more through the wire: an explicit default is not equal to an absent one, nor an emptied set of unknown fields to none.
fn normal(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice()).unwrap()
}

fn clear(message: &mut DynamicMessage, paths: &[&str]) {
    for unknown in message.take_unknown_fields() {
        drop(unknown);
    }
    for field in message.descriptor().fields() {
        let whole = paths.contains(&field.name());
        let prefix = format!("{}.", field.name());
        let inner: Vec<&str> = paths.iter().filter_map(|path| path.strip_prefix(&prefix)).collect();
        if !whole && inner.is_empty() {
            message.clear_field(&field);
        } else if message.has_field(&field) {
            each(message.get_field_mut(&field), &mut |inside| {
                if whole { strip_unknown(inside) } else { clear(inside, &inner) }
            });
        }
    }
}

fn strip_unknown(message: &mut DynamicMessage) {
    message.take_unknown_fields().for_each(drop);
    for field in message.descriptor().fields() {
        if message.has_field(&field) {
            each(message.get_field_mut(&field), &mut strip_unknown);
        }
    }
}

fn each(value: &mut prost_reflect::Value, act: &mut dyn FnMut(&mut DynamicMessage)) {
    match value {
        prost_reflect::Value::Message(message) => act(message),
        prost_reflect::Value::List(list) => list.iter_mut().for_each(|value| each(value, act)),
        prost_reflect::Value::Map(map) => map.values_mut().for_each(|value| each(value, act)),
        _ => {}
    }
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

/// Fields of `Inner` in any order, any number of times, unknown ones among them.
fn inner(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let leaf = prop_oneof![
        "[a-zا-ی]{0,6}".prop_map(|text| delimited(1, text.into_bytes())),
        any::<u64>().prop_map(|number| tagged(2, 0, varint(number))),
        "[a-z]{0,3}".prop_map(|text| delimited(4, text.into_bytes())),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| delimited(99, bytes)),
        any::<u32>().prop_map(|number| tagged(98, 5, number.to_le_bytes().to_vec())),
    ];
    let field = if depth == 0 {
        leaf.boxed()
    } else {
        prop_oneof![4 => leaf, 1 => inner(depth - 1).prop_map(|inside| delimited(3, inside))].boxed()
    };
    proptest::collection::vec(field, 0..5).prop_map(|fields| fields.concat()).boxed()
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let entry = ("[a-z]{0,3}", inner(1))
        .prop_map(|(key, value)| delimited(5, [delimited(1, key.into_bytes()), delimited(2, value)].concat()));
    let field = prop_oneof![
        "[a-zا-ی]{0,8}".prop_map(|text| delimited(1, text.into_bytes())),
        any::<u32>().prop_map(|number| tagged(2, 0, varint(u64::from(number)))),
        inner(2).prop_map(|inside| delimited(3, inside)),
        inner(2).prop_map(|inside| delimited(4, inside)),
        entry,
        proptest::collection::vec(any::<u32>(), 0..4)
            .prop_map(|all| delimited(6, all.iter().flat_map(|n| varint(u64::from(*n))).collect())),
        any::<u32>().prop_map(|number| tagged(6, 0, varint(u64::from(number)))),
        "[a-z]{0,4}".prop_map(|text| delimited(7, text.into_bytes())),
        inner(1).prop_map(|inside| delimited(8, inside)),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| delimited(9, bytes)),
        any::<u64>().prop_map(|number| tagged(10, 1, number.to_le_bytes().to_vec())),
        any::<u32>().prop_map(|number| tagged(11, 5, number.to_le_bytes().to_vec())),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| delimited(77, bytes)),
        any::<u64>().prop_map(|number| tagged(78, 0, varint(number))),
        any::<u8>().prop_map(|byte| [
            tagged(79, 3, Vec::new()),
            tagged(1, 0, varint(u64::from(byte))),
            tagged(79, 4, Vec::new())
        ]
        .concat()),
    ];
    proptest::collection::vec(field, 0..8).prop_map(|fields| fields.concat())
}

const PATHS: [&str; 16] = [
    "id",
    "age",
    "one",
    "one.a",
    "one.next",
    "one.next.b",
    "many",
    "many.b",
    "many.texts",
    "by_name",
    "packed",
    "left",
    "right.a",
    "blob",
    "ratio",
    "four",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keeping_is_decoding_clearing_and_encoding(bytes in message(), chosen in proptest::sample::subsequence(&PATHS[..], 0..PATHS.len())) {
        let outer = outer();
        let bytes = Bytes::from(bytes);
        let kept = FieldMask::new(&outer, &chosen).unwrap().keep(&bytes).unwrap();
        let decoded = DynamicMessage::decode(outer.clone(), kept.clone()).unwrap();
        // Not `prop_assert_eq`: the `Debug` of a descriptor that contains itself never ends.
        prop_assert!(normal(&decoded) == reference(&outer, &bytes, &chosen), "kept something else");
        prop_assert_eq!(normal(&decoded).encoded_len(), reference(&outer, &kept, &chosen).encoded_len(), "something unknown is left");
    }

    #[test]
    fn finding_is_decoding_and_looking(bytes in message()) {
        let decoded = DynamicMessage::decode(outer(), bytes.as_slice()).unwrap();
        let id = find(&bytes, &[1]).unwrap().and_then(|value| value.to_text()).unwrap_or_default();
        let expected = decoded.get_field_by_name("id").unwrap();
        prop_assert_eq!(id.as_str(), expected.as_str().unwrap());
        let one = decoded.get_field_by_name("one").unwrap();
        let a = one.as_message().unwrap().get_field_by_name("a").unwrap();
        let found = find(&bytes, &[3, 1]).unwrap().and_then(|value| value.to_text()).unwrap_or_default();
        prop_assert_eq!(found.as_str(), a.as_str().unwrap());
    }

    #[test]
    fn any_bytes_are_an_answer_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let outer = outer();
        let valid = validate(&bytes, &outer).is_ok();
        let bytes = Bytes::from(bytes);
        let kept = FieldMask::new(&outer, &["id", "many.b", "by_name"]).unwrap().keep(&bytes);
        find(&bytes, &[3, 3, 2]).ok();
        if valid {
            prop_assert!(kept.is_ok() && DynamicMessage::decode(outer, bytes).is_ok());
        }
    }
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
        assert_eq!(FieldMask::new(&outer(), &["id"]).unwrap().keep(&Bytes::copy_from_slice(bytes)), Err(error));
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
