//! `WireShape` is the wire type of a known field, and checks a value against it. Validation and masks share
//! it, so that both call the same bytes a mismatch. It does not check inside an embedded message.

use prost_reflect::{Cardinality, FieldDescriptor, Kind};

use super::read::{Reader, Wire, WireError};

/// The wire type of a field's values, and what else may stand for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireShape {
    own: Wire,
    packable: bool,
    text: bool,
}

impl WireShape {
    pub(super) fn of(field: &FieldDescriptor) -> Self {
        let kind = field.kind();
        let own = match &kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
            Kind::Message(_) if field.is_group() => Wire::Group,
            Kind::Message(_) | Kind::String | Kind::Bytes => Wire::Bytes,
            _ => Wire::Varint,
        };
        let packable =
            field.cardinality() == Cardinality::Repeated && !matches!(own, Wire::Bytes | Wire::Group);
        Self { own, packable, text: kind == Kind::String }
    }

    pub(super) fn wire(self) -> Wire {
        self.own
    }

    /// Whether `value`, found with the wire type `wire`, is a value of the field. Receivers take a value of
    /// another wire type for an unknown field, so it must not pass as a known one.
    pub(super) fn check(self, wire: Wire, value: &[u8]) -> Result<(), WireError> {
        match wire {
            Wire::Bytes if self.text => std::str::from_utf8(value).map(drop).map_err(|_| WireError::Utf8),
            wire if wire == self.own => Ok(()),
            // Parsers must accept a repeated scalar packed and unpacked, whatever the contract declares.
            Wire::Bytes if self.packable => self.packed(value),
            _ => Err(WireError::Mismatch),
        }
    }

    fn packed(self, value: &[u8]) -> Result<(), WireError> {
        let whole = match self.own {
            Wire::Fixed64 => value.len().is_multiple_of(8),
            Wire::Fixed32 => value.len().is_multiple_of(4),
            _ => return Reader::new(value).varints(),
        };
        if whole { Ok(()) } else { Err(WireError::Truncated) }
    }
}
