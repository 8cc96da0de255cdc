//! This module checks the shape of a method that answers page by page: the one of Google's AIP-158.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use crate::method::MethodKind;
use crate::options;

/// What is wrong with a method whose response has a page token.
pub(super) fn faults(
    input: &MessageDescriptor,
    output: &MessageDescriptor,
    kind: MethodKind,
) -> Vec<&'static str> {
    let mut faults = Vec::new();
    if kind != MethodKind::Unary {
        faults.push("a stream has no pages, so no `page_token`");
    }
    let is_single = |field: &FieldDescriptor| field.cardinality() != Cardinality::Repeated;
    let is_list = |field: &FieldDescriptor| field.is_list() && matches!(field.kind(), Kind::Message(_));
    let is_token = |field: &FieldDescriptor| {
        let rules = options::field(field.parent_pool(), field);
        is_single(field) && field.kind() == Kind::String && rules.is_some_and(|rules| rules.page_token)
    };
    let fields: Vec<FieldDescriptor> = output.fields().collect();
    // Another field would be of a page and not of the list, and a reader would have to guess which.
    let is_page = match fields.as_slice() {
        [one, other] => is_list(one) && is_token(other) || is_token(one) && is_list(other),
        _ => false,
    };
    if !is_page {
        faults.push("a response with a `page_token` is one repeated message and the token, a text");
    }
    let has = |name: &str, kind: &Kind| {
        input.get_field_by_name(name).is_some_and(|field| is_single(&field) && field.kind() == *kind)
    };
    if !has("page_token", &Kind::String) || !has("page_size", &Kind::Int32) {
        faults.push("a method with pages is asked with `string page_token` and `int32 page_size`");
    }
    faults
}
