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

/// The types whose value has only one text form, so that adapter and gateway compare the same text.
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
            // proto3 does not send a default value, so an absent number is 0.
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
        // Another member of a oneof can unset the field, so its absence would not mean the default.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Contract;

    const NUMBERS: [Form; 4] = [Form::Int32, Form::Int64, Form::Uint32, Form::Uint64];

    fn has(form: Form, message: &[u8], value: &str) -> Result<bool, WireError> {
        RowField { number: 1, form }.has_one_of(message, &["x".to_owned(), value.to_owned()])
    }

    /// A message whose field 1 is this varint.
    fn varint(mut number: u64) -> Vec<u8> {
        let mut message = vec![0x08];
        while number >= 0x80 {
            message.push(number as u8 | 0x80);
            number >>= 7;
        }
        message.push(number as u8);
        message
    }

    #[test]
    fn a_number_is_told_by_its_decimal_text_as_its_own_type_reads_it() {
        for (form, number, text) in [
            (Form::Int32, 15, "15"),
            (Form::Int32, (-15_i64).cast_unsigned(), "-15"),
            (Form::Int32, (1 << 32) | 15, "15"),
            (Form::Int64, (1 << 32) | 15, "4294967311"),
            (Form::Int64, (-15_i64).cast_unsigned(), "-15"),
            (Form::Uint32, u32::MAX.into(), "4294967295"),
            (Form::Uint32, (1 << 32) | 15, "15"),
            (Form::Uint64, u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(has(form, &varint(number), text), Ok(true), "{form:?} {number}");
            assert_eq!(has(form, &varint(number), "16"), Ok(false), "{form:?} {number}");
        }
    }

    #[test]
    fn a_field_that_is_not_there_has_its_types_default() {
        for form in NUMBERS {
            assert_eq!(has(form, b"", "0"), Ok(true), "{form:?}");
            assert_eq!(has(form, b"", ""), Ok(false), "{form:?}");
        }
        assert_eq!(has(Form::String, b"", ""), Ok(true));
        assert_eq!(has(Form::String, b"", "0"), Ok(false));
    }

    #[test]
    fn a_field_of_another_wire_type_is_malformed() {
        let text = [0x0a, 2, b'1', b'5'];
        let fixed64 = [0x09, 15, 0, 0, 0, 0, 0, 0, 0];
        let fixed32 = [0x0d, 15, 0, 0, 0];
        for form in NUMBERS {
            for message in [&text[..], &fixed64, &fixed32] {
                assert_eq!(has(form, message, "15"), Err(WireError::Mismatch), "{form:?} {message:?}");
            }
        }
        assert_eq!(has(Form::String, &text, "15"), Ok(true));
        for message in [&varint(15)[..], &fixed64, &fixed32] {
            assert_eq!(has(Form::String, message, "15"), Err(WireError::Mismatch), "{message:?}");
        }
        assert_eq!(has(Form::String, &[0x0a, 1, 0xff], "15"), Err(WireError::Utf8));
    }

    #[test]
    fn rows_are_told_by_one_text_or_integer_at_the_top_of_the_response() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("t");
        std::fs::create_dir(&dir).unwrap();
        let fields = "string text = 1 PUBLIC; int32 i32 = 2 PUBLIC; int64 i64 = 3 PUBLIC; \
            uint32 u32 = 4 PUBLIC; uint64 u64 = 5 PUBLIC; optional int32 maybe = 6 PUBLIC; \
            repeated string list = 7 PUBLIC; oneof choice { string this = 8 PUBLIC; string that = 9 PUBLIC; } \
            bool flag = 10 PUBLIC; sint32 s32 = 11 PUBLIC; fixed64 f64 = 12 PUBLIC; bytes raw = 13 PUBLIC; \
            In inner = 14;"
            .replace("PUBLIC", "[(chapar.contract.v1.field).class = CLASS_PUBLIC]");
        let text = format!(
            "syntax = \"proto3\";\npackage t;\nimport \"chapar/contract/v1/options.proto\";\n\
             service S {{ rpc Get(Ask) returns (Say) {{}} }}\nmessage Ask {{}}\nmessage Say {{ {fields} }}\n\
             message In {{ string inside = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }}\n"
        );
        std::fs::write(dir.join("t.proto"), text).unwrap();
        let contract = Contract::load(&dir).unwrap();
        let method = &contract.service("t.S").unwrap().methods()[0];
        for (name, number, form) in [
            ("text", 1, Form::String),
            ("i32", 2, Form::Int32),
            ("i64", 3, Form::Int64),
            ("u32", 4, Form::Uint32),
            ("u64", 5, Form::Uint64),
            ("maybe", 6, Form::Int32),
        ] {
            assert_eq!(method.row_field(name), Some(RowField { number, form }), "{name}");
        }
        for name in ["list", "this", "that", "flag", "s32", "f64", "raw", "inner", "inside", ""] {
            assert_eq!(method.row_field(name), None, "{name}");
        }
    }
}
