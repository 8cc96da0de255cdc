//! This module reads and writes messages in protobuf's JSON mapping
//! (<https://protobuf.dev/programming-guides/json/>), for callers that send JSON. What is not known is
//! refused with its path, and what two readers could read otherwise is refused too. No value of a message is
//! in an error.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Track;

/// Longest name of a member that is told in an error: what is longer is no field's name, and may be a value.
const LONGEST_NAME: usize = 64;

/// JSON that is no such message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{path}` {rule}")]
pub struct JsonError {
    /// Where, as the sender wrote it: `address.city`, `items[0].name`; `.` for the whole message.
    pub path: String,
    /// What is wrong there, without a value.
    pub rule: &'static str,
}

/// Most members and elements of one message in JSON. Each costs hundreds of bytes while it is read.
const MAX_PARTS: u32 = 10_000;

/// The message that JSON says, in protobuf's wire format, fields in the order of their numbers: the same JSON
/// is always the same bytes.
///
/// # Errors
/// [`JsonError`] for text that is no JSON (RFC 8259), for a member that is no field or stands twice, for a
/// value that its field cannot hold, and for what has no one form in bytes: a map of several entries, and
/// `google.protobuf.Any`.
pub fn from_json(message: &MessageDescriptor, json: &[u8]) -> Result<Bytes, JsonError> {
    read(message, json, Order::Kept)
}

/// As [`from_json`], for a message whose bytes nobody compares: a map may have several entries, and so may a
/// `google.protobuf.Struct`, whose integers are at most 2^53, since its numbers are doubles.
///
/// # Errors
/// As [`from_json`].
pub fn from_unordered_json(message: &MessageDescriptor, json: &[u8]) -> Result<Bytes, JsonError> {
    read(message, json, Order::Free)
}

fn read(message: &MessageDescriptor, json: &[u8], order: Order) -> Result<Bytes, JsonError> {
    let fault = |path: String, rule| JsonError { path, rule };
    let whole = |rule| fault(".".to_owned(), rule);
    if serde_json::from_slice::<serde::de::IgnoredAny>(json).is_err() {
        return Err(whole("is no JSON (RFC 8259)"));
    }
    if let Err(error) = JsonShape::of_message(message).read(json, order) {
        let text = error.to_string();
        let known = [TWICE, SEVERAL, ANY, TOO_MANY, INEXACT, TOO_DEEP]
            .into_iter()
            .find(|rule| text.starts_with(rule));
        return Err(whole(known.unwrap_or("nests too deeply, or has a text or number that no field holds")));
    }
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut track = Track::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let read = DynamicMessage::deserialize_with_options(message.clone(), tracked, &options);
    let read = read.map_err(|error| {
        // The error's own text may hold the value, and is only looked at.
        let text = error.to_string();
        let path = track.path().to_string();
        match text.strip_prefix(UNKNOWN) {
            Some(rest) => {
                let name = rest.split('\'').next().unwrap_or_default();
                let path = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
                fault(printable(message, &path), "is no field")
            }
            None => fault(printable(message, &path), "is no value of its field"),
        }
    })?;
    Ok(read.encode_to_vec().into())
}

/// A message as JSON, with the names of protobuf's JSON mapping (lowerCamelCase); fields that are not set are
/// left out.
///
/// # Errors
/// [`JsonError`] if the bytes are no such message, or hold a time or duration that JSON has no form for.
pub fn to_json(message: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    let fault = |rule| JsonError { path: ".".to_owned(), rule };
    let message = DynamicMessage::decode(message.clone(), bytes).map_err(|_| fault("is no such message"))?;
    serde_json::to_vec(&message).map_err(|_| fault("has a value that JSON has no form for"))
}

/// Whether no object in a JSON text, at any depth up to 128, has a member twice: another reader could take
/// the other one (RFC 8259 §4).
pub fn is_distinct(json: &str) -> bool {
    JsonShape::Plain.read(json.as_bytes(), Order::Kept).is_ok()
}

/// Makes a path safe to print: names of fields only. An unknown name appears only as the last part and only
/// if it looks like a name; a map's keys never appear, because they are values.
fn printable(message: &MessageDescriptor, path: &str) -> String {
    // `.` is the path of the whole message.
    if path == "." {
        return path.to_owned();
    }
    let parts: Vec<&str> = path.split('.').collect();
    let mut shape = JsonShape::Message(message.clone());
    let mut shown = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let (name, places) = part.split_at(part.find('[').unwrap_or(part.len()));
        let is_field = matches!(&shape, JsonShape::Message(message) if field(message, name).is_some());
        let is_last = number + 1 == parts.len() && matches!(shape, JsonShape::Message(_));
        let is_told = (is_field || (is_last && is_name(name))) && are_places(places);
        shown.push(if is_told { *part } else { "?" });
        shape = shape.member(name.to_owned()).1;
    }
    shown.join(".")
}

/// Whether a text is `[NUMBER]`, any number of times.
fn are_places(text: &str) -> bool {
    let is_number = |place: &str| {
        let digits = place.strip_suffix(']').unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    text.is_empty() || text.split('[').skip(1).all(is_number)
}

fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The field that a member of this name means: by its name in JSON, or its own.
fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// How prost-reflect tells of a member that is no field, before its name.
const UNKNOWN: &str = "unrecognized field name '";
const TWICE: &str = "has an object with a member twice";
const SEVERAL: &str = "has a map of several entries, whose order JSON does not say: send it by gRPC";
const ANY: &str = "has a google.protobuf.Any, which is for gRPC";
const TOO_DEEP: &str = "has a google.protobuf.Struct that nests deeper than 32 levels";
/// Deepest JSON in a `Struct`: each level is three of protobuf's, of which its readers take a hundred.
const MAX_FREE_DEPTH: u32 = 32;
const INEXACT: &str =
    "has an integer over 2^53 in a google.protobuf.Struct, whose numbers are doubles: write it as text";
/// The largest integer up to which a double holds each.
const LARGEST_EXACT: u64 = 1 << 53;
const TOO_MANY: &str = "has more than 10,000 members and elements";

/// What a JSON value is read as, to find what two readers could read differently.
#[derive(Clone)]
enum JsonShape {
    /// Any JSON, whose objects have each member once.
    Plain,
    /// A message, or a list of them: each field stands once, by one of its two names.
    Message(MessageDescriptor),
    /// A map field with values of this shape: at most one entry.
    Map(Box<Self>),
    /// `google.protobuf.Struct` and its like: objects of at most one member, since they are maps.
    Free,
    Any,
}

/// Whether the order of a map's entries matters.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Order {
    Kept,
    Free,
}

impl JsonShape {
    fn read(self, json: &[u8], order: Order) -> Result<(), serde_json::Error> {
        let parts = Cell::new(0);
        Part { shape: self, order, free_depth: 0, parts: &parts }
            .deserialize(&mut serde_json::Deserializer::from_slice(json))
    }

    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Message(message) => Self::of_message(message),
            _ => Self::Plain,
        }
    }

    fn of_message(message: &MessageDescriptor) -> Self {
        match message.full_name() {
            "google.protobuf.Any" => Self::Any,
            "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => Self::Free,
            // The JSON of the others is a text, a number or a boolean.
            name if name.starts_with("google.protobuf.") => Self::Plain,
            _ => Self::Message(message.clone()),
        }
    }

    /// What a member's name stands for, by which a second one is known, and its value.
    fn member(&self, name: String) -> (String, Self) {
        let message = match self {
            Self::Plain | Self::Any => return (name, Self::Plain),
            Self::Free => return (name, Self::Free),
            Self::Map(values) => return (name, (**values).clone()),
            Self::Message(message) => message,
        };
        let Some(field) = field(message, &name) else { return (name, Self::Plain) };
        let value = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                Self::Map(Box::new(Self::of(&entry.map_entry_value_field().kind())))
            }
            kind => Self::of(&kind),
        };
        (field.name().to_owned(), value)
    }
}

/// A part of a JSON text, and how many parts were seen.
struct Part<'p> {
    shape: JsonShape,
    order: Order,
    /// How deep it is in a `Struct`.
    free_depth: u32,
    parts: &'p Cell<u32>,
}

impl Part<'_> {
    fn inside(&self, shape: JsonShape) -> Self {
        let free_depth = if matches!(self.shape, JsonShape::Free) { self.free_depth + 1 } else { 0 };
        Self { shape, order: self.order, free_depth, parts: self.parts }
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.parts.set(self.parts.get().saturating_add(1));
        if self.free_depth > MAX_FREE_DEPTH {
            return Err(E::custom(TOO_DEEP));
        }
        match (self.parts.get() > MAX_PARTS, &self.shape) {
            // A part of an answer is looked at for its members only.
            (true, shape) if !matches!(shape, JsonShape::Plain) => Err(E::custom(TOO_MANY)),
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        match self.shape {
            JsonShape::Free if number > LARGEST_EXACT => Err(E::custom(INEXACT)),
            _ => Ok(()),
        }
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(self.inside(self.shape.clone()))?.is_some() {
            self.count()?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if matches!(self.shape, JsonShape::Any) {
            return Err(A::Error::custom(ANY));
        }
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            self.count()?;
            let (name, value) = self.shape.member(name);
            if !names.insert(name) {
                return Err(A::Error::custom(TWICE));
            }
            if names.len() > 1
                && self.order == Order::Kept
                && matches!(self.shape, JsonShape::Map(_) | JsonShape::Free)
            {
                return Err(A::Error::custom(SEVERAL));
            }
            map.next_value_seed(self.inside(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Contract;

    fn message() -> MessageDescriptor {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"syntax = "proto3";
            package t.v1;
            import "chapar/contract/v1/options.proto";
            service S { rpc Get(Ask) returns (Ask); }
            message Ask {
              string national_id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
              int64 count = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
              repeated Place places = 3;
              map<string, Place> by_name = 4 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
              map<int32, string> by_number = 5 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
              double share = 6 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
            }
            message Place { string city = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }"#;
        std::fs::create_dir_all(folder.path().join("t/v1")).unwrap();
        std::fs::write(folder.path().join("t/v1/t.proto"), text).unwrap();
        let contract = Contract::load(&folder.path().join("t")).unwrap();
        let service = contract.services().next().unwrap();
        service.methods().first().unwrap().input().clone()
    }

    #[test]
    fn a_message_is_the_same_by_json_names_and_by_its_own() {
        let message = message();
        let json = br#"{"nationalId": "0012", "count": "9007199254740993", "places": [{"city": "x"}, {}]}"#;
        let own = br#"{"places": [{"city": "x"}, {}], "national_id": "0012", "count": 9007199254740993}"#;
        let bytes = from_json(&message, json).unwrap();
        assert_eq!(bytes, from_json(&message, own).unwrap());
        let back = String::from_utf8(to_json(&message, &bytes).unwrap()).unwrap();
        let expected = r#"{"nationalId":"0012","count":"9007199254740993","places":[{"city":"x"},{}]}"#;
        assert_eq!(back, expected);
    }

    #[test]
    fn a_number_is_the_nearest_double_and_comes_back_as_itself() {
        let message = message();
        for number in ["2.1e65", "2.1000000000000001e65", "0.1", "5e-324", "9007199254740993"] {
            let bytes = from_json(&message, format!(r#"{{"share": {number}}}"#).as_bytes()).unwrap();
            let nearest: f64 = number.parse().unwrap();
            // Field 6, 8 bytes.
            assert_eq!(bytes, [&[0x31][..], &nearest.to_le_bytes()].concat(), "{number}");
            let back = to_json(&message, &bytes).unwrap();
            assert_eq!(from_json(&message, &back).unwrap(), bytes, "{number}");
        }
    }

    #[test]
    fn what_is_no_such_message_is_told_by_its_path_and_without_its_value() {
        let message = message();
        for (json, told) in [
            ("", "`.` is no JSON (RFC 8259)"),
            ("{", "`.` is no JSON (RFC 8259)"),
            ("{} {}", "`.` is no JSON (RFC 8259)"),
            ("[]", "`.` is no value of its field"),
            (r#"{"nationalId": 12345}"#, "`nationalId` is no value of its field"),
            (r#"{"count": "secret"}"#, "`count` is no value of its field"),
            (r#"{"places": [{"city": "x"}, {"cty": "secret"}]}"#, "`places[1].cty` is no field"),
            (r#"{"0012345678": 1}"#, "`?` is no field"),
            (r#"{"nationalId": "secret", "nationalId": "secret"}"#, "`.` has an object with a member twice"),
            (r#"{"nationalId": "a", "national_id": "secret"}"#, "`.` has an object with a member twice"),
            (r#"{"a[[b": 1}"#, "`?` is no field"),
            (r#"{"a[7]": 1}"#, "`a[7]` is no field"),
            (r#"{"byName": {"secret": {"x": 1}}}"#, "`byName.?.x` is no field"),
            (
                r#"{"byName": {"a": {}, "b": {}}}"#,
                "`.` has a map of several entries, whose order JSON does not say: send it by gRPC",
            ),
            (
                r#"{"byNumber": {"1": "a", "01": "b"}}"#,
                "`.` has a map of several entries, whose order JSON does not say: send it by gRPC",
            ),
            (r#"{"places": {"city": "a", "city": "secret"}}"#, "`.` has an object with a member twice"),
            (r#"{"places": [{"city": "a", "city": "b"}]}"#, "`.` has an object with a member twice"),
            (
                r#"{"nationalId": "\ud800"}"#,
                "`.` nests too deeply, or has a text or number that no field holds",
            ),
        ] {
            let error = from_json(&message, json.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, told, "{json}");
        }
        let many = format!(r#"{{"places": [{}]}}"#, vec!["{}"; 10_001].join(","));
        assert!(from_json(&message, many.as_bytes()).unwrap_err().to_string().contains("more than 10,000"));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(from_json(&message, deep.as_bytes()).is_err());
    }
}
