//! Fields at dotted paths, and whether a value of one can be put into another.

use chapar_contract::{FieldPath, is_inside_path};
use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};

/// Whether setting one path would change what is at the other: it is the same, around it or inside it, or
/// another member of its oneof.
pub(super) fn overlaps(message: &MessageDescriptor, one: &FieldPath, other: &FieldPath) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let around = |path: &str| path.rsplit_once('.').map(|(around, _)| around.to_owned());
    let oneof = |path: &str| {
        let field = singular(message, path)?;
        Some(field.containing_oneof()?.full_name().to_owned())
    };
    let is_same_oneof = || around(one) == around(other) && oneof(one).is_some() && oneof(one) == oneof(other);
    one == other || is_inside_path(one, other) || is_inside_path(other, one) || is_same_oneof()
}

/// The field at a dotted path, if it and all messages around it are singular.
pub(super) fn singular(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let mut inside = Some(message.clone());
    let mut found = None;
    for name in path.split('.') {
        let field = inside?.get_field_by_name(name)?;
        if field.is_list() || field.is_map() {
            return None;
        }
        inside = match field.kind() {
            FieldKind::Message(inner) => Some(inner),
            _ => None,
        };
        found = Some(field);
    }
    found
}

/// Whether a value of one can be put into the other as it is. Messages and enums of two contracts are
/// compared by their names.
pub(super) fn is_same_type(one: &FieldKind, other: &FieldKind) -> bool {
    type_name(one) == type_name(other)
}

pub(super) fn type_name(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Message(message) => message.full_name().to_owned(),
        FieldKind::Enum(names) => names.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}
