//! This module makes rows of an API's answer: the JSON of each row, of which only the granted columns are
//! read, and only if a row scope lets the row through.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use chapar_contract::json::is_distinct;
use chapar_model::Reason;
use serde_json::value::RawValue;

use super::pointer::{Ambiguous, Pointer};
use super::request_file::RowsAt;
use crate::source::{Cell, Failure, Row};

/// What one grant takes of an answer.
pub(crate) struct Selection {
    /// In the order in which a row has them.
    pub(crate) columns: Vec<Selected>,
    /// The columns by which rows are granted, with the values of each.
    pub(crate) scopes: Vec<(Pointer, Vec<String>)>,
}

/// A column that is read.
pub(crate) struct Selected {
    pub(crate) pointer: Pointer,
    pub(crate) taken: Taken,
}

/// How the JSON of a column is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// As the value that it is.
    Plain,
    /// As JSON, for a field that is filled with it.
    Json,
    /// As bytes, which protobuf's JSON mapping writes in base64.
    Base64,
}

/// What [`Ambiguous`] means to an operator.
const AMBIGUOUS: &str = "an object of the API's answer has a member twice, or a name that is not Unicode";

/// The JSON of every row of `answer`.
///
/// # Errors
/// `SCHEMA_DRIFT` if the answer is no JSON, or has no rows where the method's file says.
pub(crate) fn rows<'j>(at: &RowsAt, answer: &'j [u8]) -> Result<Vec<&'j RawValue>, Failure> {
    let drift = |detail: &'static str| Failure::new(Reason::SchemaDrift, detail);
    let whole: &RawValue =
        serde_json::from_slice(answer).map_err(|_| drift("the API's answer is no JSON (RFC 8259)"))?;
    let (RowsAt::One(pointer) | RowsAt::Many(pointer)) = at;
    let found = pointer.find(whole).map_err(|Ambiguous| drift(AMBIGUOUS))?;
    let Some(found) = found else { return Err(drift("the API's answer has no rows where the file says")) };
    match (at, found.get().as_bytes().first()) {
        // JSON's null.
        (_, Some(b'n')) => Ok(Vec::new()),
        (RowsAt::One(_), Some(b'{')) => Ok(vec![found]),
        (RowsAt::Many(_), Some(b'[')) => {
            let rows: Vec<&RawValue> = serde_json::from_str(found.get())
                .map_err(|_| drift("the API's answer is no JSON (RFC 8259)"))?;
            // Anything else would be a row of NULLs.
            match rows.iter().all(|row| row.get().starts_with('{')) {
                true => Ok(rows),
                false => Err(drift("an element of the API's answer is no object")),
            }
        }
        (RowsAt::One(_), _) => Err(drift("the API's answer has no object where the file says")),
        (RowsAt::Many(_), _) => Err(drift("the API's answer has no array where the file says")),
    }
}

impl Selection {
    /// Reads a row; nothing if no row scope of the grant lets it through.
    ///
    /// # Errors
    /// `VALUE_UNREADABLE` if the row is ambiguous.
    pub(crate) fn read(&self, row: &RawValue) -> Result<Option<JsonRow>, Failure> {
        let ambiguous = |Ambiguous| Failure::new(Reason::ValueUnreadable, AMBIGUOUS);
        for (pointer, values) in &self.scopes {
            let found = pointer.find(row).map_err(ambiguous)?;
            let text = found.and_then(|found| Value::of(found).text());
            if text.is_none_or(|text| !values.contains(&text)) {
                return Ok(None);
            }
        }
        let mut values = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let Some(json) = column.pointer.find(row).map_err(ambiguous)? else {
                values.push(Value::Null);
                continue;
            };
            values.push(match (column.taken, Value::of(json)) {
                (_, Value::Null) => Value::Null,
                (Taken::Json, _) if !is_distinct(json.get()) => return Err(ambiguous(Ambiguous)),
                (Taken::Json, _) => Value::Text(json.get().to_owned()),
                (Taken::Base64, Value::Text(text)) => decoded(&text),
                (_, value) => value,
            });
        }
        Ok(Some(JsonRow(values)))
    }
}

/// The selected columns of one row.
pub(crate) struct JsonRow(Vec<Value>);

impl Row for JsonRow {
    fn cell(&self, index: usize) -> Cell<'_> {
        match self.0.get(index) {
            None | Some(Value::Null) => Cell::Null,
            Some(Value::Bool(value)) => Cell::Bool(*value),
            Some(Value::Integer(value)) => Cell::Integer(*value),
            Some(Value::Decimal(digits)) => Cell::Decimal(digits),
            Some(Value::Real(value)) => Cell::Real(*value),
            Some(Value::Text(text)) => Cell::Text(text.as_bytes()),
            Some(Value::Blob(bytes)) => Cell::Blob(bytes),
            Some(Value::Unreadable(detail)) => Cell::Unreadable(detail),
        }
    }
}

/// A JSON value as a column holds it.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Decimal(String),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    Unreadable(&'static str),
}

impl Value {
    fn of(json: &RawValue) -> Self {
        let text = json.get();
        match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            // A text with half of a surrogate pair is none in UTF-8.
            Some(b'"') => {
                serde_json::from_str(text).map_or(Self::Unreadable("a text that is not Unicode"), Self::Text)
            }
            Some(b'{' | b'[') => Self::Unreadable("an object or array, which is no single value"),
            _ => Self::number(text),
        }
    }

    /// A number never goes through floating point unless it is written with an exponent.
    fn number(text: &str) -> Self {
        if let Ok(integer) = text.parse() {
            return Self::Integer(integer);
        }
        if !text.contains(['e', 'E']) {
            return Self::Decimal(text.to_owned());
        }
        match text.parse::<f64>() {
            Ok(real) if real.is_finite() => Self::Real(real),
            _ => Self::Unreadable("a number beyond floating point"),
        }
    }

    /// The value as a row scope names it.
    fn text(self) -> Option<String> {
        match self {
            Self::Bool(value) => Some(value.to_string()),
            Self::Integer(value) => Some(value.to_string()),
            Self::Decimal(text) | Self::Text(text) => Some(text),
            Self::Null | Self::Real(_) | Self::Blob(_) | Self::Unreadable(_) => None,
        }
    }
}

/// The bytes of a text in base64, with or without padding (RFC 4648 §§4 and 5).
fn decoded(text: &str) -> Value {
    let digits = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    BASE64_STANDARD_NO_PAD.decode(digits).map_or(Value::Unreadable("a text that is not base64"), Value::Blob)
}
