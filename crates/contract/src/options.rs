//! Chapar's own options: their source, built in so that every contract can import it, and their values on a descriptor.

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor};

/// Generated from `proto/chapar/contract/v1/options.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub(crate) mod pb {
    include!(concat!(env!("OUT_DIR"), "/chapar.contract.v1.rs"));
}

/// Files that any contract may import without having them, as (name, text). Beside these, `google/protobuf/*`.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("chapar/contract/v1/options.proto", include_str!("../../../proto/chapar/contract/v1/options.proto")),
    ("google/type/date.proto", include_str!("../../../proto/google/type/date.proto")),
];

/// The rules of a method; the defaults if it has none.
pub(crate) fn method(pool: &DescriptorPool, method: &MethodDescriptor) -> pb::MethodRules {
    read(pool, &method.options(), "chapar.contract.v1.method")
}

/// The rules of a field; the defaults if it has none.
pub(crate) fn field(pool: &DescriptorPool, field: &FieldDescriptor) -> pb::FieldRules {
    read(pool, &field.options(), "chapar.contract.v1.field")
}

fn read<T: prost::Message + Default>(pool: &DescriptorPool, options: &DynamicMessage, extension: &str) -> T {
    let value = pool.get_extension_by_name(extension).map(|extension| options.get_extension(&extension).into_owned());
    value.and_then(|value| value.as_message().and_then(|message| message.transcode_to().ok())).unwrap_or_default()
}
