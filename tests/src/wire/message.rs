//! This module writes random messages of a type by hand: fields in any order and number, split, packed or
//! not, with unknown fields among them, and tags and lengths that are not always as short as possible. It
//! also breaks messages.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::dice::Dice;

pub(super) fn message(dice: &mut Dice, message: &MessageDescriptor, depth: u32) -> Vec<u8> {
    let fields: Vec<FieldDescriptor> = message.fields().collect();
    let mut out = Vec::new();
    for _ in 0..dice.roll(7) {
        if fields.is_empty() || dice.once_in(5) {
            unknown(dice, message, &mut out, depth);
        } else {
            let field = dice.one(&fields).clone();
            known(dice, &field, &mut out, depth);
        }
    }
    out
}

fn known(dice: &mut Dice, field: &FieldDescriptor, out: &mut Vec<u8>, depth: u32) {
    let number = field.number();
    match field.kind() {
        Kind::Message(_) if depth == 0 => {}
        Kind::Message(inner) if field.is_group() => {
            tag(dice, out, number, 3);
            out.extend(message(dice, &inner, depth - 1));
            tag(dice, out, number, 4);
        }
        Kind::Message(inner) => {
            let value = message(dice, &inner, depth - 1);
            delimited(dice, out, number, &value);
        }
        Kind::String => {
            let text = *dice.one(&[
                "",
                "a",
                "علی",
                "0013542419",
                "long enough to need no more than one byte of length",
            ]);
            delimited(dice, out, number, text.as_bytes());
        }
        Kind::Bytes => {
            let bytes: Vec<u8> = (0..dice.roll(9)).map(|_| dice.bits() as u8).collect();
            delimited(dice, out, number, &bytes);
        }
        kind if field.is_list() && dice.once_in(2) => {
            let mut packed = Vec::new();
            for _ in 0..dice.roll(5) {
                scalar(dice, &kind, &mut packed);
            }
            delimited(dice, out, number, &packed);
        }
        kind => {
            let wire = match kind {
                Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
                Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
                _ => 0,
            };
            tag(dice, out, number, wire);
            scalar(dice, &kind, out);
        }
    }
}

fn scalar(dice: &mut Dice, kind: &Kind, out: &mut Vec<u8>) {
    let bits = match dice.roll(4) {
        0 => 0,
        1 => dice.bits() % 300,
        _ => dice.bits(),
    };
    match kind {
        // Of whole numbers: NaN is not equal to itself.
        Kind::Double => out.extend(f64::from(bits as i32).to_le_bytes()),
        Kind::Float => out.extend(f32::from(bits as i16).to_le_bytes()),
        Kind::Fixed64 | Kind::Sfixed64 => out.extend(bits.to_le_bytes()),
        Kind::Fixed32 | Kind::Sfixed32 => out.extend((bits as u32).to_le_bytes()),
        _ => varint(out, bits),
    }
}

fn unknown(dice: &mut Dice, of: &MessageDescriptor, out: &mut Vec<u8>, depth: u32) {
    let taken = |number: u32| of.get_field(number).is_some();
    let Some(number) = (0..8).map(|_| 1 + dice.roll(3000) as u32).find(|number| !taken(*number)) else {
        return;
    };
    match dice.roll(5) {
        0 => {
            tag(dice, out, number, 0);
            let bits = dice.bits();
            varint(out, bits);
        }
        1 => {
            tag(dice, out, number, 1);
            out.extend(dice.bits().to_le_bytes());
        }
        2 => {
            tag(dice, out, number, 5);
            out.extend((dice.bits() as u32).to_le_bytes());
        }
        3 if depth > 0 => {
            tag(dice, out, number, 3);
            unknown(dice, of, out, depth - 1);
            tag(dice, out, number, 4);
        }
        _ => delimited(dice, out, number, b"what no contract knows"),
    }
}

fn tag(dice: &mut Dice, out: &mut Vec<u8>, number: u32, wire: u32) {
    stretched(dice, out, u64::from(number << 3 | wire));
}

fn delimited(dice: &mut Dice, out: &mut Vec<u8>, number: u32, value: &[u8]) {
    tag(dice, out, number, 2);
    stretched(dice, out, value.len() as u64);
    out.extend(value);
}

/// A varint, now and then with a byte more than it needs.
fn stretched(dice: &mut Dice, out: &mut Vec<u8>, value: u64) {
    varint(out, value);
    if value < 1 << 21
        && dice.once_in(20)
        && let Some(last) = out.last_mut()
    {
        *last |= 0x80;
        out.push(0);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Changes some bytes.
pub(super) fn break_up(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..1 + dice.roll(6) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(7) {
            0 => bytes.insert(at, dice.bits() as u8),
            1 if at < bytes.len() => {
                bytes.remove(at);
            }
            2 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            3 if at < bytes.len() => bytes[at] = *dice.one(&[0x00, 0x7f, 0x80, 0xff, 0x0b, 0x0c, 0x1b]),
            4 => bytes.truncate(at),
            5 => {
                let from = dice.roll(bytes.len() + 1);
                let piece = bytes[from..(from + dice.roll(12)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let piece = [[0xff; 10].as_slice(), &[0x0b; 40], &[0x0a, 0x80, 0x80, 0x80, 0x80, 0x08]]
                    [dice.roll(3)]
                .to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
