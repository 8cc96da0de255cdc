//! This module reads values of the binary protocol of MariaDB and MySQL as cells. A DECIMAL stays decimal
//! digits: it never goes through floating point.

use jiff::civil::{Date, DateTime, Time};
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column, Row as Inner, Value};

use crate::source::{Cell, Family, Row};

/// How the values of a column are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CellReader {
    Bit,
    Bytes,
    Date,
    DateTime,
    Decimal,
    Integer,
    Real,
    Text,
    Time,
    Timestamp,
    Unknown,
    Other,
}

/// The number of the character set of bytes that are no text.
const BINARY: u16 = 63;

impl CellReader {
    pub(super) fn of(column: &Column) -> Self {
        use ColumnType as T;
        match column.column_type() {
            // A placeholder by itself, which has a type only once it is bound.
            T::MYSQL_TYPE_NULL => Self::Unknown,
            T::MYSQL_TYPE_BIT => Self::Bit,
            T::MYSQL_TYPE_TINY
            | T::MYSQL_TYPE_SHORT
            | T::MYSQL_TYPE_LONG
            | T::MYSQL_TYPE_LONGLONG
            | T::MYSQL_TYPE_INT24
            | T::MYSQL_TYPE_YEAR => Self::Integer,
            T::MYSQL_TYPE_FLOAT | T::MYSQL_TYPE_DOUBLE => Self::Real,
            T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => Self::Decimal,
            T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => Self::Date,
            T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => Self::DateTime,
            T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => Self::Timestamp,
            T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => Self::Time,
            T::MYSQL_TYPE_JSON | T::MYSQL_TYPE_ENUM | T::MYSQL_TYPE_SET => Self::Text,
            T::MYSQL_TYPE_VARCHAR
            | T::MYSQL_TYPE_VAR_STRING
            | T::MYSQL_TYPE_STRING
            | T::MYSQL_TYPE_TINY_BLOB
            | T::MYSQL_TYPE_MEDIUM_BLOB
            | T::MYSQL_TYPE_LONG_BLOB
            | T::MYSQL_TYPE_BLOB => {
                let is_named = ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG;
                let is_text = column.character_set() != BINARY || column.flags().intersects(is_named);
                if is_text { Self::Text } else { Self::Bytes }
            }
            _ => Self::Other,
        }
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::Bit | Self::Integer => Family::Integer,
            Self::Bytes => Family::Blob,
            Self::Date => Family::Date,
            Self::DateTime => Family::DateTime,
            Self::Decimal => Family::Decimal,
            Self::Real => Family::Real,
            Self::Text => Family::Text,
            Self::Time => Family::Time,
            Self::Timestamp => Family::Timestamp,
            Self::Unknown => Family::Unknown,
            Self::Other => Family::Other,
        }
    }

    /// The kind of type, as SQL writes it.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Self::Bit => "BIT",
            Self::Bytes => "BLOB",
            Self::Date => "DATE",
            Self::DateTime => "DATETIME",
            Self::Decimal => "DECIMAL",
            Self::Integer => "INT",
            Self::Real => "DOUBLE",
            Self::Text => "TEXT",
            Self::Time => "TIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Unknown => "without a type",
            Self::Other => "of a type that is not known here",
        }
    }
}

/// A row, and the digits of those of its integers that no signed one holds.
pub(super) struct MysqlRow<'r> {
    row: &'r Inner,
    digits: Vec<(usize, String)>,
}

impl<'r> MysqlRow<'r> {
    pub(super) fn new(row: &'r Inner) -> Self {
        let large = |index| match row.as_ref(index) {
            Some(Value::UInt(value)) if i64::try_from(*value).is_err() => Some((index, value.to_string())),
            _ => None,
        };
        Self { row, digits: (0..row.len()).filter_map(large).collect() }
    }
}

const MALFORMED: &str = "not in the database's own form";

impl Row for MysqlRow<'_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        let (Some(value), Some(column)) = (self.row.as_ref(index), self.row.columns_ref().get(index)) else {
            return Cell::Null;
        };
        let cell = match (CellReader::of(column), value) {
            (_, Value::NULL) => Ok(Cell::Null),
            (CellReader::Other, _) => Err("of a type that no field takes"),
            (_, Value::Int(value)) => Ok(Cell::Integer(*value)),
            (_, Value::UInt(value)) => match i64::try_from(*value) {
                Ok(value) => Ok(Cell::Integer(value)),
                Err(_) => {
                    let own = self.digits.iter().find(|(own, _)| *own == index);
                    own.map(|(_, digits)| Cell::Decimal(digits)).ok_or(MALFORMED)
                }
            },
            (_, Value::Double(value)) => Ok(Cell::Real(*value)),
            // The double with the digits of the float: 0.1 stays 0.1.
            (_, Value::Float(value)) => {
                value.to_string().parse().map(Cell::Real).map_err(|_| "not a finite number")
            }
            (CellReader::Bytes, Value::Bytes(bytes)) => Ok(Cell::Blob(bytes)),
            (CellReader::Text, Value::Bytes(bytes)) => Ok(Cell::Text(bytes)),
            (CellReader::Decimal, Value::Bytes(bytes)) => {
                std::str::from_utf8(bytes).map(Cell::Decimal).map_err(|_| MALFORMED)
            }
            (CellReader::Bit, Value::Bytes(bytes)) => bits(bytes),
            (CellReader::Date, Value::Date(year, month, day, ..)) => {
                date(*year, *month, *day).map(Cell::Date)
            }
            (reader, Value::Date(year, month, day, hour, minute, second, microsecond)) => {
                date(*year, *month, *day)
                    .and_then(|date| {
                        time(*hour, *minute, *second, *microsecond).map(|time| date.to_datetime(time))
                    })
                    .and_then(|time| moment(reader, time))
            }
            (_, Value::Time(false, 0, hour, minute, second, microsecond)) => {
                time(*hour, *minute, *second, *microsecond).map(Cell::Time)
            }
            (_, Value::Time(..)) => Err("a TIME that is not within one day"),
            (_, Value::Bytes(_)) => Err(MALFORMED),
        };
        cell.unwrap_or_else(Cell::Unreadable)
    }
}

/// A number of at most 64 bits, the highest first.
fn bits(bytes: &[u8]) -> Result<Cell<'_>, &'static str> {
    let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    i64::try_from(number).map(Cell::Integer).map_err(|_| "64 bits, of which the highest is set")
}

/// A date of the calendar. MariaDB and MySQL also store `0000-00-00` and days such as `2000-00-00`.
fn date(year: u16, month: u8, day: u8) -> Result<Date, &'static str> {
    const ZERO: &str = "a zero date, or a date with a zero in it";
    let small = |part: u8| i8::try_from(part).map_err(|_| ZERO);
    let year = i16::try_from(year).map_err(|_| ZERO)?;
    Date::new(year, small(month)?, small(day)?).map_err(|_| ZERO)
}

fn time(hour: u8, minute: u8, second: u8, microsecond: u32) -> Result<Time, &'static str> {
    let small = |part: u8| i8::try_from(part).map_err(|_| MALFORMED);
    let nanoseconds = i32::try_from(microsecond).ok().and_then(|microsecond| microsecond.checked_mul(1_000));
    Time::new(small(hour)?, small(minute)?, small(second)?, nanoseconds.ok_or(MALFORMED)?)
        .map_err(|_| MALFORMED)
}

/// A TIMESTAMP comes in the session's zone, which is UTC. A DATETIME has none.
fn moment(reader: CellReader, time: DateTime) -> Result<Cell<'static>, &'static str> {
    if reader != CellReader::Timestamp {
        return Ok(Cell::DateTime(time));
    }
    jiff::tz::Offset::UTC.to_timestamp(time).map(Cell::Timestamp).map_err(|_| MALFORMED)
}
