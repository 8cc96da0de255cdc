//! `RowMapper` encodes a row of any cells as the message of a method, as an adapter does with a row of a
//! database. It is for a fuzz target: which cells a database gives depends on it, and the mapping has to bear
//! all of them.

use bytes::Bytes;
use chapar_contract::Method;
use chapar_model::Reason;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};
use prost_reflect::MessageDescriptor;

use crate::encode::Encoder;
use crate::shape::{Cardinality, Shape};
use crate::source::{Cell, Row, RowBuffer, RowSink as _};

/// The mapping of one method's rows, every field selected.
#[derive(Debug)]
pub struct RowMapper {
    encoder: Encoder,
    message: MessageDescriptor,
    columns: usize,
}

impl RowMapper {
    /// The mapping of a method that answers with one row.
    ///
    /// # Errors
    /// One sentence for each field that no column can fill.
    pub fn new(method: &Method) -> Result<Self, Vec<String>> {
        let Shape { message, leaves, .. } = Shape::new(method)?;
        let encoder = Encoder::new(Cardinality::One, leaves.iter());
        Ok(Self { encoder, message, columns: leaves.len() })
    }

    /// The message that a row becomes.
    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    /// Encodes the row that `bytes` describe: for each column a kind, and its value.
    ///
    /// # Errors
    /// The reason that a caller is told.
    pub fn map(&self, bytes: &[u8]) -> Result<Bytes, Reason> {
        let mut rest = bytes;
        let row = Described((0..self.columns).map(|_| Value::read(&mut rest)).collect());
        let mut out = RowBuffer::default();
        self.encoder.write(&row, None, &mut out).map_err(|failure| failure.reason)?;
        Ok(Bytes::from(out.bytes))
    }
}

struct Described(Vec<Value>);

impl Row for Described {
    fn cell(&self, index: usize) -> Cell<'_> {
        self.0.get(index).map_or(Cell::Null, Value::cell)
    }
}

/// A value of any kind that a source gives.
enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Decimal(String),
    Text(Vec<u8>),
    Blob(Vec<u8>),
    Date(Date),
    Time(Time),
    DateTime(DateTime),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    Unreadable,
}

impl Value {
    fn read(bytes: &mut &[u8]) -> Self {
        let kind = take(bytes, 1).first().copied().unwrap_or_default();
        match kind % 13 {
            0 => Self::Null,
            1 => Self::Bool(kind >= 128),
            2 => Self::Integer(number(bytes)),
            3 => Self::Real(f64::from_bits(number(bytes).cast_unsigned())),
            4 => Self::Decimal(String::from_utf8_lossy(text(bytes)).into_owned()),
            5 => Self::Text(text(bytes).to_vec()),
            6 => Self::Blob(text(bytes).to_vec()),
            7 => Self::Date(moment(bytes).date()),
            8 => Self::Time(moment(bytes).time()),
            9 => Self::DateTime(moment(bytes)),
            10 => Self::Timestamp(timestamp(bytes)),
            11 => Self::Duration(SignedDuration::from_nanos(number(bytes))),
            _ => Self::Unreadable,
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Bool(value) => Cell::Bool(*value),
            Self::Integer(value) => Cell::Integer(*value),
            Self::Real(value) => Cell::Real(*value),
            Self::Decimal(value) => Cell::Decimal(value),
            Self::Text(value) => Cell::Text(value),
            Self::Blob(value) => Cell::Blob(value),
            Self::Date(value) => Cell::Date(*value),
            Self::Time(value) => Cell::Time(*value),
            Self::DateTime(value) => Cell::DateTime(*value),
            Self::Timestamp(value) => Cell::Timestamp(*value),
            Self::Duration(value) => Cell::Duration(*value),
            Self::Unreadable => Cell::Unreadable("a value that no field can hold"),
        }
    }
}

/// The next bytes, fewer at the end.
fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (first, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    first
}

fn number(bytes: &mut &[u8]) -> i64 {
    let mut number = [0; 8];
    for (to, from) in number.iter_mut().zip(take(bytes, 8)) {
        *to = *from;
    }
    i64::from_le_bytes(number)
}

/// A length in one byte, and so many.
fn text<'b>(bytes: &mut &'b [u8]) -> &'b [u8] {
    let length = take(bytes, 1).first().copied().unwrap_or_default();
    take(bytes, usize::from(length))
}

fn timestamp(bytes: &mut &[u8]) -> Timestamp {
    let at = number(bytes);
    let range = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    let second = if range.contains(&at) { at } else { at.rem_euclid(*range.end()) };
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn moment(bytes: &mut &[u8]) -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(timestamp(bytes))
}
