//! `Encoder` encodes one row as one protobuf message, directly from the database's values. A type, range or
//! NULL that does not fit the contract is a failure with the field's path. The type map is in
//! `docs/reference/adapter.md`.

use std::sync::Arc;

use bytes::BufMut;
use chapar_contract::JALALI_YEARS;
use chapar_model::Reason;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::conversion::Conversion;
use crate::shape::{Cardinality, Form, Leaf};
use crate::source::{Cell, Failure, Row};

/// Bytes of a gRPC frame before its message: a flag and the length.
const FRAME_HEAD: usize = 5;
/// The largest message of an answer, in bytes: gRPC's clients take 4 MiB unless told otherwise.
pub(crate) const LARGEST_MESSAGE: usize = 4 * 1024 * 1024 - 1024;

/// Turns rows with a fixed list of columns into bytes.
#[derive(Debug)]
pub(crate) struct Encoder {
    cardinality: Cardinality,
    nodes: Vec<Node>,
    keys: Vec<(usize, Option<Conversion>, Arc<str>)>,
}

#[derive(Debug)]
struct Node {
    number: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Message(Vec<Node>),
    Value { column: usize, form: Form, conversion: Option<Conversion>, presence: bool, path: Arc<str> },
}

impl Encoder {
    /// An encoder for rows whose column `i` fills `leaves[i]`.
    pub(crate) fn new<'a>(cardinality: Cardinality, leaves: impl Iterator<Item = &'a Leaf>) -> Self {
        let mut encoder = Self { cardinality, nodes: Vec::new(), keys: Vec::new() };
        for (column, leaf) in leaves.enumerate() {
            if leaf.key {
                encoder.keys.push((column, leaf.conversion.clone(), Arc::clone(&leaf.path)));
            }
            insert(&mut encoder.nodes, &leaf.numbers, column, leaf);
        }
        encoder
    }

    /// Appends the row to `out`: bare for [`Cardinality::One`], as an element for a list, as a gRPC frame for
    /// a stream. `scratch` is only there to be reused.
    pub(crate) fn encode(
        &self,
        row: &dyn Row,
        subject: Option<&str>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        // The subject is compared before anything is encoded, so that no byte of another citizen's row enters
        // the buffer.
        if let Some(subject) = subject {
            self.is_about(row, subject)?;
        }
        // Encoded into a buffer of its own, because the length comes before the message.
        scratch.clear();
        fields(&self.nodes, row, scratch)?;
        // Checked for each row: a gRPC client refuses a larger message, and the error belongs to the row that
        // causes it.
        if scratch.len() > LARGEST_MESSAGE {
            return Err(Failure::new(Reason::MessageTooLarge, "one row is larger than a message may be"));
        }
        match self.cardinality {
            Cardinality::One => {}
            Cardinality::List(number) => {
                encode_key(number, WireType::LengthDelimited, out);
                encode_varint(scratch.len() as u64, out);
            }
            Cardinality::Stream => {
                out.reserve(FRAME_HEAD + scratch.len());
                out.put_u8(0);
                out.put_u32(u32::try_from(scratch.len()).unwrap_or(u32::MAX));
            }
        }
        out.extend_from_slice(scratch);
        Ok(())
    }

    /// A statement that answers with another person's record is worse than one that fails.
    fn is_about(&self, row: &dyn Row, subject: &str) -> Result<(), Failure> {
        let is_subject = |cell: Cell<'_>| match cell {
            Cell::Text(text) => text == subject.as_bytes(),
            Cell::Integer(number) => subject.parse() == Ok(number),
            _ => false,
        };
        let same = |column: usize, conversion: Option<&Conversion>| match conversion {
            None => is_subject(row.cell(column)),
            Some(conversion) => {
                conversion.apply(row.cell(column)).is_ok_and(|converted| is_subject(converted.cell()))
            }
        };
        // A conversion that fails counts as another subject: a key that cannot be read proves nothing.
        match self.keys.iter().find(|(column, conversion, _)| !same(*column, conversion.as_ref())) {
            None => Ok(()),
            Some((_, _, path)) => Err(Failure::of_field(
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
        let content = Content::Value {
            column,
            form: leaf.form.clone(),
            conversion: leaf.conversion.clone(),
            presence: leaf.presence,
            path: Arc::clone(&leaf.path),
        };
        nodes.push(Node { number: *number, content });
        return;
    }
    // Fields of one message are gathered in one node, else the message would be written several times.
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
            Content::Value { column, form, conversion, presence, path } => {
                converted(node.number, form, conversion.as_ref(), *presence, row.cell(*column), out)
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

/// Why a column's value could not fill the field of `leaf`, if it could not; for a look at what a table
/// holds.
pub(crate) fn fault(leaf: &Leaf, cell: Cell<'_>, scratch: &mut Vec<u8>) -> Option<&'static str> {
    scratch.clear();
    converted(1, &leaf.form, leaf.conversion.as_ref(), leaf.presence, cell, scratch)
        .err()
        .map(|(_, detail)| detail)
}

fn converted(
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

/// `doubts`: whether a year that a date of our time has in the Jalali calendar only is taken for one.
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
            let date = date(text(cell)?).ok_or(unreadable("not a date `YYYY-MM-DD`, `YYYY-MM` or `YYYY`"))?;
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
            // protobuf's nanoseconds count forward, also before 1970
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
            // The whole text is parsed again as a date, which knows how many days a month has.
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
