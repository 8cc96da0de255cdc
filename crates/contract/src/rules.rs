//! `services` reads the rules of every method from the descriptors, checks them, and reports all findings at
//! once. Rules of the request's type are in `request`, of the response's type in `response`.

mod paging;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use chapar_model::{MethodPath, Purpose};
use prost_reflect::{DescriptorPool, FieldDescriptor, FileDescriptor, MethodDescriptor};

use crate::field_path::FieldPath;
use crate::finding::{Error, Finding};
use crate::method::{Class, Method, MethodKind};
use crate::options::{self, pb};
use crate::service::Service;

/// Maximum `timeout` of a unary method.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum `timeout` of a method that streams.
const MAX_STREAM: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum `max_rows` of a method that answers with one message, which is gathered in memory.
const MAX_ROWS: u32 = 100_000;
/// Maximum `max_rows` of a method that streams its answer.
const MAX_STREAM_ROWS: u32 = 10_000_000;

/// The services of the files that `own` names, or every finding in them.
pub(crate) fn services(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Result<Vec<Service>, Error> {
    let mut checker = Checker { pool, findings: Vec::new() };
    let mut services = Vec::new();
    for service in pool.services().filter(|service| own(service.parent_file().name())) {
        let methods: Vec<_> =
            service.methods().filter_map(|method| checker.method(&method).map(Arc::new)).collect();
        services.push(Service { name: service.full_name().to_owned(), methods });
    }
    // A message type that several methods use is checked for each of them, so findings can repeat.
    checker.findings.sort_by(|a, b| {
        (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message))
    });
    checker.findings.dedup();
    if checker.findings.is_empty() { Ok(services) } else { Err(Error::Invalid(checker.findings)) }
}

struct Checker<'a> {
    pool: &'a DescriptorPool,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn find(&mut self, file: &FileDescriptor, path: &[i32], message: impl Into<String>) {
        self.findings.push(Finding::at(file, path, message));
    }

    fn find_field(&mut self, field: &FieldDescriptor, message: &str) {
        self.find(&field.parent_file(), field.path(), format!("{}: {message}", field.full_name()));
    }

    /// The rules of a field, or a finding if they cannot be read.
    fn field_rules(&mut self, field: &FieldDescriptor) -> pb::FieldRules {
        options::field(self.pool, field).unwrap_or_else(|| {
            self.find_field(field, "its option chapar.contract.v1.field is not Chapar's");
            pb::FieldRules::default()
        })
    }

    fn method(&mut self, method: &MethodDescriptor) -> Option<Method> {
        let before = self.findings.len();
        let found = self.read_method(method);
        // A method that cannot be made is never left out in silence.
        if found.is_none() && self.findings.len() == before {
            self.find(
                &method.parent_file(),
                method.path(),
                format!("{}: its rules cannot be read", method.full_name()),
            );
        }
        found
    }

    fn read_method(&mut self, method: &MethodDescriptor) -> Option<Method> {
        let file = method.parent_file();
        let at = method.path().to_vec();
        let name = format!("{}/{}", method.parent_service().full_name(), method.name());
        let rules = options::method(self.pool, method)?;
        let path: MethodPath = name.parse().ok()?;
        let purposes = self.purposes(&rules, &name, &file, &at);
        let kind = MethodKind::new(method.is_client_streaming(), method.is_server_streaming());
        let timeout = timeout(&rules, kind).unwrap_or_else(|| {
            let most = if kind == MethodKind::Unary { "30 s" } else { "24 h, for a stream" };
            self.find(&file, &at, format!("{name}: a timeout is from 1 ms to {most}"));
            // Never used: a contract with a finding is not built.
            Duration::ZERO
        });
        let max_rows = if kind.streams_responses() { MAX_STREAM_ROWS } else { MAX_ROWS };
        if rules.max_rows > max_rows {
            self.find(&file, &at, format!("{name}: max_rows is at most {max_rows}"));
        }
        for scope in rules.row_scopes.iter().filter(|scope| !is_column(scope)) {
            self.find(
                &file,
                &at,
                format!("{name}: row scope `{scope}` is no column: a letter, then letters, digits, `_`"),
            );
        }
        let input = method.input();
        let output = method.output();
        let subject = self.subject(&rules, &input, &name, &file, &at);
        let (formats, checks) = self.formats(&input);
        let subject_format = subject
            .as_ref()
            .and_then(|subject| formats.iter().find(|f| f.path == *subject))
            .map(|f| f.format);
        let fields = self.fields(&output);
        // Purpose limitation: a grant can only limit purposes that the contract names.
        if rules.purposes.is_empty() && fields.iter().any(|field| field.class >= Class::Personal) {
            let message = format!(
                "{name}: its answer tells of a person, so it needs `purposes`: what may it be called for?"
            );
            self.find(&file, &at, message);
        }
        if kind.streams_requests() && (!rules.row_scopes.is_empty() || rules.max_rows > 0) {
            let message = format!(
                "{name}: rows are narrowed by an adapter, which answers one request: no `row_scopes` and no `max_rows` where requests are streamed"
            );
            self.find(&file, &at, message);
        }
        let mut keys = fields.iter().filter(|field| field.key);
        let key = keys.next().and_then(|field| FieldPath::resolve(&output, &field.path).ok());
        if keys.next().is_some() {
            self.find(
                &file,
                &at,
                format!("{name}: a response has one key, for only one is compared with the subject"),
            );
        }
        if fields.iter().any(|field| field.page_token) {
            for fault in paging::faults(&input, &output, kind) {
                self.find(&file, &at, format!("{name}: {fault}"));
            }
        }
        if key.is_some() && subject.is_none() {
            self.find(&file, &at, format!("{name}: a key echoes the subject, and the method names none"));
        }
        Some(Method {
            path,
            kind,
            idempotent: is_idempotent(method),
            input,
            output,
            subject,
            subject_format,
            key,
            purposes,
            timeout,
            row_scopes: rules.row_scopes,
            max_rows: rules.max_rows,
            fields,
            formats,
            rules: checks,
        })
    }

    fn purposes(
        &mut self,
        rules: &pb::MethodRules,
        name: &str,
        file: &FileDescriptor,
        at: &[i32],
    ) -> Vec<Purpose> {
        for (index, purpose) in rules.purposes.iter().enumerate() {
            if rules.purposes[..index].contains(purpose) {
                self.find(file, at, format!("{name}: purpose `{purpose}` is there twice"));
            }
        }
        let purposes = rules.purposes.iter().filter_map(|purpose| match purpose.parse() {
            Ok(purpose) => Some(purpose),
            Err(error) => {
                self.find(file, at, format!("{name}: purpose `{purpose}` is {error}"));
                None
            }
        });
        purposes.collect()
    }
}

fn timeout(rules: &pb::MethodRules, kind: MethodKind) -> Option<Duration> {
    let Some(timeout) = rules.timeout else { return Some(Duration::from_secs(1)) };
    let timeout = Duration::try_from(timeout).ok()?;
    let most = if kind == MethodKind::Unary { MAX_TIMEOUT } else { MAX_STREAM };
    (Duration::from_millis(1)..=most).contains(&timeout).then_some(timeout)
}

fn is_idempotent(method: &MethodDescriptor) -> bool {
    use prost_reflect::prost_types::method_options::IdempotencyLevel::{Idempotent, NoSideEffects};
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| matches!(options.idempotency_level(), NoSideEffects | Idempotent))
}

/// A member of a declared oneof; proto3's `optional` is none.
fn in_oneof(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
}

/// A name as SQL and the registry write it.
fn is_column(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
