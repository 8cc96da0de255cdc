//! `Answered` is what the gateway has answered to an inquiry, part by part, with the types that the page
//! needs to show it. It is complete in itself, so that it can be shown while the gateway does not answer.

use chapar_client::{PartAnswer, PartEnd, Procedure, ProcedurePart, part_answer};
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};

/// Maximum size in bytes of an answer in memory. It is some thousand values: more than a clerk reads, and
/// than a poor line carries.
const MAX_BYTES: usize = 512 << 10;
/// What a value takes in memory beside its bytes.
const VALUE_BYTES: usize = 64;

/// The answer to an inquiry.
#[derive(Debug)]
pub(crate) struct Answered {
    /// As it was when it was asked.
    pub(crate) procedure: Procedure,
    /// In the order of the procedure.
    pub(crate) parts: Vec<AnsweredPart>,
    /// Size of all messages in memory, in bytes.
    bytes: usize,
}

/// One part of it.
#[derive(Debug)]
pub(crate) struct AnsweredPart {
    /// How the procedure describes it. A part that was added since the procedure was read has its id alone.
    pub(crate) described: ProcedurePart,
    pub(crate) messages: Vec<DynamicMessage>,
    /// None if the stream ended before the part did.
    pub(crate) end: Option<PartEnd>,
    /// The type of its messages, if it is known.
    pub(crate) output: Option<MessageDescriptor>,
    /// Why something that was answered, and disclosed, is not in `messages`.
    pub(crate) unshown: Option<Unshown>,
}

/// Why a message cannot be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unshown {
    /// It is not of the type that the contract has.
    Unreadable,
    /// With it the answer would be too long.
    TooLong,
}

impl AnsweredPart {
    /// Whether all of it was answered, and is shown.
    pub(crate) fn is_answered(&self) -> bool {
        let is_whole = self.end.as_ref().is_some_and(|end| end.refusal.is_none() && end.waits_for.is_empty());
        is_whole && self.unshown.is_none()
    }
}

impl Answered {
    /// The answer before anything of it has come. `output` knows the type that a method answers.
    pub(super) fn none_yet(
        procedure: &Procedure,
        output: impl Fn(&str) -> Option<MessageDescriptor>,
    ) -> Self {
        let parts = procedure.parts.iter().map(|part| AnsweredPart {
            described: part.clone(),
            messages: Vec::new(),
            end: None,
            output: output(&part.method),
            unshown: None,
        });
        Self { procedure: procedure.clone(), parts: parts.collect(), bytes: 0 }
    }

    /// Adds what has come of a part. The part is found by its id: the procedure may have changed since it was
    /// read.
    pub(super) fn take(&mut self, answer: PartAnswer) {
        let PartAnswer { id, answer, end, .. } = answer;
        let place = self.parts.iter().position(|part| part.described.id == id).unwrap_or_else(|| {
            let described = ProcedurePart { id, ..ProcedurePart::default() };
            let part =
                AnsweredPart { described, messages: Vec::new(), end: None, output: None, unshown: None };
            self.parts.push(part);
            self.parts.len() - 1
        });
        let room = MAX_BYTES - self.bytes;
        let part = &mut self.parts[place];
        match answer {
            Some(part_answer::Answer::Message(message)) => match part.add(&message, room) {
                Ok(bytes) => self.bytes += bytes,
                Err(unshown) => part.unshown = Some(unshown),
            },
            // It was not asked for.
            Some(part_answer::Answer::Json(_)) => part.unshown = Some(Unshown::Unreadable),
            None => {}
        }
        part.end = end.or(part.end.take());
    }

    /// How many parts were answered.
    pub(crate) fn count(&self) -> usize {
        self.parts.iter().filter(|part| part.is_answered()).count()
    }

    /// Size of all messages in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn of_size(bytes: usize) -> Self {
        Self { procedure: Procedure::default(), parts: Vec::new(), bytes }
    }

    #[cfg(test)]
    pub(crate) fn without_a_part() -> Self {
        let procedure = Procedure { parts: vec![ProcedurePart::default()], ..Procedure::default() };
        Self::none_yet(&procedure, |_| None)
    }
}

impl AnsweredPart {
    /// Adds a message that takes at most `room` bytes in memory; how many it takes.
    fn add(&mut self, message: &[u8], room: usize) -> Result<usize, Unshown> {
        if message.len() > room {
            return Err(Unshown::TooLong);
        }
        let output = self.output.clone().ok_or(Unshown::Unreadable)?;
        let decoded = DynamicMessage::decode(output, message).map_err(|_| Unshown::Unreadable)?;
        // A byte of a packed field is a value of its own, and a message without a field takes memory too.
        let bytes = message.len() + VALUE_BYTES * (1 + values_in(&decoded));
        if bytes > room {
            return Err(Unshown::TooLong);
        }
        self.messages.push(decoded);
        Ok(bytes)
    }
}

/// How many values a message has, those of messages inside among them.
fn values_in(message: &DynamicMessage) -> usize {
    fn count(value: &Value) -> usize {
        match value {
            Value::Message(message) => 1 + values_in(message),
            Value::List(items) => items.iter().map(count).sum(),
            Value::Map(entries) => entries.values().map(|value| 1 + count(value)).sum(),
            _ => 1,
        }
    }
    message.fields().map(|(_, value)| count(value)).sum()
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    /// A type that is there without a contract: `google.protobuf.Empty` has any fields as unknown ones.
    fn empty() -> MessageDescriptor {
        DescriptorPool::global().get_message_by_name("google.protobuf.Empty").unwrap()
    }

    fn answered(parts: &[&str]) -> Answered {
        let parts = parts.iter().map(|&id| ProcedurePart { id: id.to_owned(), ..ProcedurePart::default() });
        let procedure = Procedure { parts: parts.collect(), ..Procedure::default() };
        Answered::none_yet(&procedure, |_| Some(empty()))
    }

    fn of(id: &str, message: Option<Vec<u8>>, end: Option<PartEnd>) -> PartAnswer {
        PartAnswer { part: 0, id: id.to_owned(), answer: message.map(part_answer::Answer::Message), end }
    }

    #[test]
    fn parts_are_found_by_their_id_and_an_unknown_one_is_added() {
        let mut answered = answered(&["birth", "insurance"]);
        answered.take(of("insurance", Some(Vec::new()), Some(PartEnd::default())));
        answered.take(of("school", None, Some(PartEnd::default())));
        let ids: Vec<_> = answered.parts.iter().map(|part| part.described.id.as_str()).collect();
        assert_eq!(ids, ["birth", "insurance", "school"]);
        let messages: Vec<_> = answered.parts.iter().map(|part| part.messages.len()).collect();
        assert_eq!(messages, [0, 1, 0]);
        assert_eq!(answered.count(), 2);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_no_answer() {
        let mut answered = answered(&["birth"]);
        // A field's key without its value.
        answered.take(of("birth", Some(vec![0x08]), None));
        answered.take(of("birth", None, Some(PartEnd::default())));
        assert_eq!(answered.parts[0].unshown, Some(Unshown::Unreadable));
        assert_eq!(answered.count(), 0);
        // Nor is one whose type nobody knows.
        answered.take(of("school", Some(Vec::new()), Some(PartEnd::default())));
        assert_eq!(answered.parts[1].unshown, Some(Unshown::Unreadable));
    }

    #[test]
    fn an_answer_is_bounded_and_what_is_left_out_is_told() {
        let mut answered = answered(&["birth", "insurance"]);
        // Field 2, of the length's two bytes and 1000 bytes.
        let record: Vec<u8> = [&[0x12, 0xe8, 0x07][..], &[b'x'; 1000]].concat();
        (0..1000).for_each(|_| answered.take(of("birth", Some(record.clone()), None)));
        for part in ["birth", "insurance"] {
            answered.take(of(part, None, Some(PartEnd::default())));
        }
        assert!(answered.bytes() <= MAX_BYTES && answered.parts[0].messages.len() > 200);
        assert_eq!(answered.parts[0].unshown, Some(Unshown::TooLong));
        assert_eq!(answered.count(), 1, "the other part is whole");
    }

    #[test]
    fn values_count_and_not_only_bytes() {
        let type_of = |name: &str| DescriptorPool::global().get_message_by_name(name).unwrap();
        let mut answered = answered(&["birth"]);
        (0..100_000).for_each(|_| answered.take(of("birth", Some(Vec::new()), None)));
        assert!(answered.parts[0].messages.len() < 10_000, "messages without a field take memory too");
        // Each empty value of a list is two bytes on the wire.
        let procedure = Procedure { parts: vec![ProcedurePart::default()], ..Procedure::default() };
        let list = |_: &str| Some(type_of("google.protobuf.ListValue"));
        let mut answered = Answered::none_yet(&procedure, list);
        answered.take(of("", Some([0x0a, 0x00].repeat(50_000)), Some(PartEnd::default())));
        assert_eq!(answered.parts[0].unshown, Some(Unshown::TooLong));
    }
}
