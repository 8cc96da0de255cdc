//! Reads the rules of every method out of the descriptors and checks them; what is wrong comes back as findings, all at once.

use std::sync::Arc;
use std::time::Duration;

use prost_reflect::{
    Cardinality, DescriptorPool, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};

use crate::contract::Service;
use crate::finding::{Error, Finding};
use crate::format::Format;
use crate::method::{Class, FieldPath, Method, MethodKind, RequestFormat, ResponseField};
use crate::options::{self, pb};

const MAX_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ROWS: u32 = 100_000;

/// The services of the files that `own` names, or every finding in them.
pub(crate) fn services(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Result<Vec<Service>, Error> {
    let mut checker = Checker { pool, findings: Vec::new() };
    let mut services = Vec::new();
    for service in pool.services().filter(|service| own(service.parent_file().name())) {
        let methods: Vec<_> = service.methods().filter_map(|method| checker.method(&method).map(Arc::new)).collect();
        services.push(Service { name: service.full_name().to_owned(), methods });
    }
    checker
        .findings
        .sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
    checker.findings.dedup();
    if checker.findings.is_empty() { Ok(services) } else { Err(Error::Invalid(checker.findings)) }
}

struct Checker<'a> {
    pool: &'a DescriptorPool,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn find(&mut self, file: &FileDescriptor, path: &[i32], message: impl Into<String>) {
        let info = file.file_descriptor_proto().source_code_info.as_ref();
        let location = info.and_then(|info| info.location.iter().find(|location| location.path == path));
        let at =
            |index: usize| location.and_then(|l| l.span.get(index)).map_or(0, |n| usize::try_from(n + 1).unwrap_or(0));
        self.findings.push(Finding {
            file: file.name().to_owned(),
            line: at(0),
            column: at(1),
            message: message.into(),
        });
    }

    fn method(&mut self, method: &MethodDescriptor) -> Option<Method> {
        let rules = options::method(self.pool, method);
        let (file, at) = (method.parent_file(), method.path().to_vec());
        let name = format!("{}/{}", method.parent_service().full_name(), method.name());
        if method.is_client_streaming() {
            self.find(&file, &at, format!("{name}: streaming requests are not served"));
        }
        let purposes = rules.purposes.iter().filter_map(|purpose| match purpose.parse() {
            Ok(purpose) => Some(purpose),
            Err(error) => {
                self.find(&file, &at, format!("{name}: purpose `{purpose}` is {error}"));
                None
            }
        });
        let purposes = purposes.collect();
        let timeout = self.timeout(&rules).unwrap_or_else(|| {
            self.find(&file, &at, format!("{name}: a timeout is from 1 ms to 30 s"));
            Duration::ZERO
        });
        if rules.max_rows > MAX_ROWS {
            self.find(&file, &at, format!("{name}: max_rows is at most {MAX_ROWS}"));
        }
        let (input, output) = (method.input(), method.output());
        let subject = self.subject(&rules, &input, &name, &file, &at);
        let mut formats = Vec::new();
        self.formats(&input, String::new(), &mut formats, &mut Vec::new());
        let subject_format =
            subject.as_ref().and_then(|subject| formats.iter().find(|f| f.path == *subject)).map(|f| f.format);
        let mut fields = Vec::new();
        self.leaves(&output, "", &mut fields, &mut Vec::new());
        let key = fields.iter().find(|field| field.key).and_then(|field| FieldPath::resolve(&output, &field.path).ok());
        if key.is_some() && subject.is_none() {
            self.find(&file, &at, format!("{name}: a key echoes the subject, and the method names none"));
        }
        Some(Method {
            path: name.parse().ok()?,
            kind: if method.is_server_streaming() { MethodKind::ServerStreaming } else { MethodKind::Unary },
            input,
            output,
            subject,
            subject_format,
            key,
            purposes,
            timeout,
            row_scopes: rules.row_scopes,
            max_rows: if rules.max_rows == 0 { 1000 } else { rules.max_rows },
            fields,
            formats,
        })
    }

    fn timeout(&self, rules: &pb::MethodRules) -> Option<Duration> {
        let Some(timeout) = rules.timeout else { return Some(Duration::from_secs(1)) };
        let timeout = Duration::try_from(timeout).ok()?;
        (Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout).then_some(timeout)
    }

    fn subject(
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
            self.find(
                file,
                at,
                format!("{name}: the subject `{}` is no field of {}", rules.subject, input.full_name()),
            );
            return None;
        };
        let leaf = rules.subject.split('.').try_fold((None, Some(input.clone())), |(_, inside), part| {
            let field = inside?.get_field_by_name(part)?;
            let inner = match field.kind() {
                Kind::Message(inner) => Some(inner),
                _ => None,
            };
            (field.cardinality() != Cardinality::Repeated).then_some((Some(field), inner))
        });
        match leaf.and_then(|(field, _)| field).map(|field| field.kind()) {
            Some(Kind::String | Kind::Int64 | Kind::Uint64) => Some(path),
            _ => {
                self.find(file, at, format!("{name}: the subject must be one text or 64-bit number, not repeated"));
                None
            }
        }
    }

    fn formats(
        &mut self,
        message: &MessageDescriptor,
        prefix: String,
        found: &mut Vec<RequestFormat>,
        inside: &mut Vec<String>,
    ) {
        if inside.iter().any(|name| name == message.full_name()) {
            return;
        }
        inside.push(message.full_name().to_owned());
        for field in message.fields().filter(|field| field.cardinality() != Cardinality::Repeated) {
            let path = format!("{prefix}{}", field.name());
            if let Some(format) = self.format(&field)
                && let Ok(path) = FieldPath::resolve(&root(message, inside, self.pool), &path)
            {
                let required = field.field_descriptor_proto().proto3_optional != Some(true);
                found.push(RequestFormat { path, format, required });
            }
            if let Kind::Message(inner) = field.kind() {
                self.formats(&inner, format!("{path}."), found, inside);
            }
        }
        inside.pop();
    }

    fn format(&mut self, field: &FieldDescriptor) -> Option<Format> {
        let rules = options::field(self.pool, field);
        let format = match pb::Format::try_from(rules.format) {
            Ok(pb::Format::Unspecified) => return None,
            Ok(pb::Format::IrNationalId) => Format::IrNationalId,
            Ok(pb::Format::IrLegalId) => Format::IrLegalId,
            Ok(pb::Format::IrPostalCode) => Format::IrPostalCode,
            Ok(pb::Format::IrIban) => Format::IrIban,
            Ok(pb::Format::IrMobile) => Format::IrMobile,
            Ok(pb::Format::JalaliDate) => Format::JalaliDate,
            Err(_) => {
                self.find(
                    &field.parent_file(),
                    field.path(),
                    format!("{}: this format is not known", field.full_name()),
                );
                return None;
            }
        };
        if field.kind() != Kind::String {
            self.find(&field.parent_file(), field.path(), format!("{}: only a text has a format", field.full_name()));
            return None;
        }
        Some(format)
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
            let rules = options::field(self.pool, &field);
            match field.kind() {
                Kind::Message(inner) if !is_leaf(&inner) && !field.is_map() && rules.class == 0 => {
                    self.leaves(&inner, &format!("{path}."), found, inside);
                }
                _ => self.leaf(&field, path, &rules, found),
            }
        }
        inside.pop();
    }

    fn leaf(&mut self, field: &FieldDescriptor, path: String, rules: &pb::FieldRules, found: &mut Vec<ResponseField>) {
        let class = match pb::Class::try_from(rules.class) {
            Ok(pb::Class::Public) => Class::Public,
            Ok(pb::Class::Personal) => Class::Personal,
            Ok(pb::Class::Sensitive) => Class::Sensitive,
            Ok(pb::Class::Secret) => Class::Secret,
            Ok(pb::Class::Unspecified) | Err(_) => {
                self.find(
                    &field.parent_file(),
                    field.path(),
                    format!("{}: every field of a response needs a class", field.full_name()),
                );
                return;
            }
        };
        let singular = field.cardinality() != Cardinality::Repeated
            && matches!(field.kind(), Kind::String | Kind::Int64 | Kind::Uint64);
        if rules.key && (!singular || path.contains('.')) {
            self.find(
                &field.parent_file(),
                field.path(),
                format!("{}: a key is one text or 64-bit number at the top of the response", field.full_name()),
            );
        }
        found.push(ResponseField { path, class, key: rules.key });
    }
}

/// Messages that are one value: dates, money, timestamps and their like.
fn is_leaf(message: &MessageDescriptor) -> bool {
    matches!(message.package_name(), "google.type" | "google.protobuf")
}

/// The request type that the walk began with.
fn root(message: &MessageDescriptor, inside: &[String], pool: &DescriptorPool) -> MessageDescriptor {
    inside.first().and_then(|name| pool.get_message_by_name(name)).unwrap_or_else(|| message.clone())
}
