//! `validate` checks that bytes are a message of their type: well-formed, right wire types, UTF-8 texts, at
//! most 32 levels.

use prost_reflect::{Kind, MessageDescriptor};

use super::read::{MAX_DEPTH, Reader, WireError};
use super::shape::WireShape;

/// Checks a whole message. Unknown fields must be well-formed and are otherwise ignored.
///
/// # Errors
/// [`WireError`] for the first fault.
pub fn validate(message: &[u8], descriptor: &MessageDescriptor) -> Result<(), WireError> {
    check(message, descriptor, MAX_DEPTH)
}

fn check(message: &[u8], descriptor: &MessageDescriptor, depth: usize) -> Result<(), WireError> {
    // The message decides how deep it nests, so the recursion needs a bound of its own.
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut reader = Reader::new(message);
    while let Some(found) = reader.next()? {
        if let Some(field) = descriptor.get_field(found.number) {
            let value = message.get(found.value).ok_or(WireError::Truncated)?;
            WireShape::of(&field).check(found.wire, value)?;
            if let Kind::Message(inner) = field.kind() {
                check(value, &inner, depth)?;
            }
        }
    }
    Ok(())
}
