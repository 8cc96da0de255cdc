//! Messages as JSON with the contract's own field names.
//!
//! A field that holds its default (a `matches` that is false) is a fact and is shown; a field that was
//! withheld is absent and must not look like one. Which is which, only the end of the call says; so there are
//! two functions.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

/// Bytes that are not a message of the type.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the answer is not a valid {message}")]
pub struct Unreadable {
    /// The type's full name.
    pub message: String,
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
    let unreadable = || Unreadable { message: descriptor.full_name().to_owned() };
    let message = DynamicMessage::decode(descriptor.clone(), message).map_err(|_| unreadable())?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(skip_default_fields);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|_| unreadable())
}

fn remove(value: &mut Value, path: &str) {
    match value {
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
    use super::*;

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
