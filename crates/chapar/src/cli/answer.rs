//! Response messages as JSON with the contract's own field names.
//!
//! A field that holds its default (a `matches` that is false) is a fact and is shown; a field that was
//! withheld is absent and must not look like one. Which is which, only the end of the call says; so a
//! stream's messages, printed as they come, show set fields only.

use prost_reflect::{DynamicMessage, ReflectMessage as _, SerializeOptions};
use serde_json::Value;

use super::{Exit, Failure};

/// The fields that hold something.
///
/// # Errors
/// As [`disclosed_fields`].
pub(super) fn set_fields(message: &DynamicMessage) -> Result<Value, Failure> {
    json(message, true)
}

/// All fields but those at the withheld paths (dotted, through repeated fields).
///
/// # Errors
/// If JSON has no form for the message, e.g. for a timestamp of the year 0.
pub(super) fn disclosed_fields(message: &DynamicMessage, withheld: &[String]) -> Result<Value, Failure> {
    let mut value = json(message, false)?;
    for path in withheld {
        remove(&mut value, path);
    }
    Ok(value)
}

fn json(message: &DynamicMessage, skip_default_fields: bool) -> Result<Value, Failure> {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(skip_default_fields);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|_| {
        let name = message.descriptor().full_name().to_owned();
        Failure::new(
            Exit::Finding,
            format_args!(
                "answered, but the {name} cannot be shown as JSON: a date or time in it is out of range"
            ),
        )
    })
}

fn remove(value: &mut Value, path: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, path)),
        Value::Object(fields) => match path.split_once('.') {
            None => {
                fields.remove(path);
            }
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
    fn a_message_that_json_has_no_form_for_is_told_and_not_shown_as_nothing() {
        let pool = prost_reflect::DescriptorPool::global();
        let descriptor = pool.get_message_by_name("google.protobuf.Timestamp").unwrap();
        let mut message = DynamicMessage::new(descriptor);
        message.set_field_by_name("seconds", prost_reflect::Value::I64(-99_999_999_999));
        assert!(set_fields(&message).is_err());
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
}
