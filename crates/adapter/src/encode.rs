//! `Encoder` encodes one row as one protobuf message, directly from the database's values. A type, range or
//! NULL that does not fit the contract is a failure with the field's path. The encoding of one value is in
//! `value`, the type map in `docs/reference/types.md`.

mod value;

use std::sync::Arc;

use bytes::BufMut;
use chapar_model::Reason;
use prost::encoding::{WireType, encode_key, encode_varint};

use self::value::{converted, delimited};
use crate::conversion::Conversion;
use crate::form::Form;
use crate::shape::{Cardinality, Leaf};
use crate::source::{Cell, Failure, Row, RowBuffer, RowSink};

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
    content: NodeContent,
}

#[derive(Debug)]
enum NodeContent {
    Message(Vec<Node>),
    Value(Value),
}

/// A field that a column fills.
#[derive(Debug)]
struct Value {
    column: usize,
    form: Form,
    conversion: Option<Conversion>,
    presence: bool,
    is_sparse: bool,
    path: Arc<str>,
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

    /// Checks that the row is about the subject. A statement that answers with another person's record is
    /// worse than one that fails.
    fn is_about(&self, row: &dyn Row, subject: &str) -> Result<(), Failure> {
        let is_subject = |cell: Cell<'_>| match cell {
            Cell::Text(text) => text == subject.as_bytes(),
            Cell::Integer(number) => subject.parse() == Ok(number),
            Cell::Decimal(digits) => subject == digits,
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

impl RowSink for Encoder {
    /// Writes the row bare for [`Cardinality::One`], as an element for a list, as a gRPC frame for a stream.
    fn write(&self, row: &dyn Row, subject: Option<&str>, buffer: &mut RowBuffer) -> Result<(), Failure> {
        // The subject is compared before anything is encoded, so that no byte of another citizen's row enters
        // the buffer.
        if let Some(subject) = subject {
            self.is_about(row, subject)?;
        }
        // Encoded into a buffer of its own, because the length comes before the message.
        let RowBuffer { bytes: out, absent, scratch, .. } = buffer;
        scratch.clear();
        let mut is_partial = false;
        fields(&self.nodes, row, scratch, &mut |column, is_sparse| {
            absent.column(column);
            is_partial |= !is_sparse;
        })?;
        absent.partial += u32::from(is_partial);
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
                // The length is at most `LARGEST_MESSAGE`, so the default is never used.
                out.put_u32(u32::try_from(scratch.len()).unwrap_or(u32::MAX));
            }
        }
        out.extend_from_slice(scratch);
        buffer.row();
        Ok(())
    }
}

fn insert(nodes: &mut Vec<Node>, numbers: &[u32], column: usize, leaf: &Leaf) {
    let Some((number, rest)) = numbers.split_first() else { return };
    if rest.is_empty() {
        let content = NodeContent::Value(Value {
            column,
            form: leaf.form.clone(),
            conversion: leaf.conversion.clone(),
            presence: leaf.presence,
            is_sparse: leaf.is_sparse,
            path: Arc::clone(&leaf.path),
        });
        nodes.push(Node { number: *number, content });
        return;
    }
    // Fields of one message are gathered in one node, else the message would be written several times.
    let same = nodes.iter_mut().find(|node| node.number == *number);
    match same {
        Some(Node { content: NodeContent::Message(inner), .. }) => insert(inner, rest, column, leaf),
        _ => {
            let mut inner = Vec::new();
            insert(&mut inner, rest, column, leaf);
            nodes.push(Node { number: *number, content: NodeContent::Message(inner) });
        }
    }
}

/// Appends the fields of one message. `absent` is told each column that is NULL, and whether it is sparse.
fn fields(
    nodes: &[Node],
    row: &dyn Row,
    out: &mut Vec<u8>,
    absent: &mut dyn FnMut(usize, bool),
) -> Result<(), Failure> {
    for node in nodes {
        match &node.content {
            // An outer join without a match gives NULL in every column of the message.
            NodeContent::Message(inner) if is_null(inner, row) => each_value(inner, &mut |value| {
                absent(value.column, value.is_sparse);
            }),
            NodeContent::Message(inner) => {
                let mut message = Vec::new();
                fields(inner, row, &mut message, absent)?;
                delimited(node.number, &message, out);
            }
            NodeContent::Value(value) => {
                let cell = row.cell(value.column);
                if matches!(cell, Cell::Null) {
                    absent(value.column, value.is_sparse);
                }
                converted(node.number, &value.form, value.conversion.as_ref(), value.presence, cell, out)
                    .map_err(|(reason, detail)| Failure::of_field(reason, Arc::clone(&value.path), detail))?;
            }
        }
    }
    Ok(())
}

fn each_value(nodes: &[Node], look: &mut dyn FnMut(&Value)) {
    for node in nodes {
        match &node.content {
            NodeContent::Message(inner) => each_value(inner, look),
            NodeContent::Value(value) => look(value),
        }
    }
}

/// A message of which every column is NULL is unset.
fn is_null(nodes: &[Node], row: &dyn Row) -> bool {
    nodes.iter().all(|node| match &node.content {
        NodeContent::Message(inner) => is_null(inner, row),
        NodeContent::Value(value) => matches!(row.cell(value.column), Cell::Null),
    })
}

/// Why a column's value cannot fill the field of `leaf`, or `None` if it can. It is used on samples of a
/// table.
pub(crate) fn fault(leaf: &Leaf, cell: Cell<'_>, scratch: &mut Vec<u8>) -> Option<&'static str> {
    scratch.clear();
    converted(1, &leaf.form, leaf.conversion.as_ref(), leaf.presence, cell, scratch)
        .err()
        .map(|(_, detail)| detail)
}
