//! `Shape` maps columns to fields of a method's response: which message one row fills, and which column fills
//! which field. The encoding is in `encode`, the check of the statement in `check`.

use std::sync::Arc;

use chapar_contract::{Method, MethodKind};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::conversion::Conversion;
use crate::form::{Form, form};

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

    /// Takes the conversion of each column, if `declared` has one for its name.
    pub(crate) fn convert<'c>(&mut self, declared: impl Fn(&str) -> Option<&'c Conversion>) {
        for leaf in &mut self.leaves {
            leaf.conversion = declared(&leaf.column).cloned();
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
