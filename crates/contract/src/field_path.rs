//! `FieldPath` is a dotted path of field names in a message type, with its field numbers.

use std::fmt;

use prost_reflect::{Kind, MessageDescriptor};

use crate::wire::UnknownField;

/// Whether the dotted path `inner` is of a field inside that of `outer`; not of `outer` itself.
pub fn is_inside_path(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

/// A dotted path of field names, resolved to field numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldPath {
    text: String,
    numbers: Vec<u32>,
}

impl FieldPath {
    /// Resolves a dotted path in a message type; repeated fields are passed through.
    ///
    /// # Errors
    /// [`UnknownField`] if the type has no such path.
    pub fn resolve(message: &MessageDescriptor, path: &str) -> Result<Self, UnknownField> {
        let unknown = || UnknownField { path: path.to_owned(), message: message.full_name().to_owned() };
        let mut numbers = Vec::new();
        let mut inside = Some(message.clone());
        for name in path.split('.') {
            let field = inside.and_then(|message| message.get_field_by_name(name)).ok_or_else(unknown)?;
            numbers.push(field.number());
            inside = match field.kind() {
                Kind::Message(inner) => Some(inner),
                _ => None,
            };
        }
        Ok(Self { text: path.to_owned(), numbers })
    }

    /// Field numbers from the outermost message inwards; at least one.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The dotted path.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
