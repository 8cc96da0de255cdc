//! `Draft` writes the contract and the statements: one message per relation, `Get…` by each key, `List…` by
//! each reference.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::Introspection;
use super::guess::{Guess, Guesses};
use super::names::{camel, snake, upper};
use super::numbers::Numbers;
use crate::dialect::Dialect;
use crate::source::catalogue::{Catalogue, Field, Kind, Relation};

/// Maximum rows of a drafted list, until a person decides.
const MAX_ROWS: u32 = 100;

/// A drafted contract.
pub(super) struct Draft {
    proto: (PathBuf, String),
    statements: Vec<(PathBuf, String)>,
    pub(super) remarks: Vec<String>,
}

/// A column as a field.
struct Column<'c> {
    field: &'c Field,
    /// The field's name.
    name: String,
    /// The field's type in protobuf.
    kind: String,
    guess: Option<Guess>,
    /// The column as an expression of the statement, with its alias.
    selected: String,
    /// Declarations for the statement's head.
    declared: Option<String>,
}

/// A relation that is drafted.
struct Drafted<'c> {
    relation: &'c Relation,
    message: String,
    columns: Vec<Column<'c>>,
    enums: Vec<String>,
}

/// One method.
struct Method {
    name: String,
    request: String,
    by: Vec<String>,
    is_list: bool,
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
        let mut used = Used::default();
        used.take(&wanted.service);
        for relation in &catalogue.relations {
            let drafted = Drafted::new(relation, dialect, guesses, numbers, &mut remarks, &mut used);
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

impl<'c> Drafted<'c> {
    fn new(
        relation: &'c Relation,
        dialect: Dialect,
        guesses: &Guesses,
        numbers: &mut Numbers,
        remarks: &mut Vec<String>,
        used: &mut Used,
    ) -> Option<Self> {
        let Some(name) = snake(&relation.name) else {
            remarks.push(format!(
                "`{}` has a name that protobuf cannot have: publish it through a view",
                relation.name
            ));
            return None;
        };
        let message = used.take(&camel(&name));
        let mut drafted = Self { relation, message, columns: Vec::new(), enums: Vec::new() };
        for (place, field) in relation.columns.iter().enumerate() {
            let own = snake(&field.name).unwrap_or_else(|| format!("column_{}", place + 1));
            let is_taken = drafted.columns.iter().any(|column| column.name == own);
            let name = if is_taken { format!("{own}_{}", place + 1) } else { own };
            let guess = guesses.get(&relation.name, &field.name);
            let column = drafted.column(field, name, guess, dialect, (&mut *numbers, &mut *used), remarks);
            drafted.columns.push(column);
        }
        Some(drafted)
    }

    fn column(
        &mut self,
        field: &'c Field,
        name: String,
        guess: Option<Guess>,
        dialect: Dialect,
        (numbers, used): (&mut Numbers, &mut Used),
        remarks: &mut Vec<String>,
    ) -> Column<'c> {
        let quoted = dialect.quoted(&field.name);
        let alias = dialect.quoted(&name);
        let mut selected = if field.name == name { quoted.clone() } else { format!("{quoted} AS {alias}") };
        let mut declared = None;
        let mut kind = proto(&field.kind).to_owned();
        match (&field.kind, guess) {
            (Kind::Text, Some(Guess::Jalali(pattern))) => {
                "google.type.Date".clone_into(&mut kind);
                declared = Some(format!("-- column {name}: jalali \"{pattern}\""));
            }
            (Kind::Text, Some(Guess::Gregorian)) => "google.type.Date".clone_into(&mut kind),
            (Kind::DateTime, _) => {
                declared = Some(format!("-- column {name}: zone \"Asia/Tehran\""));
                remarks.push(format!(
                    "`{}.{}` has no time zone; the draft says Asia/Tehran",
                    self.relation.name, field.name
                ));
            }
            (Kind::List(element), _) => kind = format!("repeated {}", proto(element)),
            (Kind::Other, _) => {
                selected = format!("CAST({quoted} AS {}) AS {alias}", text_type(dialect));
                remarks.push(format!(
                    "`{}.{}` is of the type {}, and is drafted as its text",
                    self.relation.name, field.name, field.declared
                ));
            }
            (Kind::Enum(values), _) => {
                match enum_names(values) {
                    Some(names) => {
                        kind = used.take(&format!("{}{}", self.message, camel(&name)));
                        let cases = values.iter().zip(&names).map(|(value, name)| {
                            format!(" WHEN '{}' THEN '{name}'", value.replace('\'', "''"))
                        });
                        // A database's type of names is compared as text; a value that is not listed stays,
                        // and is an error of its row.
                        let text = format!("CAST({quoted} AS {})", text_type(dialect));
                        selected =
                            format!("CASE {text}{} ELSE {text} END AS {alias}", cases.collect::<String>());
                        self.enums.push(enumeration(&kind, &names, numbers));
                    }
                    None => remarks.push(format!(
                        "`{}.{}` holds one of {}, which are no different names of protobuf: it is drafted as text",
                        self.relation.name,
                        field.name,
                        values.join(", ")
                    )),
                }
            }
            _ => {}
        }
        Column { field, name, kind, guess, selected, declared }
    }

    /// A method for each key and each reference, by different columns.
    fn methods(&self, used: &mut Used) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        let by = |columns: &[String]| -> Option<Vec<String>> {
            let name = |column: &String| {
                let own = self.columns.iter().find(|own| own.field.name == *column)?;
                // Only a text or whole number can be asked for, and not what is read by a cast.
                let is_askable =
                    matches!(own.kind.as_str(), "string" | "int32" | "int64" | "uint32" | "uint64")
                        && !matches!(own.field.kind, Kind::Other | Kind::Enum(_));
                is_askable.then(|| own.name.clone())
            };
            columns.iter().map(name).collect()
        };
        for (number, key) in self.relation.keys.iter().enumerate() {
            let Some(by) = by(key) else { continue };
            let suffix = if number == 0 { String::new() } else { format!("By{}", joined(&by)) };
            let name = format!("Get{}{suffix}", self.message);
            methods.push(Method { request: used.take(&format!("{name}Request")), name, by, is_list: false });
        }
        for reference in &self.relation.references {
            let Some(by) = by(&reference.columns) else { continue };
            if methods.iter().any(|method| method.by == by) {
                continue;
            }
            let name = format!("List{}By{}", self.message, joined(&by));
            if methods.iter().any(|method| method.name == name) {
                continue;
            }
            methods.push(Method { request: used.take(&format!("{name}Request")), name, by, is_list: true });
        }
        methods
    }

    fn rpc(&self, method: &Method) -> String {
        let by = method.by.join(" and ");
        let (what, response, rows) = if method.is_list {
            let what = format!("All rows of `{}` of one {by}.", one_line(&self.relation.name));
            (what, format!("stream {}", self.message), format!("\n      max_rows: {MAX_ROWS}"))
        } else {
            (
                format!("One row of `{}`, by its {by}.", one_line(&self.relation.name)),
                self.message.clone(),
                String::new(),
            )
        };
        let subject =
            self.subject(method).map(|name| format!("\n      subject: \"{name}\"")).unwrap_or_default();
        format!(
            "  // {what}\n  rpc {}({}) returns ({response}) {{\n    option idempotency_level = NO_SIDE_EFFECTS;\n    \
             option (chapar.contract.v1.method) = {{{subject}\n      purposes: []\n      timeout: {{ seconds: 1 }}{rows}\n    }};\n  }}\n",
            method.name, method.request
        )
    }

    /// The field by which the method asks for a person, if it looks like one.
    fn subject(&self, method: &Method) -> Option<&str> {
        let [by] = method.by.as_slice() else { return None };
        let column = self.columns.iter().find(|column| column.name == *by)?;
        let is_person =
            matches!(column.guess, Some(Guess::Identifier(chapar_contract::Format::IrNationalId)));
        is_person.then_some(column.name.as_str())
    }

    fn request(&self, method: &Method, numbers: &mut Numbers) -> String {
        let mut text = format!("\n// What {} asks for.\nmessage {} {{\n", method.name, method.request);
        for name in &method.by {
            let Some(column) = self.columns.iter().find(|column| column.name == *name) else { continue };
            let number = numbers.of(&method.request, name);
            let format = column.guess.and_then(format_option);
            let format = format
                .map(|format| format!(" [(chapar.contract.v1.field).format = {format}]"))
                .unwrap_or_default();
            writeln!(text, "  {} {name} = {number}{format};", column.kind).ok();
        }
        text.push_str("}\n");
        text
    }

    fn message(&self, methods: &[Method], numbers: &mut Numbers) -> String {
        let comment = self.relation.comment.as_deref().map(one_line);
        let comment = comment.unwrap_or_else(|| format!("One row of `{}`.", one_line(&self.relation.name)));
        let mut text = format!("\n// {comment}\nmessage {} {{\n", self.message);
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        // A key echoes the subject, so every method that answers with the message has to name one.
        let mut subjects: Vec<Option<&str>> = methods.iter().map(|method| self.subject(method)).collect();
        subjects.dedup();
        let subject = if let [Some(subject)] = subjects.as_slice() { Some(*subject) } else { None };
        let gone: Vec<String> = numbers.gone(&self.message, &names).iter().map(u32::to_string).collect();
        if !gone.is_empty() {
            writeln!(text, "  reserved {};", gone.join(", ")).ok();
        }
        for column in &self.columns {
            let number = numbers.of(&self.message, &column.name);
            if let Some(comment) = &column.field.comment {
                writeln!(text, "  // {}", one_line(comment)).ok();
            }
            // Messages have presence, and a list is empty.
            let has_presence = column.kind.contains('.') || column.kind.starts_with("repeated");
            let key = subject == Some(column.name.as_str());
            let optional = if column.field.nullable && !has_presence && !key { "optional " } else { "" };
            let rules = if key { "{ class: CLASS_SECRET key: true }" } else { "CLASS_SECRET" };
            let option = if key { "(chapar.contract.v1.field)" } else { "(chapar.contract.v1.field).class" };
            // The decision has a line of its own, so that it does not meet what a later draft changes.
            let field = format!("  {optional}{} {} = {number} [", column.kind, column.name);
            writeln!(text, "{field}\n    {option} = {rules}\n  ];").ok();
        }
        text.push_str("}\n");
        for enumeration in &self.enums {
            text.push_str(enumeration);
        }
        text
    }

    fn statement(&self, method: &Method, dialect: Dialect) -> String {
        let mut text = String::new();
        for column in &self.columns {
            if let Some(declared) = &column.declared {
                writeln!(text, "{declared}").ok();
            }
        }
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("    {}", column.selected)).collect();
        let schema = self.relation.schema.as_deref().map(|name| format!("{}.", dialect.quoted(name)));
        let conditions = method.by.iter().filter_map(|name| {
            let column = self.columns.iter().find(|column| column.name == *name)?;
            Some(format!("{} = :{name}", dialect.quoted(&column.field.name)))
        });
        write!(
            text,
            "SELECT\n{}\nFROM {}{}\nWHERE {}\n",
            columns.join(",\n"),
            schema.unwrap_or_default(),
            dialect.quoted(&self.relation.name),
            conditions.collect::<Vec<_>>().join(" AND ")
        )
        .ok();
        text
    }
}

/// Names of messages, enums and services that are taken. A name that is taken gets a number.
#[derive(Default)]
struct Used(BTreeSet<String>);

impl Used {
    fn take(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| !self.0.contains(name)).unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
}

/// Names of an enum's values, if all of them have one and no two the same.
fn enum_names(values: &[String]) -> Option<Vec<String>> {
    let names: Vec<String> = values.iter().map(|value| upper(value)).collect::<Option<_>>()?;
    let different: BTreeSet<&String> = names.iter().collect();
    (different.len() == names.len() && !names.iter().any(|name| name == "UNSPECIFIED")).then_some(names)
}

fn joined(names: &[String]) -> String {
    names.iter().map(|name| camel(name)).collect::<Vec<_>>().join("And")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text_type(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => "CHAR",
        Dialect::Postgres | Dialect::Sqlite => "TEXT",
    }
}

fn proto(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Int32 => "int32",
        Kind::Uint32 => "uint32",
        Kind::Int64 => "int64",
        Kind::Uint64 => "uint64",
        Kind::Double => "double",
        Kind::Decimal => "google.type.Decimal",
        Kind::Text | Kind::Enum(_) | Kind::Other | Kind::List(_) => "string",
        Kind::Blob => "bytes",
        Kind::Date => "google.type.Date",
        Kind::Time => "google.type.TimeOfDay",
        Kind::DateTime | Kind::Timestamp => "google.protobuf.Timestamp",
        Kind::Duration => "google.protobuf.Duration",
    }
}

fn format_option(guess: Guess) -> Option<&'static str> {
    let Guess::Identifier(format) = guess else { return None };
    Some(format.name())
}

/// An enum whose short names are what the statement gives.
fn enumeration(name: &str, values: &[String], numbers: &mut Numbers) -> String {
    let mut prefix = String::new();
    for (place, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    let mut text = format!(
        "\n// One of the values that the database allows.\nenum {name} {{\n  {prefix}_UNSPECIFIED = 0;\n"
    );
    for value in values {
        writeln!(text, "  {prefix}_{value} = {};", numbers.of(name, value)).ok();
    }
    text.push_str("}\n");
    text
}
