//! Templates of a request: texts with `{field}` in them, a request's target (RFC 9112 §3.2.1) and a JSON
//! body. A value of a call is written as one part of a path, one part of a query or one JSON value, and can
//! never be more.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chapar_model::Reason;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Number, Value};

use crate::source::{Failure, Parameter};

/// All that is not unreserved (RFC 3986 §2.3) is percent-encoded in a value.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request field in a template, by its number in the file's parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Placeholder {
    pub(crate) number: usize,
    /// The field's path, for an error.
    pub(crate) path: Arc<str>,
    /// Whether the field is a boolean, which is bound as 0 or 1.
    pub(crate) is_bool: bool,
}

/// A piece of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    Literal(String),
    Field(Placeholder),
}

/// Path and query of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Target {
    /// The segments of the path, each after a `/`.
    pub(crate) path: Vec<Vec<Piece>>,
    /// Name and value of each part of the query.
    pub(crate) query: Vec<(String, Vec<Piece>)>,
}

/// A JSON value with fields in it.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Field(Placeholder),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    Value(Value),
}

impl Placeholder {
    fn value<'p>(&self, values: &'p [Parameter]) -> &'p Parameter {
        // The numbers come from the file's parameters, so the default is never used.
        values.get(self.number).unwrap_or(&Parameter::Null)
    }

    fn text(&self, values: &[Parameter]) -> Option<String> {
        Some(match self.value(values) {
            Parameter::Null => return None,
            Parameter::Integer(number) if self.is_bool => (*number != 0).to_string(),
            Parameter::Integer(number) => number.to_string(),
            Parameter::Real(number) => number.to_string(),
            Parameter::Text(text) => text.clone(),
            Parameter::Blob(bytes) => BASE64_STANDARD.encode(bytes),
            Parameter::Timestamp(time) => time.to_string(),
        })
    }

    fn json(&self, values: &[Parameter]) -> Value {
        match self.value(values) {
            Parameter::Null => Value::Null,
            Parameter::Integer(number) if self.is_bool => Value::Bool(*number != 0),
            Parameter::Integer(number) => Value::from(*number),
            // A request's numbers are finite, so the default is never used.
            Parameter::Real(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
            Parameter::Text(_) | Parameter::Blob(_) | Parameter::Timestamp(_) => {
                Value::String(self.text(values).unwrap_or_default())
            }
        }
    }
}

impl Target {
    /// Path and query for these values.
    ///
    /// # Errors
    /// `FIELD_INVALID` if a value would change the path's structure.
    pub(crate) fn write(&self, values: &[Parameter]) -> Result<String, Failure> {
        let mut out = String::new();
        for segment in &self.path {
            out.push('/');
            let from = out.len();
            for piece in segment {
                match piece {
                    Piece::Literal(text) => out.push_str(text),
                    Piece::Field(field) => {
                        let text = field.text(values).filter(|text| !text.is_empty());
                        let text = text.ok_or_else(|| invalid(field, "missing, and a part of the path"))?;
                        // Many servers and proxies decode a path before they part it, so that an encoded `/`
                        // would be one after all.
                        if text.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
                            return Err(invalid(
                                field,
                                "`/`, `\\` or a control character, in a part of the path",
                            ));
                        }
                        out.extend(percent_encode(text.as_bytes(), RESERVED));
                    }
                }
            }
            // A server takes such a segment away, and the one before it (RFC 3986 §5.2.4).
            if let (true, Some(field)) = (is_dots(out.get(from..).unwrap_or_default()), first_field(segment))
            {
                return Err(invalid(field, "`.` or `..` as a part of the path"));
            }
        }
        let mut mark = '?';
        for (name, value) in &self.query {
            let mut written = String::new();
            let mut is_set = true;
            for piece in value {
                match piece {
                    Piece::Literal(text) => written.push_str(text),
                    Piece::Field(field) => match field.text(values) {
                        Some(text) => written.extend(percent_encode(text.as_bytes(), RESERVED)),
                        None => is_set = false,
                    },
                }
            }
            // A field that is not set leaves its part of the query out.
            if is_set {
                out.push(std::mem::replace(&mut mark, '&'));
                out.push_str(name);
                out.push('=');
                out.push_str(&written);
            }
        }
        Ok(out)
    }
}

impl Body {
    /// The JSON for these values.
    pub(crate) fn write(&self, values: &[Parameter]) -> Value {
        match self {
            Self::Field(field) => field.json(values),
            Self::List(list) => list.iter().map(|value| value.write(values)).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), value.write(values))).collect()
            }
            Self::Value(value) => value.clone(),
        }
    }
}

/// Whether a segment of a path is `.` or `..`, however it is written.
pub(super) fn is_dots(segment: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(segment).collect();
    matches!(decoded.as_slice(), b"." | b"..")
}

fn first_field(segment: &[Piece]) -> Option<&Placeholder> {
    segment.iter().find_map(|piece| match piece {
        Piece::Field(field) => Some(field),
        Piece::Literal(_) => None,
    })
}

fn invalid(field: &Placeholder, detail: &'static str) -> Failure {
    Failure::of_field(Reason::FieldInvalid, Arc::clone(&field.path), detail)
}
