//! `Pointer` is a JSON Pointer (RFC 6901), evaluated on JSON text that is not parsed into values: numbers
//! keep all of their digits, and what no pointer leads to is only skipped.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The steps from the whole document to one value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pointer(Vec<String>);

/// The document cannot be followed: an object on the way names one member twice, so that two readers could
/// find two values, or has a name that is not Unicode.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Ambiguous;

impl Pointer {
    /// Parses `/a/b/0`; the empty text is the whole document.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(rest) = text.strip_prefix('/') else {
            let fault = "a JSON Pointer begins with `/` (RFC 6901); the empty one is the whole answer";
            return if text.is_empty() { Ok(Self(Vec::new())) } else { Err(fault) };
        };
        let step = |step: &str| {
            // RFC 6901 §3: `~` stands only in `~0` and `~1`.
            let is_escaped = step.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            is_escaped.then(|| step.replace("~1", "/").replace("~0", "~"))
        };
        let steps: Option<_> = rest.split('/').map(step).collect();
        steps.map(Self).ok_or("in a JSON Pointer `~` is written `~0` and `/` inside of a name `~1`")
    }

    /// The value that it leads to; `None` if there is none.
    ///
    /// # Errors
    /// [`Ambiguous`] if an object on the way has the member twice.
    pub(crate) fn find<'j>(&self, json: &'j RawValue) -> Result<Option<&'j RawValue>, Ambiguous> {
        let mut at = json;
        for step in &self.0 {
            let mut reader = serde_json::Deserializer::from_str(at.get());
            let found = match at.get().as_bytes().first() {
                Some(b'{') => reader.deserialize_map(Member(step)).map_err(|_| Ambiguous)?,
                // RFC 6901 §4: an index is digits without leading zeros.
                Some(b'[') if step == "0" || !step.starts_with(['0', '+']) => match step.parse() {
                    Ok(index) => reader.deserialize_seq(Element(index)).map_err(|_| Ambiguous)?,
                    Err(_) => None,
                },
                _ => None,
            };
            let Some(found) = found else { return Ok(None) };
            at = found;
        }
        Ok(Some(at))
    }
}

/// Finds the member of this name.
struct Member<'n>(&'n str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.0))? {
            if !is_it {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(found)
    }
}

/// Whether a member's name is this one.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Finds the element of this number.
struct Element(usize);

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut number = 0;
        let mut found = None;
        while let Some(element) = elements.next_element()? {
            if number == self.0 {
                found = Some(element);
            }
            number += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'j>(pointer: &str, json: &'j str) -> Result<Option<&'j str>, Ambiguous> {
        let json: &RawValue = serde_json::from_str(json).unwrap();
        Pointer::parse(pointer).unwrap().find(json).map(|found| found.map(RawValue::get))
    }

    #[test]
    fn the_examples_of_rfc_6901_are_found() {
        let json = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7,
            "m~n": 8}"#;
        for (pointer, value) in [
            ("/foo", r#"["bar", "baz"]"#),
            ("/foo/0", "\"bar\""),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(find(pointer, json), Ok(Some(value)), "{pointer}");
        }
        assert_eq!(find("", json), Ok(Some(json)));
        for nothing in ["/nothing", "/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/foo/0/x", "/foo/x", "//x"] {
            assert_eq!(find(nothing, json), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn a_number_keeps_all_of_its_digits() {
        let digits = "123456789012345678901234567890.123456789012345678901234567890";
        assert_eq!(find("/a", &format!("{{\"a\": {digits}}}")), Ok(Some(digits)));
    }

    #[test]
    fn a_member_that_stands_twice_is_ambiguous_where_it_is_asked_for() {
        assert_eq!(find("/a", r#"{"a": 1, "b": 2, "\u0061": 3}"#), Err(Ambiguous));
        assert_eq!(find("/b", r#"{"a": 1, "b": 2, "a": 3}"#), Ok(Some("2")));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["a", "#/a", "/a~", "/a~2"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }
}
