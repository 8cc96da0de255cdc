//! This module compares minimisation with a reference over generated types: random schemas (proto2 and
//! proto3, nested, repeated, maps, oneofs, groups, packed or not), random masks, random messages with unknown
//! fields. The reference decodes with prost-reflect, clears what is not granted, and encodes. Every case is
//! made from its number alone, so that a failed one can be repeated.

mod dice;
mod message;
mod reference;
mod schema;

use bytes::Bytes;
use chapar_contract::wire::{FieldMask, validate};
use prost_reflect::{DynamicMessage, MessageDescriptor, prost::Message as _};

use dice::Dice;
pub use schema::schema;

/// Cases that share a schema: making one takes longer than a case.
const PER_SCHEMA: u64 = 128;

/// The type of a case.
#[derive(Clone)]
pub struct Case {
    /// Which it is.
    pub number: u64,
    message: MessageDescriptor,
    paths: Vec<String>,
}

/// What became of a case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Bytes were kept, and they are those of the reference.
    Kept,
    /// The bytes were refused, as the reference refuses them, or because a granted field does not fit its
    /// type.
    Refused,
}

/// Goes through the cases from `first` on, `count` of them.
///
/// # Panics
/// If one is not as the reference: with its number.
pub fn cases(first: u64, count: u64) -> [u64; 2] {
    let mut outcomes = [0, 0];
    let mut made: Option<(u64, Case)> = None;
    for number in first..first.saturating_add(count) {
        let of = number / PER_SCHEMA;
        let (_, case) = match &mut made {
            Some((schema, case)) if *schema == of => {
                case.number = number;
                (schema, case)
            }
            _ => {
                let (schema, case) = made.insert((of, Case::new(number)));
                (schema, case)
            }
        };
        outcomes[case.run() as usize] += 1;
    }
    outcomes
}

/// As [`cases`], with bytes that are broken at random: an answer, and never a panic; what is kept fits its
/// type, holds nothing unknown, needs no second pass and is no longer than what came.
///
/// # Panics
/// If one does not hold.
pub fn broken(first: u64, count: u64) -> [u64; 2] {
    let mut outcomes = [0, 0];
    let mut made: Option<(u64, Case)> = None;
    for number in first..first.saturating_add(count) {
        let of = number / PER_SCHEMA;
        let (_, case) = match &mut made {
            Some((schema, case)) if *schema == of => {
                case.number = number;
                (schema, case)
            }
            _ => {
                let (schema, case) = made.insert((of, Case::new(number)));
                (schema, case)
            }
        };
        outcomes[case.run_broken() as usize] += 1;
    }
    outcomes
}

impl Case {
    /// The case of a number.
    pub fn new(number: u64) -> Self {
        let message = schema(number / PER_SCHEMA);
        let paths = schema::paths(&message);
        Self { number, message, paths }
    }

    fn dice(&self) -> Dice {
        Dice::new(self.number ^ 0x5eed)
    }

    fn mask(&self, dice: &mut Dice) -> (Vec<&str>, FieldMask) {
        let most = self.paths.len().min(10);
        let chosen: Vec<&str> = (0..dice.roll(most + 1)).map(|_| dice.one(&self.paths).as_str()).collect();
        let mask = FieldMask::new(&self.message, &chosen).expect("paths of the type");
        (chosen, mask)
    }

    /// Compares one message with the reference.
    ///
    /// # Panics
    /// If what is kept is not what the reference keeps.
    pub fn run(&self) -> Outcome {
        let dice = &mut self.dice();
        let (chosen, mask) = self.mask(dice);
        let bytes = Bytes::from(message::message(dice, &self.message, 4));
        let at =
            || format!("case {}: {chosen:?} of {} in {bytes:02x?}", self.number, self.message.full_name());
        let kept = match mask.keep(&bytes) {
            Ok(kept) => kept,
            Err(error) => panic!("{error} in a message that is well formed; {}", at()),
        };
        let decoded =
            decode(&self.message, &kept).unwrap_or_else(|| panic!("what is kept cannot be read; {}", at()));
        let expected =
            reference::minimised(&self.message, &bytes, &chosen).unwrap_or_else(|| panic!("{}", at()));
        assert!(reference::normal(&decoded) == expected, "something else is kept; {}", at());
        self.is_whole(&mask, &bytes, &kept, &at);
        Outcome::Kept
    }

    fn run_broken(&self) -> Outcome {
        let dice = &mut self.dice();
        let (chosen, mask) = self.mask(dice);
        let mut bytes = message::message(dice, &self.message, 3);
        message::break_up(dice, &mut bytes);
        let bytes = Bytes::from(bytes);
        let at = || {
            format!("broken case {}: {chosen:?} of {} in {bytes:02x?}", self.number, self.message.full_name())
        };
        let valid = validate(&bytes, &self.message).is_ok();
        chapar_contract::wire::find(&bytes, &[1, 2]).ok();
        let Ok(kept) = mask.keep(&bytes) else {
            assert!(!valid, "a valid message is refused; {}", at());
            return Outcome::Refused;
        };
        self.is_whole(&mask, &bytes, &kept, &at);
        if valid {
            let decoded = decode(&self.message, &kept)
                .unwrap_or_else(|| panic!("what is kept cannot be read; {}", at()));
            // The reference has stricter views on some bytes that are well formed, e.g. in map entries.
            if let Some(expected) = reference::minimised(&self.message, &bytes, &chosen) {
                assert!(reference::same(&decoded, &expected), "something else is kept; {}", at());
            }
        }
        Outcome::Kept
    }

    /// What is kept fits its type, needs no second pass and is no longer than what came.
    fn is_whole(&self, mask: &FieldMask, bytes: &Bytes, kept: &Bytes, at: &dyn Fn() -> String) {
        assert!(kept.len() <= bytes.len(), "what is kept is longer than what came; {}", at());
        assert_eq!(validate(kept, &self.message), Ok(()), "what is kept does not fit its type; {}", at());
        let again = mask.keep(kept).expect("valid");
        assert!(
            again == *kept && (kept.is_empty() || again.as_ptr() == kept.as_ptr()),
            "a second pass removes more; {}",
            at()
        );
    }
}

fn decode(message: &MessageDescriptor, bytes: &Bytes) -> Option<DynamicMessage> {
    DynamicMessage::decode(message.clone(), bytes.clone()).ok()
}

/// Decode, clear, encode: what minimisation is compared with in the benchmark.
pub fn decode_clear_encode(message: &MessageDescriptor, bytes: &Bytes, paths: &[&str]) -> Vec<u8> {
    reference::cleared(message, bytes, paths).map(|message| message.encode_to_vec()).unwrap_or_default()
}
