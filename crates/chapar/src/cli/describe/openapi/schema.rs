//! JSON Schemas of messages in protobuf's JSON mapping (<https://protobuf.dev/programming-guides/json/>).

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::cli::options;

/// Whether a schema is of what a caller sends or of what it gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// What the gateway takes is narrower than what protobuf's JSON allows.
    Request,
    /// A later contract may have more fields and values.
    Answer,
}

/// The schemas that a document refers to: of an answer by the message's full name, of a request by that after
/// `request.`.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// A reference to the schema of a message, which is added if it is not there yet.
    pub(super) fn reference(&mut self, message: &MessageDescriptor, way: Way) -> Value {
        let name = match way {
            Way::Request => format!("request.{}", message.full_name()),
            Way::Answer => message.full_name().to_owned(),
        };
        if !self.0.contains_key(&name) {
            // First, since a message may contain itself.
            self.0.insert(name.clone(), Value::Null);
            let schema = self.message(message, way);
            self.0.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// All of them, with those of refusals and of a stream's end.
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
        let end = json!({
            "type": "object",
            "description": "The last envelope of a stream, with flags 2.",
            "properties": {
                "error": { "$ref": "#/components/schemas/Refusal" },
                "metadata": { "type": "object", "description": "The entry, and the fields that were disclosed and withheld." },
            },
        });
        self.0.insert("EndOfStream".to_owned(), end);
        self.0
    }

    fn message(&mut self, message: &MessageDescriptor, way: Way) -> Value {
        let mut properties = Map::new();
        for field in message.fields() {
            let mut schema = self.field(&field, way);
            let about = about(&field);
            if !about.is_empty() {
                // Beside `$ref` a description is read since OpenAPI 3.1.
                schema["description"] = Value::String(about);
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let comment = options::comment(&message.parent_file(), message.path());
        let mut schema = json!({ "type": "object", "description": comment, "properties": properties });
        if way == Way::Request {
            // A member that is no field is refused, so that none is passed over.
            schema["additionalProperties"] = Value::Bool(false);
        }
        schema
    }

    fn field(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        if field.is_map() {
            let kind = field.kind();
            let value = kind.as_message().map(|entry| entry.map_entry_value_field());
            let value = value.map_or(Value::Bool(true), |value| self.value(&value, way));
            let mut schema = json!({ "type": "object", "additionalProperties": value });
            if way == Way::Request {
                // Several entries have no one form in bytes, by which a request id is compared.
                schema["maxProperties"] = json!(1);
            }
            return schema;
        }
        let value = self.value(field, way);
        if field.is_list() { json!({ "type": "array", "items": value }) } else { value }
    }

    fn value(&mut self, field: &FieldDescriptor, way: Way) -> Value {
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
            Kind::Enum(values) if values.full_name() == "google.protobuf.NullValue" => {
                json!({ "type": "null" })
            }
            Kind::Enum(values) => {
                let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
                // A value that the contract does not name is its number.
                json!({ "anyOf": [{ "type": "string", "enum": names }, { "type": "integer", "format": "int32" }] })
            }
            Kind::Message(message) => {
                self.well_known(&message, way).unwrap_or_else(|| self.reference(&message, way))
            }
        }
    }

    /// The types whose JSON is not an object of their fields.
    fn well_known(&mut self, message: &MessageDescriptor, way: Way) -> Option<Value> {
        Some(match message.full_name() {
            "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$" }),
            "google.protobuf.FieldMask" => json!({ "type": "string" }),
            "google.protobuf.Struct" => json!({ "type": "object" }),
            "google.protobuf.ListValue" => json!({ "type": "array" }),
            "google.protobuf.Value" | "google.protobuf.Any" => json!({}),
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                self.value(&message.get_field_by_name("value")?, way)
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
