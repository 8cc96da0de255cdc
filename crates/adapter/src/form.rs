//! `Form` is what one value of a protobuf field is, and how a database's value fills it.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind};

use crate::json::JsonField;

/// The form of one field value, into which a column's value is converted.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Bool,
    Bytes,
    /// `google.type.Date`.
    Date,
    /// `google.type.Decimal`.
    Decimal,
    Double,
    /// `google.protobuf.Duration`.
    Duration,
    Enum(Arc<HashMap<String, i32>>),
    Fixed32,
    Fixed64,
    Float,
    Int32,
    Int64,
    /// Anything else, from a column that holds JSON.
    Json(JsonField),
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
    String,
    /// `google.type.TimeOfDay`.
    TimeOfDay,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    Uint32,
    Uint64,
}

/// The form of one value of `field`.
pub(crate) fn form(field: &FieldDescriptor) -> Result<Form, &'static str> {
    if field.is_list() || field.is_map() {
        return Ok(Form::Json(JsonField::new(field)));
    }
    Ok(match field.kind() {
        Kind::Bool => Form::Bool,
        Kind::Bytes => Form::Bytes,
        Kind::Double => Form::Double,
        Kind::Enum(names) => Form::Enum(Arc::new(names_of(&names)?)),
        Kind::Fixed32 => Form::Fixed32,
        Kind::Fixed64 => Form::Fixed64,
        Kind::Float => Form::Float,
        Kind::Int32 => Form::Int32,
        Kind::Int64 => Form::Int64,
        Kind::Sfixed32 => Form::Sfixed32,
        Kind::Sfixed64 => Form::Sfixed64,
        Kind::Sint32 => Form::Sint32,
        Kind::Sint64 => Form::Sint64,
        Kind::String => Form::String,
        Kind::Uint32 => Form::Uint32,
        Kind::Uint64 => Form::Uint64,
        // These have one text form in every database; any other message is read from JSON.
        Kind::Message(message) => match message.full_name() {
            "google.type.Date" => Form::Date,
            "google.protobuf.Timestamp" => Form::Timestamp,
            "google.protobuf.Duration" => Form::Duration,
            "google.type.Decimal" => Form::Decimal,
            "google.type.TimeOfDay" => Form::TimeOfDay,
            _ => Form::Json(JsonField::new(field)),
        },
    })
}

/// `LIFE_STATUS_ALIVE` of `LifeStatus` is known by that name and as `ALIVE`. A short name that equals another
/// value's full name is refused, because it would have two meanings.
fn names_of(descriptor: &EnumDescriptor) -> Result<HashMap<String, i32>, &'static str> {
    let mut prefix = String::new();
    // `LifeStatus` becomes `LIFE_STATUS_`, the prefix that protobuf's style guide asks for.
    for (index, letter) in descriptor.name().chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    // Both forms are known, since databases often store the short name.
    let mut names: HashMap<String, i32> =
        descriptor.values().map(|value| (value.name().to_owned(), value.number())).collect();
    for value in descriptor.values() {
        let Some(short) = value.name().strip_prefix(&prefix) else { continue };
        if names.insert(short.to_owned(), value.number()).is_some_and(|other| other != value.number()) {
            return Err("is an enum in which one name stands for two values, with its prefix and without");
        }
    }
    Ok(names)
}
