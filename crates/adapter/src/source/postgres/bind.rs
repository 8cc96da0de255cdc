//! This module turns bound values into what PostgreSQL reads as the type of their placeholder: text, which
//! its own input functions read, or bytes. A value that is none of that type is refused here by its field's
//! name, because the server's own refusal would quote it.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use chapar_model::Reason;

use crate::source::{Failure, Parameter, Query};

/// A value that is ready to be sent. Its `Debug` shows no value, because the driver writes parameters to its
/// log.
pub(super) struct BoundValue {
    bytes: Option<Vec<u8>>,
    format: Format,
}

impl std::fmt::Debug for BoundValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bound value")
    }
}

/// A value that is none of its placeholder's type.
pub(super) enum Misfit {
    /// By what is known of the type. It may have got the value since then.
    MayBeNew(Failure),
    /// The value is wrong, or no value would fit the type.
    Wrong(Failure),
}

impl Misfit {
    pub(super) fn failure(self) -> Failure {
        let (Self::MayBeNew(failure) | Self::Wrong(failure)) = self;
        failure
    }
}

/// All values of a query, in binding order. `is_new`: whether the types were asked for just now.
///
/// # Errors
/// `FIELD_INVALID` with the field of the first value that is none of its placeholder's type.
pub(super) fn bound(query: &Query, types: &[Type], is_new: bool) -> Result<Vec<BoundValue>, Misfit> {
    let one = |(number, (parameter, kind)): (usize, (&Parameter, &Type))| match value(parameter, kind) {
        Ok(bound) => Ok(bound),
        Err(NOT_IN_ENUM) if !is_new => Err(Misfit::MayBeNew(query.misfit(number, NOT_IN_ENUM))),
        // A row scope whose value is none of its column's type is equal to no value of the column.
        Err(_) if query.fields.get(number).is_none_or(Option::is_none) => Ok(BoundValue::null()),
        // A type that takes no value of the field is the statement's fault, and is found at the start.
        Err(detail) if NO_VALUE_FITS.contains(&detail) => {
            Err(Misfit::Wrong(Failure { reason: Reason::SchemaDrift, ..query.misfit(number, detail) }))
        }
        Err(detail) => Err(Misfit::Wrong(query.misfit(number, detail))),
    };
    query.parameters.iter().zip(types).enumerate().map(one).collect()
}

/// What is said of a field whose values the placeholder's type never takes.
const NO_VALUE_FITS: &[&str] = &[
    NOT_COMPARED,
    WITHOUT_ZONE,
    NOT_A_MOMENT,
    NOT_BYTES,
    NOT_A_NUMBER,
    NOT_NAMES,
    WITHOUT_FRACTION,
    NOT_TEXT,
];
const WITHOUT_ZONE: &str = "a moment, compared with a time that has no zone: write `CAST(:field AS timestamptz) AT TIME ZONE 'ZONE'`";
const NOT_A_MOMENT: &str = "a moment, compared with what is none";
const NOT_BYTES: &str = "bytes, compared with what are none, or the reverse";
const NOT_A_NUMBER: &str = "a number, compared with what is none";
const NOT_NAMES: &str = "a number of an enum, compared with the database's names: make the field a string";
const WITHOUT_FRACTION: &str = "a number with a fraction, compared with what has none";
const NOT_TEXT: &str = "text, compared with true and false";
const NOT_IN_ENUM: &str = "no value of the database's enum";
const NOT_COMPARED: &str = "compared with a type that no field is: write `CAST(column AS text) = :field`";

impl BoundValue {
    fn null() -> Self {
        Self { bytes: None, format: Format::Text }
    }

    fn text(text: impl Into<String>) -> Self {
        Self { bytes: Some(text.into().into_bytes()), format: Format::Text }
    }
}

fn value(parameter: &Parameter, kind: &Type) -> Result<BoundValue, &'static str> {
    if let Kind::Domain(inner) = kind.kind() {
        return value(parameter, inner);
    }
    match parameter {
        Parameter::Null => Ok(BoundValue::null()),
        Parameter::Integer(number) => of_integer(*number, kind),
        Parameter::Real(number) => match *kind {
            Type::FLOAT4 if !is_float(*number) => Err("a number of more digits than the column has"),
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC | Type::TEXT | Type::UNKNOWN => {
                Ok(BoundValue::text(number.to_string()))
            }
            _ => Err(WITHOUT_FRACTION),
        },
        Parameter::Blob(bytes) => match *kind {
            Type::BYTEA => Ok(BoundValue { bytes: Some(bytes.clone()), format: Format::Binary }),
            Type::UNKNOWN => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(BoundValue::text(format!("\\x{digits}")))
            }
            _ => Err(NOT_BYTES),
        },
        Parameter::Text(text) => of_text(text, kind),
        Parameter::Timestamp(time) => match *kind {
            Type::TIMESTAMPTZ | Type::TEXT | Type::VARCHAR => Ok(BoundValue::text(time.to_string())),
            // PostgreSQL would leave the zone out, and compare another time than the one asked for.
            Type::TIMESTAMP | Type::UNKNOWN => Err(
                "a moment, compared with a time that has no zone: write `CAST(:field AS timestamptz) AT TIME ZONE 'ZONE'`",
            ),
            _ => Err(NOT_A_MOMENT),
        },
    }
}

fn of_integer(number: i64, kind: &Type) -> Result<BoundValue, &'static str> {
    /// Every integer up to here is a float (IEEE 754: 24 bits).
    const LARGEST_IN_FLOAT: u64 = 1 << 24;
    /// Every integer up to here is a double (53 bits).
    const LARGEST_IN_DOUBLE: u64 = 1 << 53;
    let within = |most: u64| {
        let fits = number.unsigned_abs() <= most;
        fits.then(|| BoundValue::text(number.to_string()))
            .ok_or("a number of more digits than the column has")
    };
    match *kind {
        // A field of type bool comes as 0 or 1.
        Type::BOOL if matches!(number, 0 | 1) => Ok(BoundValue::text(if number == 1 { "t" } else { "f" })),
        Type::INT2 => in_range::<i16>(number),
        Type::INT4 => in_range::<i32>(number),
        Type::OID => in_range::<u32>(number),
        Type::FLOAT4 => within(LARGEST_IN_FLOAT),
        Type::FLOAT8 => within(LARGEST_IN_DOUBLE),
        Type::INT8 | Type::NUMERIC | Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::UNKNOWN => {
            Ok(BoundValue::text(number.to_string()))
        }
        _ if matches!(kind.kind(), Kind::Enum(_)) => Err(NOT_NAMES),
        _ => Err(NOT_A_NUMBER),
    }
}

/// Whether a float holds the number's digits.
fn is_float(number: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "what is lost is compared")]
    let float = number as f32;
    f64::from(float) == number || float.to_string().parse() == Ok(number)
}

fn in_range<T: TryFrom<i64>>(number: i64) -> Result<BoundValue, &'static str> {
    T::try_from(number)
        .map(|_| BoundValue::text(number.to_string()))
        .map_err(|_| "outside the column's range")
}

fn of_text(text: &str, kind: &Type) -> Result<BoundValue, &'static str> {
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
        Type::INT8 => integer().map(|number| BoundValue::text(number.to_string())),
        Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let is_number = is_plain && digits.parse::<f64>().is_ok();
            is_number.then(|| BoundValue::text(text)).ok_or("not a number")
        }
        Type::UUID => {
            let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
            (is_hexadecimal && digits == 32).then(|| BoundValue::text(text)).ok_or("not a UUID")
        }
        Type::DATE => {
            // Longer texts also have a time of day, which would be left out.
            let is_day = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
            is_day.then(|| BoundValue::text(text)).ok_or("not a whole day")
        }
        Type::BOOL => match text {
            "true" | "false" => Ok(BoundValue::text(text)),
            _ => Err(NOT_TEXT),
        },
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::JSONB | Type::UNKNOWN => {
            Ok(BoundValue::text(text))
        }
        _ => match kind.kind() {
            Kind::Enum(names) if names.iter().any(|name| name == text) => Ok(BoundValue::text(text)),
            Kind::Enum(_) => Err(NOT_IN_ENUM),
            Kind::Simple if kind.name() == "citext" => Ok(BoundValue::text(text)),
            _ => Err(NOT_COMPARED),
        },
    }
}

impl ToSql for BoundValue {
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
