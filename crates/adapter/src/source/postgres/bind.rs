//! This module turns bound values into what PostgreSQL reads as the type of their placeholder: text, which
//! its own input functions read, or bytes. A value that is none of that type is refused here by its field's
//! name, because the server's own refusal would quote it.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use crate::source::{Failure, Parameter, Query};

/// A value that is ready to be sent.
#[derive(Debug)]
pub(super) struct Bound {
    bytes: Option<Vec<u8>>,
    format: Format,
}

/// All values of a query, in binding order.
///
/// # Errors
/// `FIELD_INVALID` with the field of the first value that is none of its placeholder's type.
pub(super) fn bound(query: &Query, types: &[Type]) -> Result<Vec<Bound>, Failure> {
    let one = |(number, (parameter, kind)): (usize, (&Parameter, &Type))| match value(parameter, kind) {
        Ok(bound) => Ok(bound),
        // A row scope whose value is none of its column's type is equal to no value of the column.
        Err(_) if query.fields.get(number).is_none_or(Option::is_none) => Ok(Bound::null()),
        Err(detail) => Err(query.misfit(number, detail)),
    };
    query.parameters.iter().zip(types).enumerate().map(one).collect()
}

impl Bound {
    fn null() -> Self {
        Self { bytes: None, format: Format::Text }
    }

    fn text(text: impl Into<String>) -> Self {
        Self { bytes: Some(text.into().into_bytes()), format: Format::Text }
    }
}

fn value(parameter: &Parameter, kind: &Type) -> Result<Bound, &'static str> {
    if let Kind::Domain(inner) = kind.kind() {
        return value(parameter, inner);
    }
    match parameter {
        Parameter::Null => Ok(Bound::null()),
        Parameter::Integer(number) => match *kind {
            // A field of type bool comes as 0 or 1.
            Type::BOOL if matches!(number, 0 | 1) => Ok(Bound::text(if *number == 1 { "t" } else { "f" })),
            Type::BOOL | Type::BYTEA => Err("a number, compared with what is none"),
            _ if matches!(kind.kind(), Kind::Enum(_)) => Err("a number, compared with names"),
            Type::INT2 => in_range::<i16>(*number),
            Type::INT4 => in_range::<i32>(*number),
            Type::OID => in_range::<u32>(*number),
            _ => Ok(Bound::text(number.to_string())),
        },
        Parameter::Real(number) => match *kind {
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC | Type::TEXT => Ok(Bound::text(number.to_string())),
            _ => Err("a number with a fraction, compared with what has none"),
        },
        Parameter::Blob(bytes) => match *kind {
            Type::BYTEA => Ok(Bound { bytes: Some(bytes.clone()), format: Format::Binary }),
            _ => Err("bytes, compared with what are none"),
        },
        Parameter::Text(text) => of_text(text, kind),
        Parameter::Timestamp(time) => match *kind {
            // PostgreSQL would leave the zone out, and compare another time than the one asked for.
            Type::TIMESTAMP => Err(
                "a moment, compared with a time that has no zone: write `CAST(:field AS timestamptz) AT TIME ZONE 'ZONE'`",
            ),
            Type::TIMESTAMPTZ | Type::TEXT | Type::VARCHAR => Ok(Bound::text(time.to_string())),
            _ => Err("a moment, compared with what is none"),
        },
    }
}

fn in_range<T: TryFrom<i64>>(number: i64) -> Result<Bound, &'static str> {
    T::try_from(number).map(|_| Bound::text(number.to_string())).map_err(|_| "outside the column's range")
}

fn of_text(text: &str, kind: &Type) -> Result<Bound, &'static str> {
    // PostgreSQL's text holds every character but this one.
    if text.contains('\0') {
        return Err("holds the character U+0000");
    }
    let integer = || {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten().ok_or("not a whole number")
    };
    match *kind {
        Type::INT2 => in_range::<i16>(integer()?),
        Type::INT4 => in_range::<i32>(integer()?),
        Type::OID => in_range::<u32>(integer()?),
        Type::INT8 => integer().map(|number| Bound::text(number.to_string())),
        Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let is_number = is_plain && digits.parse::<f64>().is_ok();
            is_number.then(|| Bound::text(text)).ok_or("not a number")
        }
        Type::UUID => {
            let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
            (is_hexadecimal && digits == 32).then(|| Bound::text(text)).ok_or("not a UUID")
        }
        Type::DATE => {
            let date = text.parse::<jiff::civil::Date>();
            date.map(|date| Bound::text(date.to_string())).map_err(|_| "not a whole day")
        }
        Type::BOOL => match text {
            "true" | "false" => Ok(Bound::text(text)),
            _ => Err("text, compared with true and false"),
        },
        Type::BYTEA => Err("text, compared with bytes"),
        _ => match kind.kind() {
            Kind::Enum(names) if !names.iter().any(|name| name == text) => {
                Err("no value of the database's enum")
            }
            _ => Ok(Bound::text(text)),
        },
    }
}

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.bytes {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(kind, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        self.format
    }
}
