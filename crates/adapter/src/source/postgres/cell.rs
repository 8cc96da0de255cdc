//! This module reads PostgreSQL's binary form of values (its `*_send` functions, PostgreSQL 15
//! `src/backend/utils/adt`) as cells. A numeric stays decimal digits: it never goes through floating point.

use std::error::Error;
use std::sync::Arc;

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Span, Timestamp};
use tokio_postgres::Row as Inner;
use tokio_postgres::types::{FromSql, Kind, Type};

use crate::source::{Cell, Family, Row};

/// How the values of a column are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CellReader {
    Bool,
    Bytes,
    Date,
    Float4,
    Float8,
    Int2,
    Int4,
    Int8,
    Interval,
    Jsonb,
    Numeric,
    Oid,
    /// `char(n)`, whose spaces at the end do not count.
    Padded,
    Text,
    Time,
    Timestamp,
    Timestamptz,
    Uuid,
    Other,
}

impl CellReader {
    /// How the values of these columns are read.
    pub(super) fn of_all(columns: &[tokio_postgres::Column]) -> Arc<[Self]> {
        columns.iter().map(|column| Self::of(column.type_())).collect()
    }

    pub(super) fn of(kind: &Type) -> Self {
        match *kind {
            Type::BOOL => Self::Bool,
            Type::BYTEA => Self::Bytes,
            Type::DATE => Self::Date,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::INTERVAL => Self::Interval,
            Type::JSONB => Self::Jsonb,
            Type::NUMERIC => Self::Numeric,
            Type::OID => Self::Oid,
            Type::BPCHAR => Self::Padded,
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::JSON | Type::XML => Self::Text,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Timestamptz,
            Type::UUID => Self::Uuid,
            _ => match kind.kind() {
                Kind::Enum(_) => Self::Text,
                Kind::Domain(inner) => Self::of(inner),
                // An extension's type has no number of its own; its binary form is its text.
                Kind::Simple if kind.name() == "citext" => Self::Text,
                _ => Self::Other,
            },
        }
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::Bool => Family::Bool,
            Self::Bytes => Family::Blob,
            Self::Date => Family::Date,
            Self::Float4 | Self::Float8 => Family::Real,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => Family::Integer,
            Self::Interval => Family::Duration,
            Self::Numeric => Family::Decimal,
            Self::Jsonb | Self::Padded | Self::Text | Self::Uuid => Family::Text,
            Self::Time => Family::Time,
            Self::Timestamp => Family::DateTime,
            Self::Timestamptz => Family::Timestamp,
            Self::Other => Family::Other,
        }
    }
}

/// A row, and the text of those of its values that the server sends in another form.
pub(super) struct PgRow<'r> {
    row: &'r Inner,
    readers: &'r [CellReader],
    texts: Vec<(usize, Result<String, &'static str>)>,
}

impl<'r> PgRow<'r> {
    pub(super) fn new(row: &'r Inner, readers: &'r [CellReader]) -> Self {
        let written = |(index, reader): (usize, &CellReader)| {
            let write: fn(&[u8]) -> Result<String, &'static str> = match reader {
                CellReader::Numeric => numeric,
                CellReader::Uuid => uuid,
                _ => return None,
            };
            raw(row, index).map(|bytes| (index, write(bytes)))
        };
        let texts = readers.iter().enumerate().filter_map(written).collect();
        Self { row, readers, texts }
    }

    fn text(&self, index: usize) -> Result<&str, &'static str> {
        match self.texts.iter().find(|(own, _)| *own == index) {
            Some((_, text)) => text.as_deref().map_err(|fault| *fault),
            None => Err(MALFORMED),
        }
    }
}

/// A value of which the server sent another number of bytes than its type has.
const MALFORMED: &str = "not in the database's own form";
const INFINITE: &str = "an infinite date or time";
const OUTSIDE: &str = "outside the years -9999 to 9999";

impl Row for PgRow<'_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        let Some(reader) = self.readers.get(index) else { return Cell::Null };
        let Some(bytes) = raw(self.row, index) else { return Cell::Null };
        let cell = match reader {
            CellReader::Bool => array(bytes).map(|[byte]: [u8; 1]| Cell::Bool(byte != 0)),
            CellReader::Bytes => Ok(Cell::Blob(bytes)),
            CellReader::Text => Ok(Cell::Text(bytes)),
            CellReader::Padded => Ok(Cell::Text(unpadded(bytes))),
            // The first byte is the version of the format.
            CellReader::Jsonb => bytes.get(1..).map(Cell::Text).ok_or(MALFORMED),
            CellReader::Int2 => array(bytes).map(|bytes| Cell::Integer(i16::from_be_bytes(bytes).into())),
            CellReader::Int4 => array(bytes).map(|bytes| Cell::Integer(i32::from_be_bytes(bytes).into())),
            CellReader::Int8 => array(bytes).map(|bytes| Cell::Integer(i64::from_be_bytes(bytes))),
            CellReader::Oid => array(bytes).map(|bytes| Cell::Integer(u32::from_be_bytes(bytes).into())),
            CellReader::Float4 => array(bytes).map(|bytes| real(f32::from_be_bytes(bytes))),
            CellReader::Float8 => array(bytes).map(|bytes| Cell::Real(f64::from_be_bytes(bytes))),
            CellReader::Numeric => self.text(index).map(Cell::Decimal),
            CellReader::Uuid => self.text(index).map(|text| Cell::Text(text.as_bytes())),
            CellReader::Date => array(bytes).and_then(|bytes| date(i32::from_be_bytes(bytes))),
            CellReader::Time => array(bytes).and_then(|bytes| time(i64::from_be_bytes(bytes))),
            CellReader::Timestamptz => {
                array(bytes).and_then(|bytes| moment(i64::from_be_bytes(bytes))).map(Cell::Timestamp)
            }
            CellReader::Timestamp => array(bytes).and_then(|bytes| moment(i64::from_be_bytes(bytes))).map(
                // A time without a zone counts like a moment in UTC.
                |time| Cell::DateTime(jiff::tz::Offset::UTC.to_datetime(time)),
            ),
            CellReader::Interval => array(bytes).and_then(interval),
            CellReader::Other => Err("of a type that no field takes"),
        };
        cell.unwrap_or_else(Cell::Unreadable)
    }
}

/// The bytes of a value; nothing for NULL.
fn raw(row: &Inner, index: usize) -> Option<&[u8]> {
    struct Raw<'a>(&'a [u8]);

    impl<'a> FromSql<'a> for Raw<'a> {
        fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
            Ok(Self(raw))
        }

        fn accepts(_: &Type) -> bool {
            true
        }
    }

    // An error means that there is no such column, which reads as NULL by the contract of `Row`.
    row.try_get::<_, Option<Raw<'_>>>(index).ok().flatten().map(|Raw(bytes)| bytes)
}

fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], &'static str> {
    bytes.try_into().map_err(|_| MALFORMED)
}

/// The double with the digits of the float: 0.1 stays 0.1.
fn real(value: f32) -> Cell<'static> {
    Cell::Real(value.to_string().parse().unwrap_or_else(|_| value.into()))
}

/// The day from which dates and times are counted: 2000-01-01.
fn epoch() -> Date {
    Date::constant(2000, 1, 1)
}

fn date(days: i32) -> Result<Cell<'static>, &'static str> {
    if matches!(days, i32::MAX | i32::MIN) {
        return Err(INFINITE);
    }
    let date = Span::new().try_days(days).and_then(|days| epoch().checked_add(days));
    date.map(Cell::Date).map_err(|_| OUTSIDE)
}

fn time(microseconds: i64) -> Result<Cell<'static>, &'static str> {
    // 24:00:00 is a time of PostgreSQL, and of no calendar here.
    let time = Time::midnight().checked_add(SignedDuration::from_micros(microseconds));
    time.map(Cell::Time).map_err(|_| "the time 24:00:00")
}

fn moment(microseconds: i64) -> Result<Timestamp, &'static str> {
    if matches!(microseconds, i64::MAX | i64::MIN) {
        return Err(INFINITE);
    }
    let start = jiff::tz::Offset::UTC.to_timestamp(epoch().at(0, 0, 0, 0)).map_err(|_| OUTSIDE)?;
    start.checked_add(SignedDuration::from_micros(microseconds)).map_err(|_| OUTSIDE)
}

/// Microseconds (64 bits), days and months (32 bits each).
fn interval(bytes: [u8; 16]) -> Result<Cell<'static>, &'static str> {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    let microseconds = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let days = i32::from_be_bytes([i, j, k, l]);
    if i32::from_be_bytes([m, n, o, p]) != 0 {
        return Err("an interval with months or years, which have no fixed length");
    }
    // PostgreSQL's own `extract(epoch …)` counts 24 hours a day.
    let days = SignedDuration::from_hours(i64::from(days) * 24);
    let whole = days.checked_add(SignedDuration::from_micros(microseconds)).ok_or(OUTSIDE)?;
    Ok(Cell::Duration(whole))
}

/// Hexadecimal digits in groups of 8, 4, 4, 4 and 12 (RFC 9562 §4).
fn uuid(bytes: &[u8]) -> Result<String, &'static str> {
    let bytes: [u8; 16] = array(bytes)?;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

/// Digits of base 10,000: how many, the weight of the first, the sign, and how many decimal digits stand
/// after the point (`numeric_send`).
fn numeric(bytes: &[u8]) -> Result<String, &'static str> {
    let mut words = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let mut word = || words.next().ok_or(MALFORMED);
    let count = word()?;
    let weight = word()?.cast_signed();
    let sign = word()?;
    let scale = word()?;
    let minus = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Err("not a number (NaN)"),
        _ => return Err("an infinite number"),
    };
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) {
        return Err(MALFORMED);
    }
    // The digit of base 10,000 at a place; 0 where none is sent.
    let at = |place: i32| {
        let index = usize::try_from(i32::from(weight) - place).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut text = String::from(minus);
    text.push_str(&at(i32::from(weight).max(0)).to_string());
    for place in (0..i32::from(weight)).rev() {
        text.push_str(&format!("{:04}", at(place)));
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < usize::from(scale) {
            fraction.push_str(&format!("{:04}", at(place)));
            place -= 1;
        }
        fraction.truncate(scale.into());
        text.push('.');
        text.push_str(&fraction);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_numeric_keeps_every_digit() {
        for (words, text) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[1, 0, 0, 0, 42], "42"),
            (&[1, 1, 0x4000, 0, 1], "-10000"),
            (&[2, 0, 0, 2, 12, 3400], "12.34"),
            (&[1, 0xFFFF, 0, 3, 50], "0.005"),
            (&[1, 0xFFFE, 0, 8, 1], "0.00000001"),
            (&[3, 2, 0, 0, 1, 0, 1], "100000001"),
        ] {
            assert_eq!(numeric(&sent(words)).as_deref(), Ok(text), "{words:?}");
        }
        for words in [&[1, 0, 0, 0][..], &[0, 0, 0xC000, 0], &[0, 0, 0xD000, 0], &[0]] {
            assert!(numeric(&sent(words)).is_err(), "{words:?}");
        }
    }
}
