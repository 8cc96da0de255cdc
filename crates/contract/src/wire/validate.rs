//! Checks that bytes are a message of their type: well-formed, the right wire types, UTF-8 texts, not too deep.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::read::{Field, MAX_DEPTH, Reader, Wire, WireError};

/// Checks a whole message. Unknown fields must be well-formed and are otherwise ignored.
///
/// # Errors
/// [`WireError`] for the first fault.
pub fn validate(message: &[u8], descriptor: &MessageDescriptor) -> Result<(), WireError> {
    check(message, descriptor, MAX_DEPTH)
}

fn check(message: &[u8], descriptor: &MessageDescriptor, depth: usize) -> Result<(), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut reader = Reader::new(message);
    while let Some(found) = reader.next()? {
        if let Some(field) = descriptor.get_field(found.number) {
            let value = message.get(found.value.clone()).ok_or(WireError::Truncated)?;
            check_field(&field, &found, value, depth)?;
        }
    }
    Ok(())
}

fn check_field(field: &FieldDescriptor, found: &Field, value: &[u8], depth: usize) -> Result<(), WireError> {
    let kind = field.kind();
    let own = wire_type(&kind, field.is_group());
    let packable = field.cardinality() == Cardinality::Repeated && own != Wire::Bytes && own != Wire::Group;
    match (found.wire, &kind) {
        (Wire::Bytes, Kind::String) => std::str::from_utf8(value).map(drop).map_err(|_| WireError::Utf8),
        (wire, Kind::Message(inner)) if wire == own => check(value, inner, depth),
        (wire, _) if wire == own => Ok(()),
        (Wire::Bytes, _) if packable => check_packed(own, value),
        _ => Err(WireError::Mismatch),
    }
}

fn wire_type(kind: &Kind, group: bool) -> Wire {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::Message(_) if group => Wire::Group,
        Kind::Message(_) | Kind::String | Kind::Bytes => Wire::Bytes,
        _ => Wire::Varint,
    }
}

fn check_packed(own: Wire, value: &[u8]) -> Result<(), WireError> {
    let sound = match own {
        Wire::Fixed64 => value.len().is_multiple_of(8),
        Wire::Fixed32 => value.len().is_multiple_of(4),
        _ => {
            value.last().is_none_or(|last| last & 0x80 == 0)
                && value.chunk_by(|a, _| a & 0x80 != 0).all(|one| one.len() <= 10)
        }
    };
    if sound { Ok(()) } else { Err(WireError::Truncated) }
}
