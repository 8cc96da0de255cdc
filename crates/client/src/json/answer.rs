//! This module writes messages as JSON with the contract's own field names.
//!
//! A field that holds its default (a `matches` that is false) is a fact and is shown; a field that was
//! withheld is absent and must not look like a default. Only the end of the call says which fields were
//! withheld, so there are two functions.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

/// An answer that cannot be shown as JSON.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// Bytes that are not a message of the type.
    #[error("the answer is not a valid {message}")]
    Invalid {
        /// The type's full name.
        message: String,
    },
    /// A message that JSON has no form for, e.g. with a timestamp of the year 0.
    #[error("answered, but the {message} cannot be shown as JSON: a date or time in it is out of range")]
    OutOfRange {
        /// The type's full name.
        message: String,
    },
}

/// The fields that hold something, in the JSON mapping of protobuf.
///
/// # Errors
/// [`Unreadable`] naming the type.
pub fn to_json(descriptor: &MessageDescriptor, message: Bytes) -> Result<Value, Unreadable> {
    json(descriptor, message, true)
}

/// All fields but those at the withheld paths (dotted, through repeated fields).
///
/// # Errors
/// [`Unreadable`] naming the type.
pub fn disclosed_json(
    descriptor: &MessageDescriptor,
    message: Bytes,
    withheld: &[String],
) -> Result<Value, Unreadable> {
    let mut value = json(descriptor, message, false)?;
    for path in withheld {
        remove(&mut value, path);
    }
    Ok(value)
}

fn json(
    descriptor: &MessageDescriptor,
    message: Bytes,
    skip_default_fields: bool,
) -> Result<Value, Unreadable> {
    let name = || descriptor.full_name().to_owned();
    let message = DynamicMessage::decode(descriptor.clone(), message)
        .map_err(|_| Unreadable::Invalid { message: name() })?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(skip_default_fields);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|_| Unreadable::OutOfRange { message: name() })
}

fn remove(value: &mut Value, path: &str) {
    match value {
        // A withheld path passes through repeated fields, so each element loses the field.
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, path)),
        Value::Object(fields) => match path.split_once('.') {
            None => drop(fields.remove(path)),
            Some((name, rest)) => {
                if let Some(inner) = fields.get_mut(name) {
                    remove(inner, rest);
                }
            }
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_message_that_json_has_no_form_for_is_told_and_not_shown_as_nothing() {
        let pool = prost_reflect::DescriptorPool::global();
        let descriptor = pool.get_message_by_name("google.protobuf.Timestamp").unwrap();
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("seconds", prost_reflect::Value::I64(-99_999_999_999));
        let told = to_json(&descriptor, Bytes::from(message.encode_to_vec())).unwrap_err();
        assert_eq!(told, Unreadable::OutOfRange { message: "google.protobuf.Timestamp".to_owned() });
    }

    #[test]
    fn withheld_paths_are_removed_through_repeated_fields_and_nothing_else() {
        let mut value =
            serde_json::json!({"a": 1, "list": [{"b": 1, "c": 2}, {"b": 3}], "d": {"e": {"f": 1, "g": 2}}});
        for path in ["list.b", "d.e.f", "nowhere", "a.b.c"] {
            remove(&mut value, path);
        }
        assert_eq!(value, serde_json::json!({"a": 1, "list": [{"c": 2}, {}], "d": {"e": {"g": 2}}}));
    }

    #[test]
    fn a_default_is_a_fact_unless_it_was_withheld_and_other_bytes_are_no_message() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil");
        let contract = chapar_contract::Contract::load(&folder).unwrap();
        let answer = contract.pool().get_message_by_name("civil.v1.VerifyIdentityResponse").unwrap();
        let no = Bytes::new();
        assert_eq!(disclosed_json(&answer, no.clone(), &[]).unwrap(), serde_json::json!({"matches": false}));
        assert_eq!(
            disclosed_json(&answer, no.clone(), &["matches".to_owned()]).unwrap(),
            serde_json::json!({})
        );
        assert_eq!(to_json(&answer, no).unwrap(), serde_json::json!({}));
        let told = to_json(&answer, Bytes::from_static(b"\xff")).unwrap_err().to_string();
        assert_eq!(told, "the answer is not a valid civil.v1.VerifyIdentityResponse");
    }
}
