//! `FieldMask` is a grant's fields, compiled against the response's type to field numbers: what minimisation
//! keeps. What is granted while paths are added is in `node`, the lookup table in `table`, the copying in
//! `keep`.

use std::fmt;

use bytes::Bytes;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::keep::keep;
use super::node::{Node, Pass, Rule};
use super::read::{MAX_DEPTH, WireError};
use super::table::Table;

/// A path that the message does not have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{path}` is no field of {message}")]
pub struct UnknownField {
    /// The dotted path as it was given.
    pub path: String,
    /// The full name of the message.
    pub message: String,
}

/// The granted fields of one message type. A path to a message grants all that the contract knows of it; a
/// path leads through repeated messages, and through a map into its values, whose keys stay.
#[derive(Clone)]
pub struct FieldMask {
    table: Table,
    /// The numbers of the outermost fields that are kept, whole or in part.
    numbers: Box<[u32]>,
}

// Not derived: tables of a type that contains itself say nothing to a reader.
impl fmt::Debug for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.numbers).finish()
    }
}

impl FieldMask {
    /// Compiles dotted paths against a message type.
    ///
    /// # Errors
    /// [`UnknownField`] for the first path that the type does not have.
    pub fn new(message: &MessageDescriptor, paths: &[&str]) -> Result<Self, UnknownField> {
        let mut root = Node::default();
        for path in paths {
            grant(&mut root, message, path).ok_or_else(|| UnknownField {
                path: (*path).to_owned(),
                message: message.full_name().to_owned(),
            })?;
        }
        Ok(Self { numbers: root.fields.keys().copied().collect(), table: Table::new(&root) })
    }

    /// Copies what is granted out of `message`; takes time in proportion to its length. If nothing has to go,
    /// the same bytes, not copied. Embedded messages that protobuf would merge are written as one, after the
    /// other fields. Whatever is kept is checked as by [`validate`](super::validate); what is left out must
    /// only be well-formed.
    ///
    /// # Errors
    /// [`WireError`] if the message is malformed or nested deeper than [`MAX_DEPTH`], or a granted field does
    /// not fit its type.
    pub fn keep(&self, message: &Bytes) -> Result<Bytes, WireError> {
        let kept = keep(self.table.root(), &[message], MAX_DEPTH)?;
        // `Bytes` is shared, so a message that stays whole is not copied.
        Ok(kept.map_or_else(|| message.clone(), Bytes::from))
    }
}

fn grant(node: &mut Node, message: &MessageDescriptor, path: &str) -> Option<()> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name)?;
    for (index, oneof) in message.oneofs().filter(|oneof| !oneof.is_synthetic()).enumerate() {
        node.oneofs.extend(oneof.fields().map(|member| (member.number(), index)));
    }
    match rest {
        None => {
            node.fields.insert(field.number(), Rule::all(&field));
            Some(())
        }
        Some(rest) => grant_inside(node, &field, rest),
    }
}

fn grant_inside(node: &mut Node, field: &FieldDescriptor, rest: &str) -> Option<()> {
    let Kind::Message(inner) = field.kind() else { return None };
    let empty = || Rule { pass: Pass::Message(Node::default()), ..Rule::all(field) };
    let mut beside = Node::default();
    let node = match &mut node.fields.entry(field.number()).or_insert_with(empty).pass {
        Pass::Message(node) => node,
        // All of it is granted already; the path must still exist.
        Pass::Known(_) | Pass::Value => &mut beside,
    };
    if field.is_map() {
        let key = inner.map_entry_key_field();
        node.fields.insert(key.number(), Rule::all(&key));
        grant_inside(node, &inner.map_entry_value_field(), rest)
    } else {
        grant(node, &inner, rest)
    }
}
