//! This module converts between messages and `google.protobuf.Struct`, in which a part of an inquiry has
//! JSON: protobuf's JSON mapping, with doubles for numbers.

use bytes::Bytes;
use chapar_contract::json::{self, JsonError};
use prost_reflect::MessageDescriptor;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number, Value as Json};

/// Deepest JSON in a `Struct`. Each level is three of protobuf's, of which its readers take a hundred.
const MAX_DEPTH: usize = 32;
/// The largest integer up to which a double holds each.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A message as a `Struct`.
///
/// # Errors
/// [`JsonError`] if JSON has no form for it, or it nests too deeply.
pub(crate) fn to_struct(message: &MessageDescriptor, bytes: &[u8]) -> Result<Struct, JsonError> {
    let text = json::to_json(message, bytes)?;
    let read = serde_json::from_slice(&text).ok();
    match read.and_then(|json| to_value(json, 0)) {
        Some(Value { kind: Some(Kind::StructValue(read)) }) => Ok(read),
        _ => Err(fault("has no form in a google.protobuf.Struct")),
    }
}

/// The message that a `Struct` says, in protobuf's wire format.
///
/// # Errors
/// [`JsonError`], as of JSON text.
pub(crate) fn from_struct(message: &MessageDescriptor, read: Struct) -> Result<Bytes, JsonError> {
    let value = Value { kind: Some(Kind::StructValue(read)) };
    let json = from_value(value, 0).ok_or_else(|| fault("has a value of no kind, or nests too deeply"))?;
    let text = serde_json::to_vec(&json).map_err(|_| fault("is no JSON"))?;
    json::from_json(message, &text)
}

fn fault(rule: &'static str) -> JsonError {
    JsonError { path: ".".to_owned(), rule }
}

fn to_value(json: Json, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(is) => Kind::BoolValue(is),
        // 64-bit integers are texts in protobuf's mapping, so every number here fits a double.
        Json::Number(number) => Kind::NumberValue(number.as_f64()?),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            let values = items.into_iter().map(|item| to_value(item, depth + 1)).collect::<Option<_>>()?;
            Kind::ListValue(ListValue { values })
        }
        Json::Object(members) => {
            let fields = members.into_iter().map(|(name, value)| Some((name, to_value(value, depth + 1)?)));
            Kind::StructValue(Struct { fields: fields.collect::<Option<_>>()? })
        }
    };
    Some(Value { kind: Some(kind) })
}

fn from_value(value: Value, depth: usize) -> Option<Json> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match value.kind? {
        Kind::NullValue(_) => Json::Null,
        Kind::BoolValue(is) => Json::Bool(is),
        Kind::NumberValue(number) => Json::Number(self::number(number)?),
        Kind::StringValue(text) => Json::String(text),
        Kind::ListValue(ListValue { values }) => {
            let items = values.into_iter().map(|value| from_value(value, depth + 1));
            Json::Array(items.collect::<Option<_>>()?)
        }
        Kind::StructValue(Struct { fields }) => {
            let members = fields.into_iter().map(|(name, value)| Some((name, from_value(value, depth + 1)?)));
            Json::Object(members.collect::<Option<Map<_, _>>>()?)
        }
    })
}

/// A double as a number of JSON; a whole one without a fraction, which an integer field does not take.
fn number(number: f64) -> Option<Number> {
    let is_whole = number.fract() == 0.0 && number.abs() <= LARGEST_EXACT;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within 2^53")]
    let whole = is_whole.then_some(number as i64);
    match whole {
        Some(whole) => Some(whole.into()),
        None => Number::from_f64(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_as_it_was_and_what_has_no_form_does_not() {
        let json =
            serde_json::json!({"a": [1, -2.5, 9_007_199_254_740_992_i64, "x", null, true], "b": {"c": {}}});
        let value = to_value(json.clone(), 0).unwrap();
        assert_eq!(from_value(value, 0), Some(json));
        assert_eq!(from_value(Value { kind: None }, 0), None);
        assert_eq!(from_value(Value { kind: Some(Kind::NumberValue(f64::NAN)) }, 0), None);
        let deep = |levels: usize| (0..levels).fold(Json::Null, |inside, _| serde_json::json!([inside]));
        assert!(to_value(deep(MAX_DEPTH), 0).is_some() && to_value(deep(MAX_DEPTH + 1), 0).is_none());
    }
}
