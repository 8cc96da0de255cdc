//! The field of an answer that echoes the citizen's id.

use prost_reflect::FieldDescriptor;

use crate::options;

/// Whether a field is its contract's `key`, which the gateway has compared with the subject of the call.
pub fn is_key(field: &FieldDescriptor) -> bool {
    options::field(field.parent_pool(), field).is_some_and(|rules| rules.key)
}
