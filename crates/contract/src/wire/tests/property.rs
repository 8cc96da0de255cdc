//! These tests compare the parser with a simple reference: decode, clear what is not granted, encode.
//! Messages are generated from their descriptors: fields in any order and number, split, packed or not, with
//! unknown fields among them.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

use super::*;

/// All but `paths` cleared, by decoding.
fn reference(message: &MessageDescriptor, bytes: &[u8], paths: &[&str]) -> DynamicMessage {
    let mut decoded = DynamicMessage::decode(message.clone(), bytes).unwrap();
    clear(&mut decoded, paths);
    normal(&decoded)
}

/// Once more through the wire: an explicit default is not equal to an absent one, nor an emptied set of
/// unknown fields to none.
fn normal(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice()).unwrap()
}

fn clear(message: &mut DynamicMessage, paths: &[&str]) {
    message.take_unknown_fields().for_each(drop);
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

fn each(value: &mut Value, act: &mut dyn FnMut(&mut DynamicMessage)) {
    match value {
        Value::Message(message) => act(message),
        Value::List(list) => list.iter_mut().for_each(|value| each(value, act)),
        Value::Map(map) => map.values_mut().for_each(|value| each(value, act)),
        _ => {}
    }
}

/// Some fields of the type, in any order, any number of times.
fn fields(message: &MessageDescriptor, depth: u32) -> BoxedStrategy<Vec<u8>> {
    let known = message.fields().filter_map(|field| occurrence(&field, depth)).map(|one| (3, one));
    let unknown = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| delimited(99, bytes)),
        any::<u64>().prop_map(|number| tagged(98, 0, varint(number))),
        any::<u32>().prop_map(|number| tagged(97, 5, number.to_le_bytes().to_vec())),
        any::<u8>().prop_map(|byte| group(96, tagged(1, 0, varint(u64::from(byte))))),
    ];
    let any = proptest::strategy::Union::new_weighted(known.chain([(4, unknown.boxed())]).collect());
    proptest::collection::vec(any, 0..7).prop_map(|fields| fields.concat()).boxed()
}

fn occurrence(field: &FieldDescriptor, depth: u32) -> Option<BoxedStrategy<Vec<u8>>> {
    let number = field.number();
    let scalar = |wire: u32, one: BoxedStrategy<Vec<u8>>| {
        let alone = one.clone().prop_map(move |value| tagged(number, wire, value)).boxed();
        if field.is_list() {
            let many = proptest::collection::vec(one, 0..4);
            prop_oneof![alone, many.prop_map(move |all| delimited(number, all.concat()))].boxed()
        } else {
            alone
        }
    };
    Some(match field.kind() {
        Kind::Message(_) if depth == 0 => return None,
        Kind::Message(inner) if field.is_group() => {
            fields(&inner, depth - 1).prop_map(move |inside| group(number, inside)).boxed()
        }
        Kind::Message(inner) => {
            fields(&inner, depth - 1).prop_map(move |inside| delimited(number, inside)).boxed()
        }
        Kind::String => "[a-zا-ی]{0,4}".prop_map(move |text| delimited(number, text.into_bytes())).boxed(),
        Kind::Bytes => proptest::collection::vec(any::<u8>(), 0..6)
            .prop_map(move |bytes| delimited(number, bytes))
            .boxed(),
        // From whole numbers: NaN is not equal to itself.
        Kind::Double => scalar(1, any::<i32>().prop_map(|n| f64::from(n).to_le_bytes().to_vec()).boxed()),
        Kind::Float => scalar(5, any::<i16>().prop_map(|n| f32::from(n).to_le_bytes().to_vec()).boxed()),
        Kind::Fixed64 | Kind::Sfixed64 => {
            scalar(1, any::<u64>().prop_map(|n| n.to_le_bytes().to_vec()).boxed())
        }
        Kind::Fixed32 | Kind::Sfixed32 => {
            scalar(5, any::<u32>().prop_map(|n| n.to_le_bytes().to_vec()).boxed())
        }
        _ => scalar(0, any::<u32>().prop_map(|n| varint(u64::from(n))).boxed()),
    })
}

/// Every path of the type, three steps deep, maps passed through.
fn paths(message: &MessageDescriptor, prefix: &str, depth: u32) -> Vec<String> {
    let of = |field: FieldDescriptor| {
        let path = format!("{prefix}{}", field.name());
        let inner = match field.kind() {
            Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
            kind => kind,
        };
        let inside = match inner {
            Kind::Message(inner) if depth > 1 => paths(&inner, &format!("{path}."), depth - 1),
            _ => Vec::new(),
        };
        [vec![path], inside].concat()
    };
    message.fields().flat_map(of).collect()
}

/// A message type that a failing test can print: the `Debug` of a descriptor that contains itself never ends.
#[derive(Clone)]
struct Type(MessageDescriptor);

impl std::fmt::Debug for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.full_name())
    }
}

/// A type, a message of it, and some of its paths.
fn case(message: MessageDescriptor) -> impl Strategy<Value = (Type, Bytes, Vec<String>)> {
    let all = paths(&message, "", 3);
    let most = all.len().min(12);
    (fields(&message, 3), proptest::sample::subsequence(all, 0..most))
        .prop_map(move |(bytes, chosen)| (Type(message.clone()), Bytes::from(bytes), chosen))
}

/// Well-formed fields whose wire types have nothing to do with the type.
fn garbage(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let leaf = prop_oneof![
        (1..13_u32, any::<u64>()).prop_map(|(number, value)| tagged(number, 0, varint(value))),
        (1..13_u32, any::<u64>()).prop_map(|(number, value)| tagged(number, 1, value.to_le_bytes().to_vec())),
        (1..13_u32, any::<u32>()).prop_map(|(number, value)| tagged(number, 5, value.to_le_bytes().to_vec())),
        (1..13_u32, proptest::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(number, bytes)| delimited(number, bytes)),
    ];
    let field = if depth == 0 {
        leaf.boxed()
    } else {
        let inside = || (1..13_u32, garbage(depth - 1));
        let nested = inside().prop_map(|(number, inside)| delimited(number, inside));
        let grouped = inside().prop_map(|(number, inside)| group(number, inside));
        prop_oneof![2 => leaf, 2 => nested, 1 => grouped].boxed()
    };
    proptest::collection::vec(field, 0..4).prop_map(|fields| fields.concat()).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keeping_is_decoding_clearing_and_encoding((Type(message), bytes, chosen) in prop_oneof![case(outer()), case(old())]) {
        let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
        let kept = FieldMask::new(&message, &chosen).unwrap().keep(&bytes).unwrap();
        let decoded = DynamicMessage::decode(message.clone(), kept.clone()).unwrap();
        // Not `prop_assert_eq`, for the same reason as `Type`.
        prop_assert!(normal(&decoded) == reference(&message, &bytes, &chosen), "kept something else for {chosen:?}");
        let stripped = reference(&message, &kept, &chosen);
        prop_assert_eq!(normal(&decoded).encoded_len(), stripped.encoded_len(), "something unknown is left");
        prop_assert_eq!(validate(&kept, &message), Ok(()));
        let again = FieldMask::new(&message, &chosen).unwrap().keep(&kept).unwrap();
        prop_assert_eq!(again.as_ptr(), kept.as_ptr(), "there is nothing more to remove");
    }

    #[test]
    fn what_is_kept_of_any_answer_fits_its_type(bytes in garbage(3), chosen in proptest::sample::subsequence(paths(&outer(), "", 2), 0..8)) {
        let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
        if let Ok(kept) = FieldMask::new(&outer(), &chosen).unwrap().keep(&Bytes::from(bytes)) {
            prop_assert_eq!(validate(&kept, &outer()), Ok(()));
            let mut decoded = DynamicMessage::decode(outer(), kept).unwrap();
            prop_assert_eq!(decoded.take_unknown_fields().count(), 0);
        }
    }

    #[test]
    fn finding_is_decoding_and_looking(bytes in fields(&outer(), 3)) {
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
        let valid = validate(&bytes, &outer()).is_ok();
        let bytes = Bytes::from(bytes);
        let kept = FieldMask::new(&outer(), &["id", "many.b", "by_name"]).unwrap().keep(&bytes);
        find(&bytes, &[3, 3, 2]).ok();
        if valid {
            prop_assert!(kept.is_ok() && DynamicMessage::decode(outer(), bytes).is_ok());
        }
    }
}
