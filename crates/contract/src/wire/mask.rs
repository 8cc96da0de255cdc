//! Minimisation: a new message made by copying the granted fields; nothing else passes, known or unknown, at any depth.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use prost_reflect::{Kind, MessageDescriptor};

use super::read::{MAX_DEPTH, Reader, Wire, WireError};

/// A path that the message does not have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{path}` is no field of {message}")]
pub struct UnknownField {
    /// The dotted path as it was given.
    pub path: String,
    /// The full name of the message.
    pub message: String,
}

/// The granted fields of one message type. A path to a message grants all that the contract knows of it.
#[derive(Clone)]
pub struct FieldMask(Node);

// Not derived: the `Debug` of a descriptor that contains itself never ends.
impl fmt::Debug for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.fields.keys()).finish()
    }
}

#[derive(Clone, Default)]
struct Node {
    fields: BTreeMap<u32, Rule>,
    /// Member → its oneof, for every oneof of the message, granted or not: a member that is dropped still unsets the others.
    oneofs: BTreeMap<u32, usize>,
}

#[derive(Clone)]
enum Rule {
    /// Copied as it is.
    Whole,
    /// A message: its own fields are filtered.
    Message(Node),
    /// A message that may contain itself: all its known fields, by the descriptor.
    Known(MessageDescriptor),
}

impl FieldMask {
    /// Compiles dotted paths against a message type.
    ///
    /// # Errors
    /// [`UnknownField`] for the first path that the type does not have.
    pub fn new(message: &MessageDescriptor, paths: &[&str]) -> Result<Self, UnknownField> {
        let mut root = Node::default();
        for path in paths {
            grant(&mut root, message, path)
                .ok_or_else(|| UnknownField { path: (*path).to_owned(), message: message.full_name().to_owned() })?;
        }
        Ok(Self(root))
    }

    /// Copies what is granted out of `message`, in its order. If nothing has to go, the same bytes, not copied.
    ///
    /// # Errors
    /// [`WireError`] if the message is malformed or nested too deeply.
    pub fn keep(&self, message: &Bytes) -> Result<Bytes, WireError> {
        let mut out = Vec::new();
        let removed = keep(&Fields::Node(&self.0), message, &mut out, MAX_DEPTH)?;
        Ok(if removed { Bytes::from(out) } else { message.clone() })
    }
}

fn grant(node: &mut Node, message: &MessageDescriptor, path: &str) -> Option<()> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name)?;
    for (index, oneof) in message.oneofs().filter(|oneof| !oneof.is_synthetic()).enumerate() {
        node.oneofs.extend(oneof.fields().map(|member| (member.number(), index)));
    }
    let inner = match field.kind() {
        Kind::Message(inner) => Some(inner),
        _ => None,
    };
    match (rest, inner) {
        (None, None) => {
            node.fields.insert(field.number(), Rule::Whole);
        }
        (None, Some(inner)) => {
            node.fields.insert(field.number(), Rule::Known(inner));
        }
        (Some(rest), Some(inner)) => {
            let rule = node.fields.entry(field.number()).or_insert_with(|| Rule::Message(Node::default()));
            match rule {
                Rule::Message(node) => grant(node, &inner, rest)?,
                // All of it is granted already; the path must still exist.
                Rule::Known(_) | Rule::Whole => grant(&mut Node::default(), &inner, rest)?,
            }
        }
        (Some(_), None) => return None,
    }
    Some(())
}

/// What is kept of a message: by a mask, or all that its type knows.
enum Fields<'a> {
    Node(&'a Node),
    Known(&'a MessageDescriptor),
}

/// What happens to one field.
enum Step<'a> {
    Drop,
    Whole,
    Inside(Fields<'a>),
    InsideKnown(MessageDescriptor),
}

impl Fields<'_> {
    /// The oneof that a field belongs to, where that matters: a mask may drop one member and keep another.
    fn oneof(&self, number: u32) -> Option<usize> {
        match self {
            Fields::Node(node) => node.oneofs.get(&number).copied(),
            Fields::Known(_) => None,
        }
    }

    fn step(&self, number: u32) -> Step<'_> {
        match self {
            Fields::Node(node) => match node.fields.get(&number) {
                None => Step::Drop,
                Some(Rule::Whole) => Step::Whole,
                Some(Rule::Message(node)) => Step::Inside(Fields::Node(node)),
                Some(Rule::Known(message)) => Step::Inside(Fields::Known(message)),
            },
            Fields::Known(message) => match message.get_field(number).map(|field| field.kind()) {
                None => Step::Drop,
                Some(Kind::Message(inner)) => Step::InsideKnown(inner),
                Some(_) => Step::Whole,
            },
        }
    }
}

/// Appends what is kept to `out`; true if anything was left out.
fn keep(fields: &Fields<'_>, message: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<bool, WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut removed = false;
    // Where members of oneofs stand in `out`, in order.
    let mut members: Vec<(usize, Range<usize>)> = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        let whole = message.get(field.whole.clone()).ok_or(WireError::Truncated)?;
        let oneof = fields.oneof(field.number);
        if let (Some(oneof), Step::Drop) = (oneof, fields.step(field.number)) {
            unset(oneof, &mut members, out);
        }
        let start = out.len();
        let inner = match fields.step(field.number) {
            Step::Drop => {
                removed = true;
                continue;
            }
            Step::Whole if field.wire == Wire::Group => return Err(WireError::Mismatch),
            Step::Whole => None,
            Step::Inside(inner) => inner_keep(&inner, message, &field, depth)?,
            Step::InsideKnown(inner) => inner_keep(&Fields::Known(&inner), message, &field, depth)?,
        };
        match inner {
            None => out.extend_from_slice(whole),
            Some(kept) => {
                removed = true;
                put(out, &field, message, &kept);
            }
        }
        if let Some(oneof) = oneof {
            members.push((oneof, start..out.len()));
        }
    }
    Ok(removed)
}

/// Takes the members of a oneof out again that came before one that is dropped.
fn unset(oneof: usize, members: &mut Vec<(usize, Range<usize>)>, out: &mut Vec<u8>) {
    while let Some(at) = members.iter().rposition(|(of, _)| *of == oneof) {
        let (_, gone) = members.remove(at);
        for (_, later) in members.iter_mut().skip(at) {
            *later = later.start - gone.len()..later.end - gone.len();
        }
        out.drain(gone);
    }
}

/// The filtered value of a message field, or nothing if all of it stays.
fn inner_keep(
    fields: &Fields<'_>,
    message: &[u8],
    field: &super::read::Field,
    depth: usize,
) -> Result<Option<Vec<u8>>, WireError> {
    if !matches!(field.wire, Wire::Bytes | Wire::Group) {
        return Err(WireError::Mismatch);
    }
    let value = message.get(field.value.clone()).ok_or(WireError::Truncated)?;
    let mut kept = Vec::new();
    let removed = keep(fields, value, &mut kept, depth)?;
    Ok(removed.then_some(kept))
}

/// Writes a message field anew, with its own tags and the filtered value.
fn put(out: &mut Vec<u8>, field: &super::read::Field, message: &[u8], kept: &[u8]) {
    match field.wire {
        Wire::Group => {
            out.extend_from_slice(message.get(field.whole.start..field.value.start).unwrap_or_default());
            out.extend_from_slice(kept);
            out.extend_from_slice(message.get(field.value.end..field.whole.end).unwrap_or_default());
        }
        _ => {
            varint(out, u64::from(field.number) << 3 | 2);
            varint(out, kept.len() as u64);
            out.extend_from_slice(kept);
        }
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The message without one of its fields, at the outermost level only.
pub(crate) fn without_field(message: &[u8], number: u32) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(message.len());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number != number {
            out.extend_from_slice(message.get(field.whole).ok_or(WireError::Truncated)?);
        }
    }
    Ok(out)
}
