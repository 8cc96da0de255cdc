//! The text of a drafted contract: methods, their requests, messages and enums.

use std::fmt::Write as _;

use super::super::guess::Guess;
use super::super::numbers::Numbers;
use super::relation::{DraftedMethod, DraftedRelation};
use crate::source::catalogue::Kind;

/// Maximum rows of a drafted list, until a person decides.
const MAX_ROWS: u32 = 100;

impl DraftedRelation<'_> {
    pub(super) fn rpc(&self, method: &DraftedMethod) -> String {
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

    pub(super) fn request(&self, method: &DraftedMethod, numbers: &mut Numbers) -> String {
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

    pub(super) fn message(&self, methods: &[DraftedMethod], numbers: &mut Numbers) -> String {
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
}

/// The type of a field for a column's values.
pub(super) fn type_of(kind: &Kind) -> &'static str {
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
pub(super) fn enumeration(name: &str, values: &[String], numbers: &mut Numbers) -> String {
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

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
