//! This module parses protobuf's wire format without decoding messages: it finds a field, checks a message,
//! copies what a mask grants, each in linear time. Source:
//! <https://protobuf.dev/programming-guides/encoding/>.

mod count;
mod find;
mod keep;
mod mask;
mod node;
mod read;
mod shape;
mod table;
mod validate;

pub(crate) use count::count;
pub use find::{Value, find};
pub(crate) use keep::without_field;
pub use mask::{FieldMask, UnknownField};
pub use read::{MAX_DEPTH, WireError};
pub use validate::validate;

#[cfg(test)]
mod tests;
