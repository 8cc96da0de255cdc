//! `JsonField` fills a field that is repeated, a map or a message from one column that holds JSON, by
//! protobuf's JSON mapping (<https://protobuf.dev/programming-guides/json/>). An unknown key is an error, and
//! what a grant leaves out is removed before the field is encoded.

use prost_reflect::prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value,
};

/// A field that a column fills with JSON.
#[derive(Clone, Debug)]
pub(crate) struct JsonField {
    /// The message that the field is in.
    parent: MessageDescriptor,
    field: FieldDescriptor,
    /// Paths from the parent that a grant leaves in; `None` for all.
    kept: Option<Vec<String>>,
}

impl JsonField {
    pub(crate) fn new(field: &FieldDescriptor) -> Self {
        Self { parent: field.parent_message().clone(), field: field.clone(), kept: None }
    }

    /// The same field with nothing in it but `kept`: paths from the field's message, which begin with the
    /// field's own name.
    pub(crate) fn keeping(&self, kept: Vec<String>) -> Self {
        Self { kept: Some(kept), ..self.clone() }
    }

    /// Appends the field as it is encoded in its message.
    ///
    /// # Errors
    /// What is wrong with the JSON, without a value of it.
    pub(crate) fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|_| "not JSON")?;
        let mut object = serde_json::Map::new();
        object.insert(self.field.json_name().to_owned(), value);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let object = serde_json::Value::Object(object);
        let message = DynamicMessage::deserialize_with_options(self.parent.clone(), object, &options);
        let mut message = message.map_err(|_| "JSON that is not the field's by protobuf's JSON mapping")?;
        if let Some(kept) = &self.kept {
            let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
            prune(&mut message, &kept);
        }
        // Only this field is set, so the message is the field with its number.
        message.encode(out).map_err(|_| "longer than a message may be")
    }
}

/// Removes every field of a message that is not on one of these paths.
fn prune(message: &mut DynamicMessage, kept: &[&str]) {
    let fields: Vec<FieldDescriptor> = message.descriptor().fields().collect();
    for field in fields.into_iter().filter(|field| !kept.contains(&field.name())) {
        let prefix = format!("{}.", field.name());
        let inside: Vec<&str> = kept.iter().filter_map(|path| path.strip_prefix(&prefix)).collect();
        if inside.is_empty() {
            message.clear_field(&field);
        } else if message.has_field(&field) {
            match message.get_field_mut(&field) {
                Value::Message(inner) => prune(inner, &inside),
                Value::List(list) => {
                    for value in list {
                        if let Value::Message(inner) = value {
                            prune(inner, &inside);
                        }
                    }
                }
                // A contract names no path inside of anything else.
                _ => message.clear_field(&field),
            }
        }
    }
}
