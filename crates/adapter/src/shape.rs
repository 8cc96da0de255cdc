//! `Shape` maps columns to fields of a method's response: which message one row fills, and which column fills
//! which field. The encoding is in `encode`, the check of the statement in `check`.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_contract::{Method, MethodKind};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::conversion::Conversion;
use crate::statement::Declared;

/// How many rows make an answer, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cardinality {
    /// Unary: exactly one row is the response.
    One,
    /// Unary, and the response has one field only, a repeated message: every row is one element of the field
    /// with this number.
    List(u32),
    /// Server streaming: every row is one message.
    Stream,
}

/// A method's response as columns.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) cardinality: Cardinality,
    pub(crate) leaves: Vec<Leaf>,
}

/// One field of the response that one column fills.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The contract's path, as grants name it, e.g. `degrees.title`.
    pub(crate) path: Arc<str>,
    /// The column's name: the path inside the message that a row fills, e.g. `title` or `address.city`.
    pub(crate) column: String,
    /// Field numbers from the row's message down to the field, at least one.
    pub(crate) numbers: Vec<u32>,
    /// What the column's value becomes.
    pub(crate) form: Form,
    /// Whether NULL can leave the field unset.
    pub(crate) presence: bool,
    /// Whether the field repeats the request's subject. Always selected.
    pub(crate) key: bool,
    /// What the statement declares about the column, if anything.
    pub(crate) conversion: Option<Conversion>,
}

/// What a column's value becomes.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Bool,
    Bytes,
    /// `google.type.Date`.
    Date,
    Double,
    Enum(Arc<HashMap<String, i32>>),
    Fixed32,
    Fixed64,
    Float,
    Int32,
    Int64,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
    String,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    Uint32,
    Uint64,
}

impl Shape {
    /// Reads the response of `method`.
    ///
    /// # Errors
    /// One sentence per field that columns cannot fill.
    pub(crate) fn new(method: &Method) -> Result<Self, Vec<String>> {
        let output = method.output();
        // A statement gets its parameters before it runs, so a request that goes on cannot be bound.
        if method.kind().streams_requests() {
            return Err(vec!["streams its requests, which no statement can answer".to_owned()]);
        }
        let list = if method.kind() == MethodKind::Unary { only_list(output) } else { None };
        let (cardinality, message, prefix) = match &list {
            Some((field, message)) => {
                (Cardinality::List(field.number()), message.clone(), format!("{}.", field.name()))
            }
            None if method.kind() == MethodKind::Unary => (Cardinality::One, output.clone(), String::new()),
            None => (Cardinality::Stream, output.clone(), String::new()),
        };
        let mut leaves = Vec::new();
        let mut faults = Vec::new();
        for field in method.fields() {
            // A row of a list is one element, so its columns are named from the element and not from the
            // response.
            let column = field.path.strip_prefix(&prefix).unwrap_or(&field.path);
            match leaf(&message, column) {
                Ok((numbers, form, presence)) => leaves.push(Leaf {
                    path: field.path.as_str().into(),
                    column: column.to_owned(),
                    numbers,
                    form,
                    presence,
                    key: field.key,
                    conversion: None,
                }),
                Err(fault) => faults.push(format!("field `{}` {fault}", field.path)),
            }
        }
        if faults.is_empty() { Ok(Self { cardinality, leaves }) } else { Err(faults) }
    }

    /// Takes the conversions that a statement declares for its columns.
    pub(crate) fn convert(&mut self, declared: &[Declared<Conversion>]) {
        for leaf in &mut self.leaves {
            let own = declared.iter().find(|declared| declared.name.text == leaf.column);
            leaf.conversion = own.map(|declared| declared.value.clone());
        }
    }

    /// The leaf that a column of this name fills.
    pub(crate) fn leaf(&self, column: &str) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.column == column)
    }
}

fn only_list(output: &MessageDescriptor) -> Option<(FieldDescriptor, MessageDescriptor)> {
    let mut fields = output.fields();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    match field.kind() {
        Kind::Message(message) if field.is_list() => Some((field, message)),
        _ => None,
    }
}

type Target = (Vec<u32>, Form, bool);

fn leaf(message: &MessageDescriptor, path: &str) -> Result<Target, &'static str> {
    let fields = resolve(message, path.split('.')).ok_or("is not in the response message")?;
    let numbers = fields.iter().map(FieldDescriptor::number).collect();
    if fields.iter().any(|field| field.is_list() || field.is_map()) {
        return Err(
            "is repeated: a column fills one value. Make the method server-streaming, or its response one repeated \
                    message and nothing else",
        );
    }
    // A oneof with one field is how proto3 writes `optional`, so only larger ones are refused.
    if fields.iter().any(|field| field.containing_oneof().is_some_and(|oneof| oneof.fields().len() > 1)) {
        return Err("is in a oneof: columns cannot say which of its fields is meant");
    }
    let last = fields.last().ok_or("is empty")?;
    Ok((numbers, form(last)?, last.supports_presence()))
}

/// Follows `names` from `message` through its messages.
pub(crate) fn resolve<'a>(
    message: &MessageDescriptor,
    names: impl Iterator<Item = &'a str>,
) -> Option<Vec<FieldDescriptor>> {
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    for name in names {
        let inside = match fields.last().map(FieldDescriptor::kind) {
            None => message.clone(),
            Some(Kind::Message(inner)) => inner,
            Some(_) => return None,
        };
        fields.push(inside.get_field_by_name(name)?);
    }
    (!fields.is_empty()).then_some(fields)
}

/// What one value of `field` is.
pub(crate) fn form(field: &FieldDescriptor) -> Result<Form, &'static str> {
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
        Kind::Message(message) => match message.full_name() {
            "google.type.Date" => Form::Date,
            "google.protobuf.Timestamp" => Form::Timestamp,
            "google.protobuf.Duration" => {
                return Err("is a Duration, which no column fills: use an integer, and name its unit");
            }
            "google.type.Money" | "google.type.Decimal" => {
                return Err(
                    "is an amount that no column fills: use an `int64` of the smallest unit, and a `string` for the currency",
                );
            }
            // A wrapper only adds presence, which `optional` gives to a plain field.
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                return Err("is a wrapper, which no column fills: use `optional` and the plain type");
            }
            name if name.starts_with("google.") => {
                return Err("is a message that no column fills in this version");
            }
            _ => return Err("is a message that no column fills: name its fields with dotted aliases"),
        },
    })
}

/// `LIFE_STATUS_ALIVE` of `LifeStatus` is known by that name and as `ALIVE`. A short name that is another
/// value's whole name would be read as either.
fn names_of(descriptor: &EnumDescriptor) -> Result<HashMap<String, i32>, &'static str> {
    let mut prefix = String::new();
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
