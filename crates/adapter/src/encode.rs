//! One row becomes the bytes of one message, straight from the database's values: a type, range or NULL that does not fit
//! the contract is a failure with the field's path. The type map is `docs/reference/adapter.md`.

use std::sync::Arc;

use bytes::BufMut;
use chapar_model::Reason;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::shape::{Cardinality, Form, Leaf};
use crate::source::{Cell, Failure, Row};

/// Bytes of a gRPC frame before its message: a flag and the length.
const FRAME_HEAD: usize = 5;

/// Turns rows with a fixed list of columns into bytes.
#[derive(Debug)]
pub(crate) struct Encoder {
    cardinality: Cardinality,
    nodes: Vec<Node>,
    keys: Vec<(usize, Arc<str>)>,
}

#[derive(Debug)]
struct Node {
    number: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Message(Vec<Node>),
    Value { column: usize, form: Form, presence: bool, path: Arc<str> },
}

impl Encoder {
    /// An encoder for rows whose column `i` fills `leaves[i]`.
    pub(crate) fn new<'a>(cardinality: Cardinality, leaves: impl Iterator<Item = &'a Leaf>) -> Self {
        let mut encoder = Self { cardinality, nodes: Vec::new(), keys: Vec::new() };
        for (column, leaf) in leaves.enumerate() {
            if leaf.key {
                encoder.keys.push((column, Arc::clone(&leaf.path)));
            }
            insert(&mut encoder.nodes, &leaf.numbers, column, leaf);
        }
        encoder
    }

    /// Appends the row to `out`: bare for [`Cardinality::One`], as an element for a list, as a gRPC frame for a stream.
    /// `scratch` is only there to be reused.
    pub(crate) fn encode(
        &self,
        row: &dyn Row,
        subject: Option<&str>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if let Some(subject) = subject {
            self.is_about(row, subject)?;
        }
        scratch.clear();
        fields(&self.nodes, row, scratch)?;
        match self.cardinality {
            Cardinality::One => {}
            Cardinality::List(number) => {
                encode_key(number, WireType::LengthDelimited, out);
                encode_varint(scratch.len() as u64, out);
            }
            Cardinality::Stream => {
                let length = u32::try_from(scratch.len());
                out.reserve(FRAME_HEAD + scratch.len());
                out.put_u8(0);
                out.put_u32(length.map_err(|_| Failure::new(Reason::ValueUnreadable, "a row of more than 4 GiB"))?);
            }
        }
        out.extend_from_slice(scratch);
        Ok(())
    }

    /// A statement that answers with another person's record is worse than one that fails.
    fn is_about(&self, row: &dyn Row, subject: &str) -> Result<(), Failure> {
        let same = |column: usize| match row.cell(column) {
            Cell::Text(text) => text == subject.as_bytes(),
            Cell::Integer(number) => subject.parse() == Ok(number),
            _ => false,
        };
        match self.keys.iter().find(|(column, _)| !same(*column)) {
            None => Ok(()),
            Some((_, path)) => Err(Failure::of_field(
                Reason::SchemaDrift,
                Arc::clone(path),
                "the statement returned a row of another subject than the one asked for",
            )),
        }
    }
}

fn insert(nodes: &mut Vec<Node>, numbers: &[u32], column: usize, leaf: &Leaf) {
    let Some((number, rest)) = numbers.split_first() else { return };
    if rest.is_empty() {
        let (form, path) = (leaf.form.clone(), Arc::clone(&leaf.path));
        nodes.push(Node { number: *number, content: Content::Value { column, form, presence: leaf.presence, path } });
        return;
    }
    let same = nodes.iter_mut().find(|node| node.number == *number);
    match same {
        Some(Node { content: Content::Message(inner), .. }) => insert(inner, rest, column, leaf),
        _ => {
            let mut inner = Vec::new();
            insert(&mut inner, rest, column, leaf);
            nodes.push(Node { number: *number, content: Content::Message(inner) });
        }
    }
}

fn fields(nodes: &[Node], row: &dyn Row, out: &mut Vec<u8>) -> Result<(), Failure> {
    for node in nodes {
        match &node.content {
            Content::Message(inner) if is_null(inner, row) => {}
            Content::Message(inner) => {
                let mut message = Vec::new();
                fields(inner, row, &mut message)?;
                delimited(node.number, &message, out);
            }
            Content::Value { column, form, presence, path } => {
                value(node.number, form, *presence, row.cell(*column), out)
                    .map_err(|(reason, detail)| Failure::of_field(reason, Arc::clone(path), detail))?;
            }
        }
    }
    Ok(())
}

/// A message of which every column is NULL is unset.
fn is_null(nodes: &[Node], row: &dyn Row) -> bool {
    nodes.iter().all(|node| match &node.content {
        Content::Message(inner) => is_null(inner, row),
        Content::Value { column, .. } => matches!(row.cell(*column), Cell::Null),
    })
}

type Fault = (Reason, &'static str);

const fn unreadable(detail: &'static str) -> Fault {
    (Reason::ValueUnreadable, detail)
}

fn value(number: u32, form: &Form, presence: bool, cell: Cell<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    if matches!(cell, Cell::Null) {
        return if presence { Ok(()) } else { Err((Reason::NullInRequired, "NULL in a field without presence")) };
    }
    match form {
        Form::Bool => {
            let value = match integer::<i64>(cell)? {
                0 => false,
                1 => true,
                _ => return Err(unreadable("not 0 or 1")),
            };
            varint(number, value.into(), presence, out);
        }
        Form::Bytes => match cell {
            Cell::Blob(value) => bytes(number, value, presence, out),
            _ => return Err(unreadable("not a blob")),
        },
        Form::Date => {
            let date = date(text(cell)?).ok_or(unreadable("not a date `YYYY-MM-DD`, `YYYY-MM` or `YYYY`"))?;
            let mut message = Vec::new();
            for (number, part) in (1..).zip(date) {
                varint(number, part, false, &mut message);
            }
            delimited(number, &message, out);
        }
        Form::Double => {
            let value = real(cell)?;
            if presence || value.to_bits() != 0 {
                encode_key(number, WireType::SixtyFourBit, out);
                out.put_f64_le(value);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float column of the contract has a float's precision")]
        Form::Float => {
            let value = real(cell)? as f32;
            if presence || value.to_bits() != 0 {
                encode_key(number, WireType::ThirtyTwoBit, out);
                out.put_f32_le(value);
            }
        }
        Form::Enum(names) => {
            let value = match cell {
                Cell::Text(text) => std::str::from_utf8(text).ok().and_then(|name| names.get(name).copied()),
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
            // protobuf's nanoseconds count forward, also before 1970
            let (seconds, nanos) = match (time.as_second(), time.subsec_nanosecond()) {
                (seconds, nanos) if nanos < 0 => (seconds - 1, nanos + 1_000_000_000),
                normal => normal,
            };
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
        Cell::Integer(value) => T::try_from(value).map_err(|_| unreadable("outside the range of the field's type")),
        _ => Err(unreadable("not an integer")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "an integer column may fill a double; the reference page says so")]
fn real(cell: Cell<'_>) -> Result<f64, Fault> {
    match cell {
        Cell::Real(value) => Ok(value),
        Cell::Integer(value) => Ok(value as f64),
        _ => Err(unreadable("not a number")),
    }
}

fn text<'a>(cell: Cell<'a>) -> Result<&'a str, Fault> {
    match cell {
        Cell::Text(value) => std::str::from_utf8(value).map_err(|_| unreadable("not UTF-8")),
        _ => Err(unreadable("not text")),
    }
}

/// Year, month, day; a part that is not known is 0, as `google.type.Date` has it.
pub(crate) fn date(text: &str) -> Option<[u64; 3]> {
    let number = |text: &str, digits: usize| -> Option<u64> {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4).filter(|year| *year > 0)?;
    let month = parts.next().map(|part| number(part, 2).filter(|month| (1..=12).contains(month)));
    let day = parts.next().map(|part| number(part, 2));
    match (month, day, parts.next()) {
        (None, None, None) => Some([year, 0, 0]),
        (Some(Some(month)), None, None) => Some([year, month, 0]),
        (Some(Some(_)), Some(Some(_)), None) => {
            let date: jiff::civil::Date = text.parse().ok()?;
            Some([year, date.month().cast_unsigned().into(), date.day().cast_unsigned().into()])
        }
        _ => None,
    }
}

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

fn delimited(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}
