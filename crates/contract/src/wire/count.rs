//! `count` counts the values of one repeated field, packed or not.

use prost_reflect::FieldDescriptor;

use super::read::{MAX_DEPTH, Reader, Wire, WireError};
use super::shape::WireShape;

/// How many values the repeated `field` at `path` has, over every occurrence of the messages around it.
///
/// # Errors
/// [`WireError`] if the message, or an embedded one on the path, is malformed.
pub(crate) fn count(message: &[u8], path: &[u32], field: &FieldDescriptor) -> Result<u64, WireError> {
    let Some((number, inner)) = path.split_first() else { return Ok(0) };
    if path.len() > MAX_DEPTH {
        return Err(WireError::TooDeep);
    }
    let own = WireShape::of(field).wire();
    let mut items = 0;
    let mut reader = Reader::new(message);
    while let Some(found) = reader.next()? {
        if found.number != *number {
            continue;
        }
        let value = message.get(found.value).ok_or(WireError::Truncated)?;
        items += match found.wire {
            // Decoders merge the occurrences of an outer message, so their items add up.
            Wire::Bytes | Wire::Group if !inner.is_empty() => count(value, inner, field)?,
            wire if wire == own && inner.is_empty() => 1,
            Wire::Bytes if inner.is_empty() => packed(own, value),
            _ => return Err(WireError::Mismatch),
        };
    }
    Ok(items)
}

fn packed(own: Wire, value: &[u8]) -> u64 {
    let items = match own {
        Wire::Fixed64 => value.len() / 8,
        Wire::Fixed32 => value.len() / 4,
        // The last byte of a varint is its only one below 0x80.
        _ => value.iter().filter(|byte| **byte < 0x80).count(),
    };
    items as u64
}
