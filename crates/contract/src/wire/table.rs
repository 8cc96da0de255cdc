//! `Table` is a mask as lookup tables of field numbers, which `keep` reads for every field. A message type
//! that is granted as a whole has one table, which refers to itself where the type contains itself.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{Kind, MessageDescriptor};

use super::node::{Node, Pass};
use super::shape::WireShape;

/// Field numbers below this are looked up by index. Higher numbers are few and are found by binary search.
const LOW: u32 = 64;

/// All tables of a mask; the first is that of the outermost message.
#[derive(Clone)]
pub(super) struct Table(Arc<[Fields]>);

/// What is kept of one message type.
#[derive(Clone, Default)]
struct Fields {
    /// Number → one more than the place in `kept`; 0 for none.
    low: Box<[u16]>,
    /// Numbers from [`LOW`] on, in order, with their places.
    high: Box<[(u32, u16)]>,
    kept: Box<[KeptField]>,
    /// Members with their oneofs, in order.
    oneofs: Box<[(u32, usize)]>,
}

/// What happens to the values of one field that is kept.
#[derive(Clone, Copy)]
pub(super) struct KeptField {
    pub(super) shape: WireShape,
    /// The table of what is kept inside, if it is a message.
    inner: Option<usize>,
    /// Occurrences of the field are merged to one message before filtering, because a oneof member in one
    /// occurrence can unset a member of another.
    pub(super) merged: bool,
}

/// One table, with the others in reach.
#[derive(Clone, Copy)]
pub(super) struct Message<'t> {
    tables: &'t [Fields],
    at: usize,
}

impl Table {
    pub(super) fn new(root: &Node) -> Self {
        let mut builder = Builder { tables: Vec::new(), known: HashMap::new() };
        builder.node(root);
        Self(builder.tables.into())
    }

    pub(super) fn root(&self) -> Message<'_> {
        Message { tables: &self.0, at: 0 }
    }
}

impl<'t> Message<'t> {
    /// Nothing if the field is not kept.
    pub(super) fn of(self, number: u32) -> Option<&'t KeptField> {
        let fields = &self.tables[self.at];
        let place = if number < LOW {
            fields.low.get(number as usize)?.checked_sub(1)?
        } else {
            let found = fields.high.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            fields.high[found].1
        };
        fields.kept.get(usize::from(place))
    }

    /// What is kept inside of a field, if it is a message.
    pub(super) fn inside(self, kept: &KeptField) -> Option<Self> {
        kept.inner.map(|at| Self { at, ..self })
    }

    /// The oneof that a field belongs to, where that matters: a mask may drop one member and keep another.
    pub(super) fn oneof(self, number: u32) -> Option<usize> {
        let oneofs = &self.tables[self.at].oneofs;
        let found = oneofs.binary_search_by_key(&number, |(member, _)| *member).ok()?;
        Some(oneofs[found].1)
    }
}

struct Builder {
    tables: Vec<Fields>,
    /// Types of which everything is kept, by their full names.
    known: HashMap<String, usize>,
}

impl Builder {
    fn node(&mut self, node: &Node) -> usize {
        // The place is taken before the inner tables are made, so that the outermost message is table 0.
        let at = self.place();
        let fields = node.fields.iter().map(|(number, rule)| {
            let (inner, merged) = match &rule.pass {
                Pass::Value => (None, false),
                Pass::Message(node) => (Some(self.node(node)), rule.single),
                Pass::Known(message) => (Some(self.all(message)), false),
            };
            (*number, KeptField { shape: rule.shape, inner, merged })
        });
        let fields: Vec<_> = fields.collect();
        self.tables[at] =
            Fields::new(&fields, node.oneofs.iter().map(|(member, oneof)| (*member, *oneof)).collect());
        at
    }

    /// Everything that the type knows. Its oneofs do not matter: no member is dropped.
    fn all(&mut self, message: &MessageDescriptor) -> usize {
        if let Some(at) = self.known.get(message.full_name()) {
            return *at;
        }
        let at = self.place();
        // Noted before the fields are visited, so that a type that contains itself finds its own table.
        self.known.insert(message.full_name().to_owned(), at);
        let fields = message.fields().map(|field| {
            let inner = match field.kind() {
                Kind::Message(inner) => Some(self.all(&inner)),
                _ => None,
            };
            (field.number(), KeptField { shape: WireShape::of(&field), inner, merged: false })
        });
        let fields: Vec<_> = fields.collect();
        self.tables[at] = Fields::new(&fields, Box::default());
        at
    }

    fn place(&mut self) -> usize {
        self.tables.push(Fields::default());
        self.tables.len() - 1
    }
}

impl Fields {
    fn new(fields: &[(u32, KeptField)], oneofs: Box<[(u32, usize)]>) -> Self {
        let places = || fields.iter().zip(0_u16..).map(|((number, _), place)| (*number, place));
        let last = places().map(|(number, _)| number).filter(|number| *number < LOW).max();
        let mut low = vec![0; last.map_or(0, |last| last as usize + 1)];
        for (number, place) in places().filter(|(number, _)| *number < LOW) {
            low[number as usize] = place + 1;
        }
        let mut high: Vec<(u32, u16)> = places().filter(|(number, _)| *number >= LOW).collect();
        high.sort_unstable();
        let kept = fields.iter().map(|(_, kept)| *kept).collect();
        Self { low: low.into(), high: high.into(), kept, oneofs }
    }
}
