//! `Reader` parses one field after the other. Malformed bytes are a `WireError`, never a panic.

use std::ops::Range;

/// Maximum nesting depth of messages, the outermost one included. It bounds the recursion that hostile bytes
/// can cause.
pub const MAX_DEPTH: usize = 32;

/// Bytes that are not a message of their type.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field.
    #[error("a message ends inside a field")]
    Truncated,
    /// A varint has more than ten bytes, or a tag more than 32 bits.
    #[error("a varint is too long")]
    Overlong,
    /// A field number is 0 or over 2^29 - 1.
    #[error("a field number is out of range")]
    FieldNumber,
    /// A wire type is 6 or 7.
    #[error("a field has a wire type that does not exist")]
    WireType,
    /// A group ends that did not begin, or the other way round.
    #[error("a group is unbalanced")]
    Group,
    /// A known field has another wire type than its own.
    #[error("a field has the wire type of another type")]
    Mismatch,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("a message is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The wire types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Group,
    Fixed32,
}

/// One field: where its tag begins, and where its value is. A group's value is what stands between its two
/// tags.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) wire: Wire,
    pub(super) whole: Range<usize>,
    pub(super) value: Range<usize>,
    pub(super) varint: u64,
}

/// A place in a message.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Field>, WireError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        match self.field(MAX_DEPTH)? {
            Some(field) => Ok(Some(field)),
            // An end-group tag at the top level has no group to end.
            None => Err(WireError::Group),
        }
    }

    /// Whether the rest is varints and nothing else: a packed field.
    pub(super) fn varints(&mut self) -> Result<(), WireError> {
        while self.at < self.bytes.len() {
            self.varint()?;
        }
        Ok(())
    }

    /// A field, or nothing if an end-group tag stands here.
    fn field(&mut self, depth: usize) -> Result<Option<Field>, WireError> {
        let start = self.at;
        let tag = u32::try_from(self.varint()?).map_err(|_| WireError::Overlong)?;
        let number = tag >> 3;
        // Field number 0 is illegal in protobuf, so such bytes are no message.
        if number == 0 {
            return Err(WireError::FieldNumber);
        }
        let begin = self.at;
        let mut varint = 0;
        let (wire, value) = match tag & 7 {
            0 => {
                varint = self.varint()?;
                (Wire::Varint, begin..self.at)
            }
            1 => (Wire::Fixed64, self.take(8)?),
            2 => {
                // `take` compares the length with what is there, so that a hostile length allocates nothing.
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                (Wire::Bytes, self.take(length)?)
            }
            3 => (Wire::Group, self.group(number, depth)?),
            4 => {
                // The tag is left for the caller, who knows whether a group is open and which number must end
                // it.
                self.at = start;
                return Ok(None);
            }
            5 => (Wire::Fixed32, self.take(4)?),
            _ => return Err(WireError::WireType),
        };
        Ok(Some(Field { number, wire, whole: start..self.at, value, varint }))
    }

    fn group(&mut self, number: u32, depth: usize) -> Result<Range<usize>, WireError> {
        let depth = depth.checked_sub(1).filter(|depth| *depth > 0).ok_or(WireError::TooDeep)?;
        let begin = self.at;
        // The fields inside are passed over to find the group's end, and their depth is bounded as well.
        while self.field(depth)?.is_some() {}
        let end = self.at;
        if self.varint()? == u64::from(number << 3 | 4) { Ok(begin..end) } else { Err(WireError::Group) }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        // Most tags and lengths are one byte.
        if let Some(byte) = self.bytes.get(self.at).filter(|byte| **byte < 0x80) {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(WireError::Truncated)?;
            self.at += 1;
            // The tenth byte of a varint has room for one bit of 64.
            if shift == 63 && byte > 1 {
                return Err(WireError::Overlong);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Overlong)
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, WireError> {
        let end =
            self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(WireError::Truncated)?;
        let value = self.at..end;
        self.at = end;
        Ok(value)
    }
}
