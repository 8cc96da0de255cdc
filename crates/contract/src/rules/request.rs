//! This module checks the rules of a request's type: where the subject is, and which texts have a format. The
//! gateway reads both from wire bytes, so what it cannot read there reliably is refused.

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, Syntax};

use super::{Checker, in_oneof};
use crate::field_path::FieldPath;
use crate::format::Format;
use crate::options::pb;
use crate::request::{RequestFormat, RequestRule};

/// State of the walk through a request's type.
struct Walk<'a> {
    root: &'a MessageDescriptor,
    /// Full names of the messages around.
    inside: Vec<String>,
    formats: Vec<RequestFormat>,
    rules: Vec<RequestRule>,
}

/// What holds for everything inside one embedded message.
#[derive(Clone, Copy)]
struct Around {
    /// It may be absent as a whole.
    optional: bool,
    /// It may occur many times.
    many: bool,
}

impl Checker<'_> {
    pub(super) fn subject(
        &mut self,
        rules: &pb::MethodRules,
        input: &MessageDescriptor,
        name: &str,
        file: &FileDescriptor,
        at: &[i32],
    ) -> Option<FieldPath> {
        if rules.subject.is_empty() {
            return None;
        }
        let Ok(path) = FieldPath::resolve(input, &rules.subject) else {
            let message =
                format!("{name}: the subject `{}` is no field of {}", rules.subject, input.full_name());
            self.find(file, at, message);
            return None;
        };
        let steps = steps(input, &rules.subject);
        // The gateway's `wire::find` does not know types, and would find a member that a later one has unset.
        if steps.iter().any(in_oneof) {
            self.find(
                file,
                at,
                format!("{name}: the subject must not be a member of a oneof: another could unset it"),
            );
            return None;
        }
        // A subject must have one reading on the wire: a repeated field would name several citizens.
        let single = steps.iter().all(|step| step.cardinality() != Cardinality::Repeated);
        match steps.last().map(FieldDescriptor::kind) {
            Some(Kind::String | Kind::Int64 | Kind::Uint64) if single => Some(path),
            _ => {
                self.find(
                    file,
                    at,
                    format!("{name}: the subject must be one text or 64-bit number, not repeated"),
                );
                None
            }
        }
    }

    /// The formats and the rules of a request's fields.
    pub(super) fn formats(&mut self, input: &MessageDescriptor) -> (Vec<RequestFormat>, Vec<RequestRule>) {
        let mut walk = Walk { root: input, inside: Vec::new(), formats: Vec::new(), rules: Vec::new() };
        self.walk(&mut walk, input, "", Around { optional: false, many: false });
        (walk.formats, walk.rules)
    }

    fn walk(&mut self, walk: &mut Walk<'_>, message: &MessageDescriptor, prefix: &str, around: Around) {
        // Inside a type that contains itself a field has no fixed path, so a format or rule there is refused.
        let again = walk.inside.iter().any(|name| name == message.full_name());
        walk.inside.push(message.full_name().to_owned());
        for field in message.fields() {
            let path = format!("{prefix}{}", field.name());
            let optional = around.optional || may_be_absent(&field);
            let many = around.many || field.cardinality() == Cardinality::Repeated;
            if let Some(format) = self.format(&field) {
                if many || again {
                    self.find_field(&field, "a format is checked only where a request has one such value");
                } else if let Ok(path) = FieldPath::resolve(walk.root, &path) {
                    walk.formats.push(RequestFormat { path, format, required: !optional });
                }
            }
            self.rule(walk, &field, &path, around.many || again);
            if let Kind::Message(inner) = field.kind()
                && !again
            {
                self.walk(walk, &inner, &format!("{path}."), Around { optional, many });
            }
        }
        walk.inside.pop();
    }

    /// `pattern`, and what `buf.validate` says.
    fn rule(&mut self, walk: &mut Walk<'_>, field: &FieldDescriptor, path: &str, many: bool) {
        let mut checks = self.validate(field);
        checks.extend(self.pattern(field));
        if checks.is_empty() {
            return;
        }
        if many {
            self.find_field(field, "a rule is checked only where a request has one such field");
        } else if let Ok(path) = FieldPath::resolve(walk.root, path) {
            walk.rules.push(RequestRule { path, field: field.clone(), checks });
        }
    }

    fn format(&mut self, field: &FieldDescriptor) -> Option<Format> {
        let rules = self.field_rules(field);
        let format = match pb::Format::try_from(rules.format) {
            Ok(pb::Format::Unspecified) => return None,
            Ok(pb::Format::IrNationalId) => Format::IrNationalId,
            Ok(pb::Format::IrLegalId) => Format::IrLegalId,
            Ok(pb::Format::IrPostalCode) => Format::IrPostalCode,
            Ok(pb::Format::IrIban) => Format::IrIban,
            Ok(pb::Format::IrMobile) => Format::IrMobile,
            Ok(pb::Format::JalaliDate) => Format::JalaliDate,
            Err(_) => {
                self.find_field(field, "this format is not known");
                return None;
            }
        };
        // Formats are checked on texts, where leading zeros are kept.
        if field.kind() != Kind::String {
            self.find_field(field, "only a text has a format");
            return None;
        }
        Some(format)
    }
}

/// The fields along a dotted path, as far as it goes.
fn steps(message: &MessageDescriptor, path: &str) -> Vec<FieldDescriptor> {
    let mut inside = Some(message.clone());
    let steps = path.split('.').map_while(|name| {
        let field = inside.take()?.get_field_by_name(name)?;
        inside = match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
        Some(field)
    });
    steps.collect()
}

/// Declared `optional`, or a member of a oneof. A message of proto3 without either must be there.
fn may_be_absent(field: &FieldDescriptor) -> bool {
    let proto2 =
        field.parent_file().syntax() == Syntax::Proto2 && field.cardinality() == Cardinality::Optional;
    proto2 || field.containing_oneof().is_some()
}
