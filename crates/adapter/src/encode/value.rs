//! This module encodes one value of the database as one field of a protobuf message, or says why its type,
//! range or NULL does not fit the field.

use bytes::BufMut;
use chapar_contract::JALALI_YEARS;
use chapar_model::Reason;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::conversion::Conversion;
use crate::date;
use crate::form::Form;
use crate::source::Cell;

/// The reason for the caller, and what is wrong, without the value.
pub(super) type Fault = (Reason, &'static str);

const fn unreadable(detail: &'static str) -> Fault {
    (Reason::ValueUnreadable, detail)
}

/// Appends the field `number` with the value that `cell` becomes by the declared conversion, if there is one.
pub(super) fn converted(
    number: u32,
    form: &Form,
    conversion: Option<&Conversion>,
    presence: bool,
    cell: Cell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    // Without a declared conversion a year of the Jalali calendar is doubted, because nobody has said which
    // calendar is meant.
    let Some(conversion) = conversion else { return value(number, form, true, presence, cell, out) };
    let converted = conversion.apply(cell).map_err(unreadable)?;
    value(number, form, false, presence, converted.cell(), out)
}

/// `doubts`: whether a year from 1200 to 1599 is refused as a probable Jalali year.
fn value(
    number: u32,
    form: &Form,
    doubts: bool,
    presence: bool,
    cell: Cell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if matches!(cell, Cell::Null) {
        return if presence {
            Ok(())
        } else {
            Err((Reason::NullInRequired, "NULL in a field without presence"))
        };
    }
    match form {
        Form::Bool => {
            let value = match integer::<i64>(cell)? {
                0 => false,
                1 => true,
                // Other numbers are true in some languages and an error in others, so their meaning is not
                // guessed.
                _ => return Err(unreadable("not 0 or 1")),
            };
            varint(number, value.into(), presence, out);
        }
        Form::Bytes => match cell {
            Cell::Blob(value) => bytes(number, value, presence, out),
            _ => return Err(unreadable("not a blob")),
        },
        Form::Date => {
            let date =
                date::parse(text(cell)?).ok_or(unreadable("not a date `YYYY-MM-DD`, `YYYY-MM` or `YYYY`"))?;
            let [year, ..] = date;
            // A date in the years of the Jalali calendar is more likely a Jalali date than one of 600 years
            // ago.
            if doubts && is_jalali_year(i64::try_from(year).unwrap_or_default()) {
                return Err(unreadable(LOOKS_JALALI));
            }
            let mut message = Vec::new();
            for (number, part) in (1..).zip(date) {
                varint(number, part, false, &mut message);
            }
            delimited(number, &message, out);
        }
        Form::Double => {
            let value = real(cell)?;
            // The bits are compared, because -0.0 equals 0.0 and protobuf omits only positive zero.
            if presence || value.to_bits() != 0 {
                encode_key(number, WireType::SixtyFourBit, out);
                out.put_f64_le(value);
            }
        }
        Form::Float => {
            let value = float(cell)?;
            if presence || value.to_bits() != 0 {
                encode_key(number, WireType::ThirtyTwoBit, out);
                out.put_f32_le(value);
            }
        }
        Form::Enum(names) => {
            let value = match cell {
                Cell::Text(text) => std::str::from_utf8(text).ok().and_then(|name| names.get(name).copied()),
                // The contract is closed: a number without a name would reach callers as a value that they do
                // not know.
                _ => integer::<i32>(cell).ok().filter(|value| names.values().any(|known| known == value)),
            };
            let value = value.ok_or(unreadable("no name or number of the enum"))?;
            varint(number, i64::from(value).cast_unsigned(), presence, out);
        }
        Form::Int32 => varint(number, i64::from(integer::<i32>(cell)?).cast_unsigned(), presence, out),
        Form::Int64 => varint(number, integer::<i64>(cell)?.cast_unsigned(), presence, out),
        Form::Uint32 => varint(number, integer::<u32>(cell)?.into(), presence, out),
        Form::Uint64 => varint(number, integer::<u64>(cell)?, presence, out),
        Form::Sint32 => varint(number, zigzag(integer::<i32>(cell)?.into()), presence, out),
        Form::Sint64 => varint(number, zigzag(integer::<i64>(cell)?), presence, out),
        Form::Fixed32 => fixed32(number, integer::<u32>(cell)?, presence, out),
        Form::Sfixed32 => fixed32(number, integer::<i32>(cell)?.cast_unsigned(), presence, out),
        Form::Fixed64 => fixed64(number, integer::<u64>(cell)?, presence, out),
        Form::Sfixed64 => fixed64(number, integer::<i64>(cell)?.cast_unsigned(), presence, out),
        Form::String => bytes(number, text(cell)?.as_bytes(), presence, out),
        Form::Timestamp => {
            let time = match cell {
                Cell::Integer(seconds) => jiff::Timestamp::from_second(seconds).ok(),
                _ => text(cell)?.parse::<jiff::Timestamp>().ok(),
            };
            let time = time.ok_or(unreadable("not RFC 3339, nor seconds since 1970"))?;
            let year = jiff::tz::Offset::UTC.to_datetime(time).year();
            if doubts && matches!(cell, Cell::Text(_)) && is_jalali_year(year.into()) {
                return Err(unreadable(LOOKS_JALALI));
            }
            // protobuf's nanoseconds count forward, also before 1970.
            let (seconds, nanos) = match (time.as_second(), time.subsec_nanosecond()) {
                (seconds, nanos) if nanos < 0 => (seconds - 1, nanos + 1_000_000_000),
                normal => normal,
            };
            if !TIMESTAMPS.contains(&seconds) {
                return Err(unreadable("outside the years 1 to 9999"));
            }
            let mut message = Vec::new();
            varint(1, seconds.cast_unsigned(), false, &mut message);
            varint(2, i64::from(nanos).cast_unsigned(), false, &mut message);
            delimited(number, &message, out);
        }
    }
    Ok(())
}

fn integer<T: TryFrom<i64>>(cell: Cell<'_>) -> Result<T, Fault> {
    match cell {
        Cell::Integer(value) => {
            T::try_from(value).map_err(|_| unreadable("outside the range of the field's type"))
        }
        _ => Err(unreadable("not an integer")),
    }
}

/// Seconds of the years that `google.protobuf.Timestamp` has: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z
/// (timestamp.proto).
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Every integer up to here is a double (IEEE 754: 53 bits).
const LARGEST_IN_DOUBLE: u64 = 1 << 53;
const LOOKS_JALALI: &str =
    "a year of the Jalali calendar in a Gregorian date: declare `-- column NAME: jalali` or `gregorian`";

fn is_jalali_year(year: i64) -> bool {
    i32::try_from(year).is_ok_and(|year| JALALI_YEARS.contains(&year))
}

#[expect(clippy::cast_precision_loss, reason = "the range of integers that are doubles is looked at first")]
fn real(cell: Cell<'_>) -> Result<f64, Fault> {
    match cell {
        Cell::Real(value) => Ok(value),
        Cell::Integer(value) if value.unsigned_abs() <= LARGEST_IN_DOUBLE => Ok(value as f64),
        Cell::Integer(_) => Err(unreadable("an integer that no double is equal to")),
        _ => Err(unreadable("not a number")),
    }
}

/// The float that is written with the same digits as the value: 0.1 is one, 16777217 and 1e300 are not.
fn float(cell: Cell<'_>) -> Result<f32, Fault> {
    let value = real(cell)?;
    #[expect(clippy::cast_possible_truncation, reason = "what is lost is compared on the next line")]
    let float = value as f32;
    // The shortest decimal text is compared as well: 0.1 is not equal as a double, and is still the same
    // number for people.
    let same = f64::from(float) == value || float.to_string().parse() == Ok(value);
    if same { Ok(float) } else { Err(unreadable("a number of more digits or range than a float has")) }
}

fn text<'a>(cell: Cell<'a>) -> Result<&'a str, Fault> {
    match cell {
        Cell::Text(value) => std::str::from_utf8(value).map_err(|_| unreadable("not UTF-8")),
        _ => Err(unreadable("not text")),
    }
}

/// ZigZag encoding of protobuf's `sint` types: negative numbers near zero get short varints.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint(number: u32, value: u64, presence: bool, out: &mut Vec<u8>) {
    if presence || value != 0 {
        encode_key(number, WireType::Varint, out);
        encode_varint(value, out);
    }
}

fn fixed32(number: u32, value: u32, presence: bool, out: &mut Vec<u8>) {
    if presence || value != 0 {
        encode_key(number, WireType::ThirtyTwoBit, out);
        out.put_u32_le(value);
    }
}

fn fixed64(number: u32, value: u64, presence: bool, out: &mut Vec<u8>) {
    if presence || value != 0 {
        encode_key(number, WireType::SixtyFourBit, out);
        out.put_u64_le(value);
    }
}

fn bytes(number: u32, value: &[u8], presence: bool, out: &mut Vec<u8>) {
    if presence || !value.is_empty() {
        delimited(number, value, out);
    }
}

/// Appends a field whose value is bytes of a known length.
pub(super) fn delimited(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}
