//! This module checks the rules of a response's type: every leaf has a class, and the key can be compared
//! with the subject.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::Checker;
use crate::label::is_half;
use crate::method::{Class, ResponseField};
use crate::options::{self, pb};

impl Checker<'_> {
    /// Every leaf of the response, in the order of the declaration.
    pub(super) fn fields(&mut self, output: &MessageDescriptor) -> Vec<ResponseField> {
        let mut found = Vec::new();
        self.leaves(output, "", &mut found, &mut Vec::new());
        found
    }

    fn leaves(
        &mut self,
        message: &MessageDescriptor,
        prefix: &str,
        found: &mut Vec<ResponseField>,
        inside: &mut Vec<String>,
    ) {
        if inside.iter().any(|name| name == message.full_name()) {
            self.find(
                &message.parent_file(),
                message.path(),
                format!("{}: a response type cannot contain itself", message.full_name()),
            );
            return;
        }
        inside.push(message.full_name().to_owned());
        for field in message.fields() {
            let path = format!("{prefix}{}", field.name());
            let rules = self.field_rules(&field);
            self.not_in_a_response(&field);
            self.labels(&field, &rules);
            if field.cardinality() == Cardinality::Required {
                self.find_field(
                    &field,
                    "a required field cannot be withheld, and a response without it cannot be read",
                );
            }
            // The gateway compares key and subject on wire bytes, where these types have one text form.
            let comparable = field.cardinality() != Cardinality::Repeated
                && matches!(field.kind(), Kind::String | Kind::Int64 | Kind::Uint64);
            if rules.key && (!comparable || path.contains('.')) {
                self.find_field(&field, "a key is one text or 64-bit number at the top of the response");
            }
            match field.kind() {
                // A message with a class of its own is one leaf: a grant names it, and discloses it, as a
                // whole.
                Kind::Message(inner) if !is_leaf(&inner) && !field.is_map() && rules.class == 0 => {
                    self.leaves(&inner, &format!("{path}."), found, inside);
                }
                _ => found.extend(self.leaf(&field, path, &rules)),
            }
        }
        inside.pop();
    }

    /// Labels of a field, and of its enum's values.
    fn labels(&mut self, field: &FieldDescriptor, rules: &pb::FieldRules) {
        const HALF: &str = "a label has both `fa` and `en`: without one of them it would not be shown";
        if rules.label.as_ref().is_some_and(is_half) {
            self.find_field(field, HALF);
        }
        let Kind::Enum(values) = field.kind() else { return };
        for value in values.values() {
            if options::value(self.pool, &value).as_ref().is_some_and(is_half) {
                self.find(&values.parent_file(), value.path(), format!("{}: {HALF}", value.full_name()));
            }
        }
    }

    fn leaf(
        &mut self,
        field: &FieldDescriptor,
        path: String,
        rules: &pb::FieldRules,
    ) -> Option<ResponseField> {
        if rules.page_token {
            return Some(ResponseField { path, class: Class::Public, key: false, page_token: true });
        }
        let Some(class) = class(rules) else {
            self.find_field(field, "every field of a response needs a class");
            return None;
        };
        if let Kind::Message(inner) = field.kind()
            && self.strictest(&inner, &mut Vec::new()).is_some_and(|inside| inside > class)
        {
            self.find_field(field, "a message cannot have a lower class than a field inside it");
        }
        Some(ResponseField { path, class, key: rules.key, page_token: false })
    }

    /// The highest class that is declared inside a message.
    fn strictest(&self, message: &MessageDescriptor, seen: &mut Vec<String>) -> Option<Class> {
        if seen.iter().any(|name| name == message.full_name()) {
            return None;
        }
        seen.push(message.full_name().to_owned());
        let classes = message.fields().map(|field| {
            let own = options::field(self.pool, &field).and_then(|rules| class(&rules));
            let inside = match field.kind() {
                Kind::Message(inner) => self.strictest(&inner, seen),
                _ => None,
            };
            own.max(inside)
        });
        classes.max().flatten()
    }
}

fn class(rules: &pb::FieldRules) -> Option<Class> {
    match pb::Class::try_from(rules.class) {
        Ok(pb::Class::Public) => Some(Class::Public),
        Ok(pb::Class::Personal) => Some(Class::Personal),
        Ok(pb::Class::Sensitive) => Some(Class::Sensitive),
        Ok(pb::Class::Secret) => Some(Class::Secret),
        Ok(pb::Class::Unspecified) | Err(_) => None,
    }
}

/// Messages that are one value: dates, money, timestamps and their like.
fn is_leaf(message: &MessageDescriptor) -> bool {
    matches!(message.package_name(), "google.type" | "google.protobuf")
}
