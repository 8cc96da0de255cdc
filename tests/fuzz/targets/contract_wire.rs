//! This target runs the wire parser on arbitrary bytes, types and masks, and compares it with the reference
//! of `wire broken` (decode, clear, encode). The result is an answer or an error; what is kept is valid,
//! needs no second pass, and is what the reference keeps.
#![no_main]

#[allow(dead_code, reason = "shared with chapar-tests")]
#[path = "../../src/wire/dice.rs"]
mod dice;
#[allow(dead_code, reason = "shared with chapar-tests")]
#[path = "../../src/wire/reference.rs"]
mod reference;
#[allow(dead_code, reason = "shared with chapar-tests")]
#[path = "../../src/wire/schema.rs"]
mod schema;

use std::sync::LazyLock;

use bytes::Bytes;
use chapar_contract::wire::{FieldMask, find, validate};
use chapar_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

/// Generated types with their paths. One byte of the input chooses one.
static TYPES: LazyLock<Vec<(MessageDescriptor, Vec<String>)>> = LazyLock::new(|| {
    let typed = |seed| {
        let message = schema::schema(seed);
        let paths = schema::paths(&message);
        (message, paths)
    };
    (0..64).map(typed).collect()
});

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (message, paths) = &TYPES[input.byte() % TYPES.len()];
    let count = input.byte() % 8;
    let chosen: Vec<&str> = (0..count).map(|_| paths[input.byte() % paths.len()].as_str()).collect();
    let mask = FieldMask::new(message, &chosen).expect("paths of the type");
    let bytes = Bytes::copy_from_slice(input.rest());
    let is_valid = validate(&bytes, message).is_ok();
    find(&bytes, &[1, 2]).ok();
    let Ok(kept) = mask.keep(&bytes) else {
        assert!(!is_valid, "a valid message is refused");
        return;
    };
    assert!(kept.len() <= bytes.len(), "what is kept is longer than what came");
    assert_eq!(validate(&kept, message), Ok(()), "what is kept does not fit its type");
    let again = mask.keep(&kept).expect("a valid message");
    assert_eq!(again, kept, "a second pass removes more");
    if !is_valid {
        return;
    }
    let decoded = DynamicMessage::decode(message.clone(), kept).expect("a receiver can read what is kept");
    // The reference refuses some bytes that are well formed, e.g. in map entries.
    if let Some(expected) = reference::minimised(message, &bytes, &chosen) {
        assert!(reference::same(&decoded, &expected), "something else is kept for {chosen:?}");
    }
    let Ok(whole) = DynamicMessage::decode(message.clone(), bytes.clone()) else { return };
    for field in message.fields() {
        if field.kind() == Kind::String && !field.is_list() && field.containing_oneof().is_none() {
            let found = find(&bytes, &[field.number()]).expect("a valid message");
            let found = found.and_then(|value| value.to_text()).unwrap_or_default();
            assert_eq!(Some(found.as_str()), whole.get_field(&field).as_str(), "find and decode differ");
        }
    }
});
