//! This module validates request fields on wire bytes: formats, patterns, and the supported subset of
//! `buf.validate`. It reports all violations at once, by path and rule and never by value. Whether the bytes
//! are a message at all is checked by `wire::validate`.

use std::fmt;

use prost_reflect::{FieldDescriptor, Kind};
use regex::Regex;

use crate::field_path::FieldPath;
use crate::format::Format;
use crate::text::fold;
use crate::wire::{self, Value, WireError};

/// A request field whose text is checked before the call goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestFormat {
    /// Where it is.
    pub path: FieldPath,
    /// What it must be.
    pub format: Format,
    /// It must be present: neither it nor a message around it is declared `optional` or is a member of a
    /// oneof.
    pub required: bool,
}

/// A field of a request that is not as the contract wants it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The dotted path of the field.
    pub path: String,
    /// What it must be, as the end of a sentence; never its value.
    pub rule: String,
}

/// A field with rules. Every message around it is singular.
#[derive(Clone, Debug)]
pub(crate) struct RequestRule {
    pub(crate) path: FieldPath,
    pub(crate) field: FieldDescriptor,
    pub(crate) checks: Vec<Check>,
}

/// One rule.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Required,
    /// Chapar's own: as written, and compiled to match the whole of the folded text.
    Pattern(String, Regex),
    /// `buf.validate`'s: somewhere in the text as it is.
    Matches(Regex),
    Prefix(String),
    MinLen(u64),
    MaxLen(u64),
    Len(u64),
    Least(i128),
    Most(i128),
    DefinedOnly,
    MinItems(u64),
    MaxItems(u64),
}

pub(crate) fn violations(
    formats: &[RequestFormat],
    rules: &[RequestRule],
    request: &[u8],
) -> Result<Vec<Violation>, WireError> {
    let mut found = Vec::new();
    for format in formats {
        // The request is valid by `wire::validate`, so a text that cannot be read does not occur, and an
        // empty text stands for an absent one.
        let text =
            wire::find(request, format.path.numbers())?.and_then(|value| value.to_text()).unwrap_or_default();
        let rule = match text.as_str() {
            "" if format.required => "must be present".to_owned(),
            "" => continue,
            text if format.format.check(text) => continue,
            _ => format!("is not {}", format.format),
        };
        found.push(Violation { path: format.path.to_string(), rule });
    }
    for rule in rules {
        rule.check(request, &mut found)?;
    }
    Ok(found)
}

impl RequestRule {
    fn check(&self, request: &[u8], found: &mut Vec<Violation>) -> Result<(), WireError> {
        let numbers = self.path.numbers();
        // As with protovalidate, nothing is asked of what is inside an absent message.
        if let [around @ .., _] = numbers
            && !around.is_empty()
            && wire::find(request, around)?.is_none()
        {
            return Ok(());
        }
        let told = found.len();
        let tell = |check: &Check| Violation { path: self.path.to_string(), rule: check.to_string() };
        if self.field.is_list() {
            let items = wire::count(request, numbers, &self.field)?;
            found.extend(self.checks.iter().filter(|check| !check.holds_for_items(items)).map(tell));
            return Ok(());
        }
        let value = wire::find(request, numbers)?;
        // A field with presence that is absent is held to `required` only. Without presence, absent and
        // default are the same on the wire.
        let absent = match value {
            None => true,
            Some(value) => !self.field.supports_presence() && is_default(&value),
        };
        for check in &self.checks {
            let holds = match check {
                Check::Required => !absent,
                _ if value.is_none() && self.field.supports_presence() => true,
                check => check.holds(value.as_ref(), &self.field),
            };
            // For an absent field one violation is enough: further ones would only repeat that it is missing.
            if !holds && (found.len() == told || !absent) {
                found.push(tell(check));
            }
        }
        Ok(())
    }
}

fn is_default(value: &Value<'_>) -> bool {
    match value {
        Value::Varint(number) => *number == 0,
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Fixed64(bytes) => *bytes == [0; 8],
        Value::Fixed32(bytes) => *bytes == [0; 4],
    }
}

impl Check {
    fn holds_for_items(&self, items: u64) -> bool {
        match self {
            Self::Required => items > 0,
            Self::MinItems(least) => items >= *least,
            Self::MaxItems(most) => items <= *most,
            // Other rules are about one value; the contract's check refuses them for lists.
            _ => true,
        }
    }

    fn holds(&self, value: Option<&Value<'_>>, field: &FieldDescriptor) -> bool {
        let text = || match value {
            Some(Value::Bytes(bytes)) => std::str::from_utf8(bytes).unwrap_or_default(),
            // An absent text is held to the rules as its default, the empty text.
            _ => "",
        };
        // protovalidate counts Unicode characters and not bytes.
        let length = || text().chars().count() as u64;
        match self {
            Self::Pattern(_, regex) => regex.is_match(&fold(text())),
            Self::Matches(regex) => regex.is_match(text()),
            Self::Prefix(prefix) => text().starts_with(prefix.as_str()),
            Self::MinLen(least) => length() >= *least,
            Self::MaxLen(most) => length() <= *most,
            Self::Len(exactly) => length() == *exactly,
            Self::Least(least) => number(value, field) >= *least,
            Self::Most(most) => number(value, field) <= *most,
            Self::DefinedOnly => match field.kind() {
                Kind::Enum(names) => {
                    i32::try_from(number(value, field)).is_ok_and(|number| names.get_value(number).is_some())
                }
                _ => true,
            },
            Self::Required | Self::MinItems(_) | Self::MaxItems(_) => true,
        }
    }
}

/// A varint as its field's type reads it: of a 32-bit one, the lower half.
fn number(value: Option<&Value<'_>>, field: &FieldDescriptor) -> i128 {
    // An absent number is held to the rules as its default.
    let Some(Value::Varint(bits)) = value else { return 0 };
    match field.kind() {
        // Decoders read a 32-bit type from the low 32 bits of a varint, so these casts truncate on purpose.
        Kind::Int32 | Kind::Enum(_) => i128::from(*bits as u32 as i32),
        Kind::Uint32 => i128::from(*bits as u32),
        Kind::Int64 => i128::from(bits.cast_signed()),
        _ => i128::from(*bits),
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("must be present"),
            Self::Pattern(pattern, _) => write!(f, "must be as `{pattern}`"),
            Self::Matches(regex) => write!(f, "must match `{regex}`"),
            Self::Prefix(prefix) => write!(f, "must begin with `{prefix}`"),
            Self::MinLen(least) => write!(f, "must have at least {least} characters"),
            Self::MaxLen(most) => write!(f, "must have at most {most} characters"),
            Self::Len(exactly) => write!(f, "must have {exactly} characters"),
            Self::Least(least) => write!(f, "must be at least {least}"),
            Self::Most(most) => write!(f, "must be at most {most}"),
            Self::DefinedOnly => f.write_str("must be a value that the enum names"),
            Self::MinItems(least) => write!(f, "must have at least {least} items"),
            Self::MaxItems(most) => write!(f, "must have at most {most} items"),
        }
    }
}

#[cfg(test)]
mod tests;
