//! JSON Schemas of messages in protobuf's JSON mapping (<https://protobuf.dev/programming-guides/json/>).

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::cli::options;

/// The schemas that a document refers to, by the message's full name.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// A reference to the schema of a message, which is added if it is not there yet.
    pub(super) fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.full_name();
        if !self.0.contains_key(name) {
            // First, since a message may contain itself.
            self.0.insert(name.to_owned(), Value::Null);
            let schema = self.message(message);
            self.0.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// All of them, with that of refusals.
    pub(super) fn finish(mut self) -> BTreeMap<String, Value> {
        let refusal = json!({
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "string", "description": "Connect's code, e.g. `permission_denied`." },
                "message": { "type": "string", "description": "One sentence for people." },
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {
                            "type": { "type": "string" },
                            "value": { "type": "string", "contentEncoding": "base64" },
                            "debug": { "description": "The detail in JSON; `reason` of `google.rpc.ErrorInfo` is the word to decide by." },
                        },
                    },
                },
            },
        });
        self.0.insert("Refusal".to_owned(), refusal);
        self.0
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let mut properties = Map::new();
        for field in message.fields() {
            let mut schema = self.field(&field);
            let about = about(&field);
            if !about.is_empty() {
                // Beside `$ref` a description is read since OpenAPI 3.1.
                schema["description"] = Value::String(about);
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let comment = options::comment(&message.parent_file(), message.path());
        // A member that is no field is refused, so that none is passed over.
        json!({ "type": "object", "description": comment, "properties": properties, "additionalProperties": false })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let kind = field.kind();
            let value = kind.as_message().map(|entry| entry.map_entry_value_field());
            let value = value.map_or(Value::Bool(true), |value| self.value(&value));
            return json!({ "type": "object", "additionalProperties": value, "maxProperties": 1 });
        }
        let value = self.value(field);
        if field.is_list() { json!({ "type": "array", "items": value }) } else { value }
    }

    fn value(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            // A double of a script holds no more than 53 bits.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "pattern": "^-?[0-9]+$" })
            }
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            Kind::Float | Kind::Double => {
                json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
            }
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(values) => {
                let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
                json!({ "type": "string", "enum": names })
            }
            Kind::Message(message) => self.well_known(&message).unwrap_or_else(|| self.reference(&message)),
        }
    }

    /// The types whose JSON is not an object of their fields.
    fn well_known(&mut self, message: &MessageDescriptor) -> Option<Value> {
        Some(match message.full_name() {
            "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$" }),
            "google.protobuf.FieldMask" => json!({ "type": "string" }),
            "google.protobuf.Struct" => json!({ "type": "object" }),
            "google.protobuf.ListValue" => json!({ "type": "array" }),
            "google.protobuf.Value" | "google.protobuf.Any" => json!({}),
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                self.value(&message.get_field_by_name("value")?)
            }
            _ => return None,
        })
    }
}

/// The comment of a field, with its format.
fn about(field: &FieldDescriptor) -> String {
    let comment = options::comment(&field.parent_file(), field.path());
    match options::format(field) {
        Some(format) => format!("{comment} Format: {format}.").trim_start().to_owned(),
        None => comment,
    }
}
