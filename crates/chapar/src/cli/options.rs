//! This module reads what a descriptor has beside its fields: comments, and the options of
//! `chapar.contract.v1`. Options are read by name from the descriptors that the bus sends, so that a contract
//! with newer options still shows those that are known here.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, FileDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};

const METHOD: &str = "chapar.contract.v1.method";
const FIELD: &str = "chapar.contract.v1.field";

/// The format of a field by its short name, e.g. `ir_national_id`.
pub(super) fn format(field: &FieldDescriptor) -> Option<String> {
    enum_word(&field_rules(field)?, "format", "FORMAT_")
}

/// The class of a field by its short name, e.g. `sensitive`.
pub(super) fn class(field: &FieldDescriptor) -> Option<String> {
    enum_word(&field_rules(field)?, "class", "CLASS_")
}

/// Whether a response field echoes the subject.
pub(super) fn is_key(field: &FieldDescriptor) -> bool {
    let key = || field_rules(field)?.get_field_by_name("key")?.as_bool();
    key().unwrap_or(false)
}

/// The request path of the citizen's id.
pub(super) fn subject(method: &MethodDescriptor) -> Option<String> {
    let rules = rules(method.options(), METHOD)?;
    let subject = rules.get_field_by_name("subject")?.as_str()?.to_owned();
    (!subject.is_empty()).then_some(subject)
}

/// The purposes that the contract knows.
pub(super) fn purposes(method: &MethodDescriptor) -> Vec<String> {
    let Some(rules) = rules(method.options(), METHOD) else { return Vec::new() };
    let Some(purposes) = rules.get_field_by_name("purposes") else { return Vec::new() };
    let list = purposes.as_list().unwrap_or_default();
    list.iter().filter_map(|purpose| purpose.as_str().map(str::to_owned)).collect()
}

fn field_rules(field: &FieldDescriptor) -> Option<DynamicMessage> {
    rules(field.options(), FIELD)
}

fn rules(options: DynamicMessage, extension: &str) -> Option<DynamicMessage> {
    let descriptor = options.descriptor();
    let extension = descriptor.get_extension_by_full_name(extension)?;
    match options.get_extension(&extension).into_owned() {
        Value::Message(rules) => Some(rules),
        _ => None,
    }
}

/// `None` for the unspecified value.
fn enum_word(rules: &DynamicMessage, field: &str, prefix: &str) -> Option<String> {
    let field = rules.descriptor().get_field_by_name(field)?;
    let number = rules.get_field(&field).as_enum_number()?;
    let value = field.kind().as_enum()?.get_value(number)?;
    let word = value.name().strip_prefix(prefix).unwrap_or(value.name()).to_lowercase();
    (number != 0).then_some(word)
}

/// The comment before an element, in one line; empty if there is none or the descriptors came without
/// comments. `path` is the element's path in its file (`SourceCodeInfo.Location.path`).
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let location = info.and_then(|info| info.location.iter().find(|location| location.path == path));
    let text = location.map(|location| location.leading_comments()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
