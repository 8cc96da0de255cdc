//! This module counts the rows of a response on the wire, and checks whether a row is among those that a
//! grant names. It is for an agency's own gRPC server, where no adapter narrows rows in SQL.

use prost_reflect::{FieldDescriptor, Kind};

use crate::method::{Method, MethodKind};
use crate::wire::{self, Value, WireError};

/// A field of the response that a row scope is held to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowField {
    number: u32,
    form: Form,
}

/// The types whose value has one text, whoever decodes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    String,
    /// `int32`: a decoder takes the low 32 bits of the varint.
    Int32,
    Int64,
    Uint32,
    Uint64,
}

impl RowField {
    /// Whether the field has one of `values` as its text; numbers are written in decimal. A field that is not
    /// set has its type's default.
    ///
    /// # Errors
    /// [`WireError`] if the message is malformed, or the field is of another type.
    pub fn has_one_of(&self, message: &[u8], values: &[String]) -> Result<bool, WireError> {
        let found = wire::find(message, &[self.number])?;
        let text = match (self.form, found) {
            (Form::String, None) => String::new(),
            (Form::String, Some(Value::Bytes(bytes))) => {
                std::str::from_utf8(bytes).map_err(|_| WireError::Utf8)?.to_owned()
            }
            (_, None) => "0".to_owned(),
            (Form::Int32, Some(Value::Varint(number))) => (number as i32).to_string(),
            (Form::Int64, Some(Value::Varint(number))) => number.cast_signed().to_string(),
            (Form::Uint32, Some(Value::Varint(number))) => (number as u32).to_string(),
            (Form::Uint64, Some(Value::Varint(number))) => number.to_string(),
            _ => return Err(WireError::Mismatch),
        };
        Ok(values.contains(&text))
    }
}

impl Method {
    /// The field of the response by which the rows of this scope can be told on the wire: at the top of the
    /// message, of the scope's name, a text or an integer. Nothing if there is none.
    pub fn row_field(&self, scope: &str) -> Option<RowField> {
        let field = self.output.get_field_by_name(scope)?;
        let in_a_choice = field.containing_oneof().is_some_and(|oneof| oneof.fields().len() > 1);
        if field.is_list() || in_a_choice {
            return None;
        }
        let form = match field.kind() {
            Kind::String => Form::String,
            Kind::Int32 => Form::Int32,
            Kind::Int64 => Form::Int64,
            Kind::Uint32 => Form::Uint32,
            Kind::Uint64 => Form::Uint64,
            _ => return None,
        };
        Some(RowField { number: field.number(), form })
    }

    /// Rows in one message of an answer: of a unary method whose response is one repeated message, its
    /// elements; else 1.
    ///
    /// # Errors
    /// [`WireError`] if the message is malformed.
    pub fn rows_in(&self, message: &[u8]) -> Result<u64, WireError> {
        match self.only_list() {
            Some(list) => wire::count(message, &[list.number()], &list),
            None => Ok(1),
        }
    }

    fn only_list(&self) -> Option<FieldDescriptor> {
        let mut fields = self.output.fields();
        let (only, None) = (fields.next()?, fields.next()) else { return None };
        let is_rows =
            self.kind == MethodKind::Unary && only.is_list() && matches!(only.kind(), Kind::Message(_));
        is_rows.then_some(only)
    }
}
