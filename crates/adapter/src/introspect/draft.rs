//! `Draft` writes the contract and the statements: one message per relation, `Get…` by each key, `List…` by
//! each reference.

mod names;
mod proto;
mod relation;
mod statement;

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Introspection;
use super::guess::Guesses;
use super::numbers::Numbers;
use crate::dialect::Dialect;
use crate::source::catalogue::Catalogue;
use names::UniqueNames;
use relation::DraftedRelation;

/// A drafted contract.
pub(super) struct Draft {
    proto: (PathBuf, String),
    statements: Vec<(PathBuf, String)>,
    pub(super) remarks: Vec<String>,
}

impl Draft {
    pub(super) fn new(
        wanted: &Introspection,
        dialect: Dialect,
        catalogue: &Catalogue,
        guesses: &Guesses,
        numbers: &mut Numbers,
    ) -> Self {
        let mut remarks = Vec::new();
        let mut methods = String::new();
        let mut messages = String::new();
        let mut statements = Vec::new();
        let mut used = UniqueNames::default();
        used.take(&wanted.service);
        for relation in &catalogue.relations {
            let drafted = DraftedRelation::new(relation, dialect, guesses, numbers, &mut remarks, &mut used);
            let Some(drafted) = drafted else { continue };
            let own = drafted.methods(&mut used);
            if own.is_empty() {
                remarks.push(format!(
                    "`{}` has no key that it could be asked by: write a method for it, or leave it out",
                    relation.name
                ));
                continue;
            }
            for method in &own {
                methods.push_str(&drafted.rpc(method));
                messages.push_str(&drafted.request(method, numbers));
                let file = package_folder(&wanted.package)
                    .join(&wanted.service)
                    .join(format!("{}.sql", method.name));
                statements.push((file, drafted.statement(method, dialect)));
            }
            messages.push_str(&drafted.message(&own, numbers));
        }
        let first = wanted.package.split('.').next().unwrap_or_default();
        let mut proto = format!(
            "// Drafted by `chapar adapter introspect`. Every field is secret and no method has a purpose: decide for each field\n// \
             which class it has, and for each method which purposes it serves and whom it is about (`subject`). Delete what is\n// \
             not to be published.\nsyntax = \"proto3\";\n\npackage {};\n\n",
            wanted.package
        );
        for file in [
            "chapar/contract/v1/options.proto",
            "google/protobuf/duration.proto",
            "google/protobuf/timestamp.proto",
            "google/type/date.proto",
            "google/type/decimal.proto",
            "google/type/timeofday.proto",
        ] {
            let kind = imported(file);
            if file.starts_with("chapar") || messages.contains(&format!("{kind} ")) {
                writeln!(proto, "import \"{file}\";").ok();
            }
        }
        write!(proto, "\nservice {} {{\n{methods}}}\n{messages}", wanted.service).ok();
        let name = package_folder(&wanted.package).join(format!("{first}.proto"));
        Self { proto: (name, proto), statements, remarks }
    }

    /// Every file, relative to the contract's folder.
    pub(super) fn files(self) -> Vec<(PathBuf, String)> {
        let mut files = vec![self.proto];
        files.extend(self.statements);
        files
    }
}

/// Where statements lie in a contract's folder `civil` of `civil.v1`: `v1`.
fn package_folder(package: &str) -> PathBuf {
    package.split('.').skip(1).collect()
}

/// The type that a built-in file brings.
fn imported(file: &str) -> &str {
    match file {
        "google/protobuf/duration.proto" => "google.protobuf.Duration",
        "google/protobuf/timestamp.proto" => "google.protobuf.Timestamp",
        "google/type/date.proto" => "google.type.Date",
        "google/type/decimal.proto" => "google.type.Decimal",
        _ => "google.type.TimeOfDay",
    }
}
