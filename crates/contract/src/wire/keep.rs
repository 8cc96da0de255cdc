//! `keep` is data minimisation: it copies the granted fields and drops every other field, known or unknown,
//! at any depth. Its time is proportional to the message, whatever an adapter sends.

use std::collections::BTreeMap;
use std::ops::Range;

use prost::encoding::encode_varint;

use super::read::{Field, Reader, Wire, WireError};
use super::table::Message;

/// Returns the granted bytes of a message in `pieces`, or `None` if all of it is granted. Protobuf reads the
/// pieces of a message as if they stood in a row.
pub(super) fn keep(
    message: Message<'_>,
    pieces: &[&[u8]],
    depth: usize,
) -> Result<Option<Vec<u8>>, WireError> {
    // The bound is that of `validate`, so that both refuse the same messages.
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut copy = Copying::default();
    for piece in pieces {
        let mut reader = Reader::new(piece);
        while let Some(field) = reader.next()? {
            copy.field(message, piece, field, depth)?;
        }
        // With a single piece the copy waits: if nothing is removed, the original bytes are used.
        if pieces.len() > 1 {
            copy.flush(piece);
        }
    }
    copy.finish(message, pieces.last().copied().unwrap_or_default(), depth)
}

#[derive(Default)]
struct Copying<'a> {
    out: Vec<u8>,
    /// The range of the piece that is kept but not copied yet. Neighbouring fields are copied together.
    next: Range<usize>,
    removed: bool,
    /// The pieces of embedded messages that are one message each, by field number.
    merged: BTreeMap<u32, Vec<&'a [u8]>>,
    chosen: BTreeMap<usize, Chosen>,
    /// Ranges of `out` that are removed at the end: values of oneof members that were unset later.
    dead: Vec<Range<usize>>,
}

/// The member of a oneof that came last, and where its values stand in the copy.
struct Chosen {
    number: u32,
    places: Vec<Range<usize>>,
}

impl<'a> Copying<'a> {
    fn field(
        &mut self,
        message: Message<'_>,
        piece: &'a [u8],
        field: Field,
        depth: usize,
    ) -> Result<(), WireError> {
        let number = field.number;
        let oneof = message.oneof(number);
        // The choice is noted before the grant is asked, because a member that is withheld still unsets the
        // granted ones.
        if let Some(oneof) = oneof {
            self.choose(oneof, number);
        }
        let Some(kept) = message.of(number) else {
            self.removed = true;
            return Ok(());
        };
        let value = piece.get(field.value).ok_or(WireError::Truncated)?;
        // The wire type is checked also of fields that are only copied, so that no byte passes that the
        // contract does not explain.
        kept.shape.check(field.wire, value)?;
        let start = self.out.len() + self.next.len();
        match message.inside(kept) {
            None => self.copy(piece, field.whole),
            // Several occurrences are merged first, so that the grant applies to the message that a decoder
            // would see.
            Some(_) if kept.merged => self.merged.entry(number).or_default().push(value),
            Some(inner) => match keep(inner, &[value], depth)? {
                None => self.copy(piece, field.whole),
                Some(value) => {
                    self.removed = true;
                    self.flush(piece);
                    put(&mut self.out, number, field.wire, &value);
                }
            },
        }
        // The range is kept, because a later member of the oneof takes this one out again.
        if let Some(chosen) = oneof.and_then(|oneof| self.chosen.get_mut(&oneof)) {
            chosen.place(start..self.out.len() + self.next.len());
        }
        Ok(())
    }

    /// Keeps bytes of the piece as they are.
    fn copy(&mut self, piece: &[u8], whole: Range<usize>) {
        if self.next.end == whole.start {
            self.next.end = whole.end;
        } else {
            self.flush(piece);
            self.next = whole;
        }
    }

    fn flush(&mut self, piece: &[u8]) {
        if self.out.capacity() == 0 {
            // One allocation is usually enough, because filtering makes a piece shorter.
            self.out.reserve(piece.len());
        }
        self.out.extend_from_slice(piece.get(std::mem::take(&mut self.next)).unwrap_or_default());
    }

    /// A member of a oneof unsets the others, whether it is kept or not.
    fn choose(&mut self, oneof: usize, number: u32) {
        let chosen = self.chosen.entry(oneof).or_insert(Chosen { number, places: Vec::new() });
        if chosen.number != number {
            let merged = self.merged.remove(&chosen.number).is_some();
            self.removed |= merged || !chosen.places.is_empty();
            self.dead.append(&mut chosen.places);
            chosen.number = number;
        }
    }

    /// `last`: the piece to which `next` refers.
    fn finish(
        mut self,
        message: Message<'_>,
        last: &[u8],
        depth: usize,
    ) -> Result<Option<Vec<u8>>, WireError> {
        // Messages that may have to be written as one, and how.
        let mut written = Vec::with_capacity(self.merged.len());
        for (number, pieces) in std::mem::take(&mut self.merged) {
            let Some(kept) = message.of(number) else { continue };
            let Some(inner) = message.inside(kept) else { continue };
            let value = match keep(inner, &pieces, depth)? {
                // Nothing was removed, so the pieces in a row are the merged message.
                None => pieces.concat(),
                Some(value) => {
                    self.removed = true;
                    value
                }
            };
            written.push((number, kept.shape.wire(), value));
        }
        if !self.removed {
            return Ok(None);
        }
        self.flush(last);
        for (number, wire, value) in written {
            put(&mut self.out, number, wire, &value);
        }
        Ok(Some(without(self.out, self.dead)))
    }
}

impl Chosen {
    fn place(&mut self, place: Range<usize>) {
        match self.places.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ if place.is_empty() => {}
            _ => self.places.push(place),
        }
    }
}

fn without(out: Vec<u8>, mut dead: Vec<Range<usize>>) -> Vec<u8> {
    if dead.is_empty() {
        return out;
    }
    dead.sort_unstable_by_key(|range| range.start);
    let mut left = Vec::with_capacity(out.len());
    let mut from = 0;
    for range in dead {
        left.extend_from_slice(out.get(from..range.start).unwrap_or_default());
        from = range.end;
    }
    left.extend_from_slice(out.get(from..).unwrap_or_default());
    left
}

/// Writes a message field with its filtered value.
fn put(out: &mut Vec<u8>, number: u32, wire: Wire, value: &[u8]) {
    // Wire types 3 and 4 open and close a group; 2 is length-delimited.
    if wire == Wire::Group {
        encode_varint(u64::from(number) << 3 | 3, out);
        out.extend_from_slice(value);
        encode_varint(u64::from(number) << 3 | 4, out);
    } else {
        encode_varint(u64::from(number) << 3 | 2, out);
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

/// The message without one of its fields, at the outermost level only.
pub(crate) fn without_field(message: &[u8], number: u32) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(message.len());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number != number {
            out.extend_from_slice(message.get(field.whole).ok_or(WireError::Truncated)?);
        }
    }
    Ok(out)
}
