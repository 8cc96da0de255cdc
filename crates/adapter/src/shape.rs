//! `Shape` maps columns to fields of a method's response: which message one row fills, and which column fills
//! which field. The encoding is in `encode`, the check of the statement in `check`.

use std::sync::Arc;

use chapar_contract::{Method, MethodKind};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::conversion::Conversion;
use crate::form::{Form, form};
use crate::json::JsonField;
use crate::source::{Column, Family};

/// How many rows make an answer, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cardinality {
    /// Unary: exactly one row is the response.
    One,
    /// Unary, and the response has one field only (and a page token), a repeated message: every row is one
    /// element of the field with this number.
    List(u32),
    /// Server streaming: every row is one message.
    Stream,
}

/// A method's response as columns.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The message that one row fills.
    pub(crate) message: MessageDescriptor,
    pub(crate) cardinality: Cardinality,
    pub(crate) leaves: Vec<Leaf>,
    /// The response's field for the next page's token, if the method answers page by page.
    pub(crate) page_token: Option<FieldDescriptor>,
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
    /// The contract's paths of the fields inside of the one that the column fills with JSON.
    pub(crate) inside: Vec<Arc<str>>,
    /// Whether the column is an array, which is read as JSON.
    pub(crate) is_array: bool,
    /// Whether the statement declares that NULL in it says something, so that an answer without it is whole.
    pub(crate) is_sparse: bool,
}

impl Leaf {
    /// The paths that grants name: those inside of the field, or its own.
    fn paths(&self) -> Vec<Arc<str>> {
        if self.inside.is_empty() { vec![Arc::clone(&self.path)] } else { self.inside.clone() }
    }

    /// A path of a field inside of this one, from the message that this field is in.
    pub(crate) fn relative<'p>(&self, path: &'p str) -> &'p str {
        let own = self.path.rfind('.').map_or(0, |dot| dot + 1);
        path.get(own..).unwrap_or_default()
    }
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
        let token = method.next_page_token();
        let list = if method.kind() == MethodKind::Unary { only_list(output, token) } else { None };
        let (cardinality, message, prefix) = match &list {
            Some((field, message)) => {
                (Cardinality::List(field.number()), message.clone(), format!("{}.", field.name()))
            }
            None if method.kind() == MethodKind::Unary => (Cardinality::One, output.clone(), String::new()),
            None => (Cardinality::Stream, output.clone(), String::new()),
        };
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut faults = Vec::new();
        // No column fills the next page's token.
        for field in method.fields().iter().filter(|field| !field.page_token) {
            // A row of a list is one element, so its columns are named from the element and not from the
            // response.
            let column = field.path.strip_prefix(&prefix).unwrap_or(&field.path);
            match leaf(&message, &field.path, column, field.key) {
                // Fields inside of a repeated message have one column for all of them.
                Ok(leaf) => match leaves.iter_mut().find(|known| known.column == leaf.column) {
                    Some(known) => known.inside.extend(leaf.inside),
                    None => leaves.push(leaf),
                },
                Err(fault) => faults.push(format!("field `{}` {fault}", field.path)),
            }
        }
        let page_token = token.and_then(|token| output.get_field_by_name(token));
        if faults.is_empty() { Ok(Self { message, cardinality, leaves, page_token }) } else { Err(faults) }
    }

    /// Takes the conversion of each column, if `declared` has one for its name.
    pub(crate) fn convert<'c>(&mut self, declared: impl Fn(&str) -> Option<&'c Conversion>) {
        for leaf in &mut self.leaves {
            leaf.conversion = declared(&leaf.column).cloned();
        }
    }

    /// Takes over which columns are sparse.
    pub(crate) fn mark_sparse(&mut self, is_sparse: impl Fn(&str) -> bool) {
        for leaf in &mut self.leaves {
            leaf.is_sparse = is_sparse(&leaf.column);
        }
    }

    /// Fits the leaves to a statement's columns: a message whose fields have no columns of their own, but
    /// which has a column of its own name, is filled with the JSON of that column.
    pub(crate) fn fit(&mut self, columns: &[Column]) {
        for column in columns {
            if let Some(leaf) = self.leaves.iter_mut().find(|leaf| leaf.column == column.name) {
                leaf.is_array = column.family == Family::Array;
                continue;
            }
            let prefix = format!("{}.", column.name);
            let Some(at) = self.leaves.iter().position(|leaf| leaf.column.starts_with(&prefix)) else {
                continue;
            };
            let Some(fields) = resolve(&self.message, column.name.split('.')) else { continue };
            // The contract's path of the message: that of a field inside of it, without what follows.
            let first = &self.leaves[at];
            let path = &first.path[..first.path.len() + column.name.len() - first.column.len()];
            let Some(whole) = json_leaf(&fields, path, &column.name) else { continue };
            let (own, mut leaves): (Vec<Leaf>, Vec<Leaf>) = std::mem::take(&mut self.leaves)
                .into_iter()
                .partition(|leaf| leaf.column.starts_with(&prefix));
            leaves.insert(at, Leaf { inside: own.iter().flat_map(Leaf::paths).collect(), ..whole });
            self.leaves = leaves;
        }
    }

    /// The name of the response's field for the next page's token.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.page_token.as_ref().map(FieldDescriptor::name)
    }

    /// The leaf that a column of this name fills.
    pub(crate) fn leaf(&self, column: &str) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.column == column)
    }
}

/// The repeated message of a response that has nothing else, apart from the next page's token.
fn only_list(
    output: &MessageDescriptor,
    token: Option<&str>,
) -> Option<(FieldDescriptor, MessageDescriptor)> {
    let mut fields = output.fields().filter(|field| Some(field.name()) != token);
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    match field.kind() {
        Kind::Message(message) if field.is_list() => Some((field, message)),
        _ => None,
    }
}

/// The leaf of the response field `path`, which is `column` inside of `message`.
fn leaf(message: &MessageDescriptor, path: &str, column: &str, key: bool) -> Result<Leaf, &'static str> {
    let fields = resolve(message, column.split('.')).ok_or("is not in the response message")?;
    // A oneof with one field is how proto3 writes `optional`, so only larger ones are refused.
    if fields.iter().any(|field| field.containing_oneof().is_some_and(|oneof| oneof.fields().len() > 1)) {
        return Err("is in a oneof: columns cannot say which of its fields is meant");
    }
    // The first field that occurs several times takes one column, with all that is inside of it.
    if let Some(many) = fields.iter().position(|field| field.is_list() || field.is_map()) {
        let names: Vec<&str> = column.split('.').collect();
        let own = names[..=many].join(".");
        let own_path = &path[..path.len() + own.len() - column.len()];
        let whole = fields.get(..=many).and_then(|fields| json_leaf(fields, own_path, &own));
        let mut whole = whole.ok_or("is empty")?;
        if own_path != path {
            whole.inside.push(path.into());
        }
        return Ok(whole);
    }
    let last = fields.last().ok_or("is empty")?;
    let mut numbers: Vec<u32> = fields.iter().map(FieldDescriptor::number).collect();
    let mut presence = last.supports_presence();
    // A wrapper is a message with one field, `value`, and adds nothing but presence.
    let form = match wrapped(last) {
        Some(value) => {
            numbers.push(value.number());
            presence = true;
            form(&value)?
        }
        None => form(last)?,
    };
    Ok(Leaf {
        path: path.into(),
        column: column.to_owned(),
        numbers,
        form,
        presence,
        key,
        conversion: None,
        inside: Vec::new(),
        is_array: false,
        is_sparse: false,
    })
}

/// The field of a wrapper such as `google.protobuf.Int64Value` (wrappers.proto).
fn wrapped(field: &FieldDescriptor) -> Option<FieldDescriptor> {
    let Kind::Message(message) = field.kind() else { return None };
    let is_wrapper = message.parent_file().name() == "google/protobuf/wrappers.proto";
    is_wrapper.then(|| message.get_field_by_name("value")).flatten()
}

/// A leaf that a column of this name fills with JSON.
fn json_leaf(fields: &[FieldDescriptor], path: &str, column: &str) -> Option<Leaf> {
    Some(Leaf {
        path: path.into(),
        column: column.to_owned(),
        numbers: fields.iter().map(FieldDescriptor::number).collect(),
        form: Form::Json(JsonField::new(fields.last()?)),
        // NULL is an empty list, and a message that is not set.
        presence: true,
        key: false,
        conversion: None,
        inside: Vec::new(),
        is_array: false,
        is_sparse: false,
    })
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
