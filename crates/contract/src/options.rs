//! This module has Chapar's protobuf options: their source, built in for every contract to import, and their
//! values on a descriptor.

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumValueDescriptor, FieldDescriptor, MethodDescriptor,
    ReflectMessage as _,
};

/// Generated from `proto/chapar/contract/v1/options.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub(crate) mod pb {
    include!(concat!(env!("OUT_DIR"), "/chapar.contract.v1.rs"));
}

/// Files that any contract may import without having them, as (name, text). Beside these,
/// `google/protobuf/*`.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("chapar/contract/v1/options.proto", include_str!("../../../proto/chapar/contract/v1/options.proto")),
    ("buf/validate/validate.proto", include_str!("../../../proto/buf/validate/validate.proto")),
    ("google/type/date.proto", include_str!("../../../proto/google/type/date.proto")),
    ("google/type/decimal.proto", include_str!("../../../proto/google/type/decimal.proto")),
    ("google/type/money.proto", include_str!("../../../proto/google/type/money.proto")),
    ("google/type/timeofday.proto", include_str!("../../../proto/google/type/timeofday.proto")),
];

/// The rules of a method; the defaults if it has none. Nothing if they are there and cannot be read: a
/// foreign descriptor set may declare another option of the same name, and rules must not vanish by that.
pub(crate) fn method(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<pb::MethodRules> {
    read(pool, &method.options(), "chapar.contract.v1.method", 50710)
}

/// The rules of a field, as those of a method.
pub(crate) fn field(pool: &DescriptorPool, field: &FieldDescriptor) -> Option<pb::FieldRules> {
    read(pool, &field.options(), "chapar.contract.v1.field", 50711)
}

/// The label of an enum's value, if it has one.
pub(crate) fn value(pool: &DescriptorPool, value: &EnumValueDescriptor) -> Option<pb::Label> {
    read(pool, &value.options(), "chapar.contract.v1.value", 50712)
}

/// The rules of `buf.validate` that a field has; nothing if it has none.
pub(crate) fn validate(pool: &DescriptorPool, field: &FieldDescriptor) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name("buf.validate.field")?;
    let options = field.options();
    // A foreign descriptor set may declare another extension of this name.
    let is_ours = extension.containing_message() == options.descriptor() && options.has_extension(&extension);
    is_ours.then(|| options.get_extension(&extension).as_message().cloned())?
}

fn read<T>(pool: &DescriptorPool, options: &DynamicMessage, extension: &str, number: u32) -> Option<T>
where
    T: prost::Message + Default,
{
    // Without the extension no file imports Chapar's options, so the defaults hold.
    let Some(extension) = pool.get_extension_by_name(extension) else { return Some(T::default()) };
    // The same name with another number or target is a foreign option.
    if extension.number() != number || extension.containing_message() != options.descriptor() {
        return None;
    }
    options.get_extension(&extension).as_message()?.transcode_to().ok()
}
