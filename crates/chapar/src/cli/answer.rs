//! Response messages as JSON with the contract's own field names.
//!
//! A field that holds its default (a `matches` that is false) is a fact and is shown; a field that was withheld is absent and
//! must not look like one. Which is which, only the end of the call says; so a stream's messages, printed as they come, show
//! set fields only.

use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

/// The fields that hold something.
pub(super) fn set_fields(message: &DynamicMessage) -> Value {
    json(message, true)
}

/// All fields but those at the withheld paths (dotted, through repeated fields).
pub(super) fn disclosed_fields(message: &DynamicMessage, withheld: &[String]) -> Value {
    let mut value = json(message, false);
    for path in withheld {
        remove(&mut value, path);
    }
    value
}

fn json(message: &DynamicMessage, skip_default_fields: bool) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(skip_default_fields);
    // Serialising to a value fails only for a timestamp out of range and the like.
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or(Value::Null)
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
    fn withheld_paths_are_removed_through_repeated_fields_and_nothing_else() {
        let mut value = serde_json::json!({"a": 1, "list": [{"b": 1, "c": 2}, {"b": 3}], "d": {"e": {"f": 1, "g": 2}}});
        for path in ["list.b", "d.e.f", "nowhere", "a.b.c"] {
            remove(&mut value, path);
        }
        assert_eq!(value, serde_json::json!({"a": 1, "list": [{"c": 2}, {}], "d": {"e": {"g": 2}}}));
    }
}
