//! `Node` is what is granted of one message type, by field numbers: `mask` adds paths to it, and `table` is
//! made from it.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::shape::WireShape;

/// What is granted of one message, while paths are added.
#[derive(Clone, Default)]
pub(super) struct Node {
    pub(super) fields: BTreeMap<u32, Rule>,
    /// Member → its oneof, for every oneof of the message, granted or not: a member that is dropped still
    /// unsets the others.
    pub(super) oneofs: BTreeMap<u32, usize>,
}

#[derive(Clone)]
pub(super) struct Rule {
    pub(super) shape: WireShape,
    pub(super) single: bool,
    pub(super) pass: Pass,
}

#[derive(Clone)]
pub(super) enum Pass {
    /// No message: copied as it is.
    Value,
    /// A message: its own fields are filtered.
    Message(Node),
    /// A message that may contain itself: all its known fields, by the descriptor.
    Known(MessageDescriptor),
}

impl Rule {
    pub(super) fn all(field: &FieldDescriptor) -> Self {
        let pass = match field.kind() {
            Kind::Message(inner) => Pass::Known(inner),
            _ => Pass::Value,
        };
        Self { shape: WireShape::of(field), single: field.cardinality() != Cardinality::Repeated, pass }
    }
}
