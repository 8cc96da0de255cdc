//! `find` finds one singular field by its path of numbers; the last value wins, as protobuf says.

use super::read::{MAX_DEPTH, Reader, Wire, WireError};

/// A singular value as it stands on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value<'a> {
    /// A varint: integers, booleans, enums.
    Varint(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Eight bytes, little-endian.
    Fixed64([u8; 8]),
    /// Four bytes, little-endian.
    Fixed32([u8; 4]),
}

impl Value<'_> {
    /// The value as an identifier's text: a UTF-8 text as it is, a varint in decimal. Nothing for other
    /// values.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Varint(number) => Some(number.cast_signed().to_string()),
            Self::Fixed64(_) | Self::Fixed32(_) => None,
        }
    }
}

/// The last value of the field at `path` (numbers from the outermost message inwards), or nothing. Every
/// occurrence of an embedded message counts, in order, because protobuf merges them. The types are not known
/// here, so a member of a oneof is found although a later member unset it: a contract's subject is never one.
///
/// # Errors
/// [`WireError`] if the message, or an embedded one on the path, is malformed, or the path is longer than
/// [`MAX_DEPTH`].
pub fn find<'a>(message: &'a [u8], path: &[u32]) -> Result<Option<Value<'a>>, WireError> {
    let Some((number, inner)) = path.split_first() else { return Ok(None) };
    // The depth is bounded by the contract's path and never by the message, so hostile bytes cannot make this
    // recurse.
    if path.len() > MAX_DEPTH {
        return Err(WireError::TooDeep);
    }
    let mut found = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number != *number {
            continue;
        }
        let value = message.get(field.value.clone()).ok_or(WireError::Truncated)?;
        if inner.is_empty() {
            found = Some(match field.wire {
                Wire::Varint => Value::Varint(field.varint),
                Wire::Bytes => Value::Bytes(value),
                // No contract has groups (proto2), so a decoder takes one for an unknown field and skips it.
                Wire::Group => return Err(WireError::Mismatch),
                Wire::Fixed64 => Value::Fixed64(value.try_into().map_err(|_| WireError::Truncated)?),
                Wire::Fixed32 => Value::Fixed32(value.try_into().map_err(|_| WireError::Truncated)?),
            });
        } else if matches!(field.wire, Wire::Bytes | Wire::Group) {
            // An occurrence of the outer message that lacks the field does not unset it, since protobuf
            // merges occurrences.
            found = find(value, inner)?.or(found);
        } else {
            // A decoder would skip a field of another wire type. Refused, so that no two readers of the
            // request differ.
            return Err(WireError::Mismatch);
        }
    }
    Ok(found)
}
