//! `breaking` finds breaking changes between two versions of a contract: on the wire, in JSON, and in what
//! Chapar's options promise, which no public tool checks. It compares the services and the types that they
//! reach. The wire and JSON are in `types`, the options in `promises`.

mod promises;
mod types;

use std::fmt;

use prost_reflect::{
    FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

use crate::contract::Contract;
use crate::finding::Finding;

macro_rules! breaks {
    ($($variant:ident $word:literal $doc:literal)*) => {
        /// In which way a change breaks.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Break {
            $(#[doc = $doc] $variant,)*
        }

        impl Break {
            /// Every way.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that stands in front of a finding, e.g. `class_lowered`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

breaks! {
    Removed "removed" "A service, method, field or enum value is gone, or no longer reserved."
    Renamed "renamed" "A field or an enum value has another name: JSON and grants go by it."
    TypeChanged "type_changed" "A field, a request or a response has another type."
    CardinalityChanged "cardinality_changed" "One became many, or absent became forbidden."
    StreamingChanged "streaming_changed" "A side of a method streams, or no longer."
    IdempotencyLowered "idempotency_lowered" "Asking twice is no longer as asking once."
    ClassLowered "class_lowered" "A field is less sensitive than it was."
    KeyChanged "key_changed" "Another field, or none, is compared with the subject."
    SubjectMoved "subject_moved" "The citizen is named elsewhere in the request."
    PurposeAdded "purpose_added" "The data may be asked for a further purpose."
    PurposeRemoved "purpose_removed" "A purpose of grants and calls is gone."
    RowScopeRemoved "row_scope_removed" "A column by which grants narrow rows is gone."
    BoundLowered "bound_lowered" "Less time, or fewer rows, than promised."
    FormatLoosened "format_loosened" "Requests pass that were refused."
    FormatTightened "format_tightened" "Requests are refused that passed."
}

/// One breaking change, with its place in the new version; for something that is gone, the place of what
/// contained it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Breaking {
    /// The place and the message.
    pub finding: Finding,
    /// The kind of break.
    pub kind: Break,
}

impl fmt::Display for Breaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, column, message } = &self.finding;
        write!(f, "{file}:{line}:{column}: {}: {message}", self.kind.as_str())
    }
}

/// Lists every breaking change from `old` to `new`, ordered by place. Any change of a field's type counts,
/// which is stricter than public tools.
pub fn breaking(old: &Contract, new: &Contract) -> Vec<Breaking> {
    let mut comparison = Comparison { found: Vec::new(), seen: Vec::new() };
    for service in old.services() {
        let was = old.pool().get_service_by_name(service.name());
        let now =
            new.service(service.name()).and_then(|service| new.pool().get_service_by_name(service.name()));
        match (was, now) {
            (Some(was), Some(now)) => comparison.service(old, &was, new, &now),
            _ => {
                let finding = Finding {
                    // A service that is gone has no place, so the finding names the first file of the new
                    // version.
                    file: new.files().next().unwrap_or_default(),
                    line: 0,
                    column: 0,
                    message: format!("the service {} is gone", service.name()),
                };
                comparison.found.push(Breaking { finding, kind: Break::Removed });
            }
        }
    }
    // Methods that share a response type find the same changes, so duplicates are removed.
    comparison.found.sort();
    comparison.found.dedup();
    comparison.found
}

struct Comparison {
    found: Vec<Breaking>,
    /// Full names of the types that were compared, old and new.
    seen: Vec<(String, String)>,
}

impl Comparison {
    fn tell(&mut self, file: &FileDescriptor, path: &[i32], kind: Break, message: String) {
        self.found.push(Breaking { finding: Finding::at(file, path, message), kind });
    }

    fn tell_method(&mut self, method: &MethodDescriptor, kind: Break, message: impl fmt::Display) {
        self.tell(&method.parent_file(), method.path(), kind, format!("{}: {message}", method.full_name()));
    }

    fn tell_message(&mut self, of: &MessageDescriptor, kind: Break, message: impl fmt::Display) {
        self.tell(&of.parent_file(), of.path(), kind, format!("{}: {message}", of.full_name()));
    }

    fn tell_field(&mut self, field: &FieldDescriptor, kind: Break, message: impl fmt::Display) {
        self.tell(&field.parent_file(), field.path(), kind, format!("{}: {message}", field.full_name()));
    }

    fn service(&mut self, old: &Contract, was: &ServiceDescriptor, new: &Contract, now: &ServiceDescriptor) {
        for method in was.methods() {
            let Some(same) = now.methods().find(|other| other.name() == method.name()) else {
                let message = format!("{}: the method {} is gone", now.full_name(), method.name());
                self.tell(&now.parent_file(), now.path(), Break::Removed, message);
                continue;
            };
            self.shape(&method, &same);
            // One path serves for both versions, because service and method have the same names in both.
            let rules = |contract: &Contract| {
                let path = format!("{}/{}", was.full_name(), method.name()).parse().ok()?;
                contract.method(&path).cloned()
            };
            if let (Some(before), Some(after)) = (rules(old), rules(new)) {
                self.promises(&before, &after, &same);
            }
        }
    }
}

#[cfg(test)]
mod tests;
