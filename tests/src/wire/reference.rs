//! This module is the simple reference: it decodes, clears what is not granted, and encodes.

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};

/// What is left of `bytes`; nothing if they cannot be read.
pub(super) fn minimised(
    message: &MessageDescriptor,
    bytes: &Bytes,
    paths: &[&str],
) -> Option<DynamicMessage> {
    cleared(message, bytes, paths).map(|cleared| normal(&cleared))
}

pub(super) fn cleared(message: &MessageDescriptor, bytes: &Bytes, paths: &[&str]) -> Option<DynamicMessage> {
    let mut decoded = DynamicMessage::decode(message.clone(), bytes.clone()).ok()?;
    clear(&mut decoded, paths);
    Some(decoded)
}

/// Once more through the wire: an explicit default is not equal to an absent one, nor an emptied set of
/// unknown fields to none.
pub(super) fn normal(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice())
        .unwrap_or_else(|_| message.clone())
}

/// Whether both are equal, or one of them holds a NaN, which is equal to nothing.
pub(super) fn same(one: &DynamicMessage, other: &DynamicMessage) -> bool {
    normal(one) == *other || one.fields().any(|(_, value)| has_nan(value))
}

fn has_nan(value: &Value) -> bool {
    match value {
        Value::F32(number) => number.is_nan(),
        Value::F64(number) => number.is_nan(),
        Value::Message(message) => message.fields().any(|(_, value)| has_nan(value)),
        Value::List(list) => list.iter().any(has_nan),
        Value::Map(map) => map.values().any(has_nan),
        _ => false,
    }
}

fn clear(message: &mut DynamicMessage, paths: &[&str]) {
    message.take_unknown_fields().for_each(drop);
    for field in message.descriptor().fields() {
        let whole = paths.contains(&field.name());
        let inner: Vec<&str> =
            paths.iter().filter_map(|path| path.strip_prefix(field.name())?.strip_prefix('.')).collect();
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
