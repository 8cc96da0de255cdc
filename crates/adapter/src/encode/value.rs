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
    if let Cell::Unreadable(detail) = cell {
        return Err(unreadable(detail));
    }
    match form {
        Form::Bool => {
            let value = match cell {
                Cell::Bool(value) => value,
                cell => match integer::<i64>(cell)? {
                    0 => false,
                    1 => true,
                    // Other numbers are true in some languages and an error in others, so their meaning is
                    // not guessed.
                    _ => return Err(unreadable("not 0 or 1")),
                },
            };
            varint(number, value.into(), presence, out);
        }
        Form::Bytes => match cell {
            Cell::Blob(value) => bytes(number, value, presence, out),
            _ => return Err(unreadable("not a blob")),
        },
        Form::Date => {
            let date = match cell {
                Cell::Date(date) => whole_date(date)?,
                cell => date::parse(text(cell)?)
                    .ok_or(unreadable("not a date `YYYY-MM-DD`, `YYYY-MM` or `YYYY`"))?,
            };
            let [year, ..] = date;
            // A date in the years of the Jalali calendar is more likely a Jalali date than one of 600 years
            // ago.
            if doubts && is_jalali_year(i64::try_from(year).unwrap_or_default()) {
                return Err(unreadable(LOOKS_JALALI));
            }
            message(number, date, out);
        }
        Form::TimeOfDay => {
            let time = match cell {
                Cell::Time(time) => time,
                cell => text(cell)?
                    .parse::<jiff::civil::Time>()
                    .map_err(|_| unreadable("not a time `HH:MM:SS`"))?,
            };
            let parts =
                [time.hour(), time.minute(), time.second()].map(|part| u64::from(part.unsigned_abs()));
            let [hour, minute, second] = parts;
            let nanos = u64::from(time.subsec_nanosecond().unsigned_abs());
            message(number, [hour, minute, second, nanos], out);
        }
        Form::Decimal => {
            let mut message = Vec::new();
            let written;
            let digits = match cell {
                Cell::Integer(number) => {
                    written = number.to_string();
                    &written
                }
                cell => text(cell)?,
            };
            if !is_decimal(digits) {
                return Err(unreadable("not a decimal number"));
            }
            bytes(1, digits.as_bytes(), false, &mut message);
            delimited(number, &message, out);
        }
        Form::Duration => {
            let Cell::Duration(length) = cell else { return Err(unreadable("not a length of time")) };
            // Both parts have the same sign, as in google.protobuf.Duration.
            let seconds = length.as_secs();
            if !DURATIONS.contains(&seconds) {
                return Err(unreadable("longer than 10,000 years"));
            }
            message(number, [seconds.cast_unsigned(), i64::from(length.subsec_nanos()).cast_unsigned()], out);
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
        Form::Json(field) => match cell {
            Cell::Text(json) => field.encode(json, out).map_err(unreadable)?,
            _ => return Err(unreadable("not JSON")),
        },
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
                Cell::Timestamp(time) => Some(time),
                Cell::DateTime(_) => return Err(unreadable("a time without its zone")),
                _ => text(cell)?.parse::<jiff::Timestamp>().ok(),
            };
            let time = time.ok_or(unreadable("not RFC 3339, nor seconds since 1970"))?;
            let year = jiff::tz::Offset::UTC.to_datetime(time).year();
            if doubts && matches!(cell, Cell::Text(_) | Cell::Timestamp(_)) && is_jalali_year(year.into()) {
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
            message(number, [seconds.cast_unsigned(), i64::from(nanos).cast_unsigned()], out);
        }
    }
    Ok(())
}

fn integer<T: TryFrom<i64> + std::str::FromStr>(cell: Cell<'_>) -> Result<T, Fault> {
    match cell {
        Cell::Integer(value) => {
            T::try_from(value).map_err(|_| unreadable("outside the range of the field's type"))
        }
        // A fraction of zeros is none: `numeric(10,2)` writes a whole number so.
        Cell::Decimal(digits) => {
            let whole = match digits.split_once('.') {
                Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
                Some(_) => return Err(unreadable("not a whole number")),
                None => digits,
            };
            whole.parse().map_err(|_| unreadable("outside the range of the field's type"))
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

/// Seconds that `google.protobuf.Duration` has (duration.proto).
const DURATIONS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;

/// Year, month and day of a date in the years 1 to 9999 (google/type/date.proto).
fn whole_date(date: jiff::civil::Date) -> Result<[u64; 3], Fault> {
    let year = u64::try_from(date.year()).ok().filter(|year| *year > 0);
    let year = year.ok_or(unreadable("outside the years 1 to 9999"))?;
    Ok([year, u64::from(date.month().unsigned_abs()), u64::from(date.day().unsigned_abs())])
}

/// Sign, digits, and a point with more digits: what google/type/decimal.proto takes, without an exponent.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    are_digits(whole) && are_digits(fraction)
}

fn is_jalali_year(year: i64) -> bool {
    i32::try_from(year).is_ok_and(|year| JALALI_YEARS.contains(&year))
}

#[expect(clippy::cast_precision_loss, reason = "the range of integers that are doubles is looked at first")]
fn real(cell: Cell<'_>) -> Result<f64, Fault> {
    match cell {
        Cell::Real(value) => Ok(value),
        Cell::Integer(value) if value.unsigned_abs() <= LARGEST_IN_DOUBLE => Ok(value as f64),
        Cell::Integer(_) => Err(unreadable("an integer that no double is equal to")),
        // A double gives back at most 15 digits (C11 §5.2.4.2.2), and a rounded amount would look exact.
        Cell::Decimal(digits) if digits.bytes().filter(u8::is_ascii_digit).count() <= 15 => {
            digits.parse().map_err(|_| unreadable("not a number"))
        }
        Cell::Decimal(_) => Err(unreadable("a number of more than 15 digits")),
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
        Cell::Decimal(digits) => Ok(digits),
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

/// Appends a message whose fields 1, 2, … are these varints.
fn message<const N: usize>(number: u32, parts: [u64; N], out: &mut Vec<u8>) {
    let mut message = Vec::new();
    for (number, part) in (1..).zip(parts) {
        varint(number, part, false, &mut message);
    }
    delimited(number, &message, out);
}

/// Appends a field whose value is bytes of a known length.
pub(super) fn delimited(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}
