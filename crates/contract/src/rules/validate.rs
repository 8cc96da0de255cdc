//! This module compiles `pattern` and the supported subset of `buf.validate` from the options of a request's
//! field. Any other rule is a finding. The subset is in `docs/reference/contract.md`.

use prost_reflect::{FieldDescriptor, Kind, Value};
use regex::Regex;

use super::Checker;
use crate::options;
use crate::request::Check;

/// The longest pattern, in bytes. What it compiles to is bounded by the library.
const MAX_PATTERN_LENGTH: usize = 1000;

impl Checker<'_> {
    /// The checks that `buf.validate` asks for, for a field of a request.
    pub(super) fn validate(&mut self, field: &FieldDescriptor) -> Vec<Check> {
        let Some(rules) = options::validate(self.pool, field) else { return Vec::new() };
        let mut checks = Vec::new();
        // A newer rule arrives as an unknown field. Ignored, it would be a promise that nothing keeps.
        if rules.unknown_fields().next().is_some() {
            self.find_field(field, "a rule of buf.validate that Chapar does not know");
        }
        for (kind, value) in rules.fields() {
            match (kind.name(), value) {
                ("required", Value::Bool(required)) => checks.extend(required.then_some(Check::Required)),
                (name, Value::Message(rules)) if fits(name, field) => {
                    if rules.unknown_fields().next().is_some() {
                        self.unsupported(field, name);
                    }
                    for (rule, value) in rules.fields() {
                        self.one(field, name, rule.name(), value, &mut checks);
                    }
                }
                (name, _) => self.unsupported(field, name),
            }
        }
        checks
    }

    /// Refuses rules of `buf.validate` on a field of a response, because nothing would check them.
    pub(super) fn not_in_a_response(&mut self, field: &FieldDescriptor) {
        if options::validate(self.pool, field).is_some() {
            self.find_field(field, "buf.validate is for requests: in a response no one would check it");
        }
        if !self.field_rules(field).pattern.is_empty() {
            self.find_field(field, "`pattern` is for requests: in a response no one would check it");
        }
    }

    fn one(
        &mut self,
        field: &FieldDescriptor,
        kind: &str,
        rule: &str,
        value: &Value,
        checks: &mut Vec<Check>,
    ) {
        let check = match (rule, value) {
            ("min_len", Value::U64(n)) => Some(Check::MinLen(*n)),
            ("max_len", Value::U64(n)) => Some(Check::MaxLen(*n)),
            ("len", Value::U64(n)) => Some(Check::Len(*n)),
            ("prefix", Value::String(prefix)) => Some(Check::Prefix(prefix.clone())),
            ("pattern", Value::String(pattern)) => self.compile(field, pattern).map(Check::Matches),
            ("defined_only", Value::Bool(true)) => Some(Check::DefinedOnly),
            // `false` states what holds without the rule, so there is nothing to check.
            ("defined_only", Value::Bool(false)) => return,
            ("min_items", Value::U64(n)) => Some(Check::MinItems(*n)),
            ("max_items", Value::U64(n)) => Some(Check::MaxItems(*n)),
            ("gt" | "gte" | "lt" | "lte", value) => bound(rule, value),
            _ => {
                // A rule that is not enforced must not stand in a contract, because its readers would rely on
                // it.
                self.unsupported(field, &format!("{kind}.{rule}"));
                return;
            }
        };
        checks.extend(check);
    }

    fn unsupported(&mut self, field: &FieldDescriptor, rule: &str) {
        self.find_field(field, &format!("the rule `{rule}` of buf.validate is not supported here"));
    }

    /// Chapar's own `pattern`.
    pub(super) fn pattern(&mut self, field: &FieldDescriptor) -> Option<Check> {
        let pattern = self.field_rules(field).pattern;
        if pattern.is_empty() {
            return None;
        }
        if field.kind() != Kind::String || field.is_list() {
            self.find_field(field, "only one text has a pattern");
            return None;
        }
        self.compile(field, &format!("^(?:{pattern})$")).map(|regex| Check::Pattern(pattern, regex))
    }

    fn compile(&mut self, field: &FieldDescriptor, pattern: &str) -> Option<Regex> {
        if pattern.len() > MAX_PATTERN_LENGTH {
            self.find_field(field, &format!("a pattern has at most {MAX_PATTERN_LENGTH} bytes"));
            return None;
        }
        match Regex::new(pattern) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let error = error.to_string();
                // The last line of the library's message says what is wrong; the lines before repeat the
                // pattern.
                let last = error.lines().last().unwrap_or_default();
                self.find_field(field, &format!("the pattern is no regular expression: {last}"));
                None
            }
        }
    }
}

/// Whether rules of this kind are for such a field.
fn fits(kind: &str, field: &FieldDescriptor) -> bool {
    if field.is_list() || field.is_map() {
        return kind == "repeated" && field.is_list();
    }
    match field.kind() {
        Kind::Int32 => kind == "int32",
        Kind::Int64 => kind == "int64",
        Kind::Uint32 => kind == "uint32",
        Kind::Uint64 => kind == "uint64",
        Kind::String => kind == "string",
        Kind::Enum(_) => kind == "enum",
        _ => false,
    }
}

fn bound(rule: &str, value: &Value) -> Option<Check> {
    let number = match value {
        Value::I32(n) => i128::from(*n),
        Value::I64(n) => i128::from(*n),
        Value::U32(n) => i128::from(*n),
        Value::U64(n) => i128::from(*n),
        _ => return None,
    };
    // `i128` holds every 64-bit bound, so plus and minus one cannot overflow.
    Some(match rule {
        "gt" => Check::Least(number + 1),
        "gte" => Check::Least(number),
        "lt" => Check::Most(number - 1),
        _ => Check::Most(number),
    })
}
