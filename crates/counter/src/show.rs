//! This module makes a message of an answer into lines for people: each field with its label, its value with
//! Jalali dates and enum values in words. Labels and words are the contract's; without them a field has its
//! own name.

mod value;

use chapar_contract::{Label, is_inside_path, is_key, label_of_field};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use chapar_model::Language;

/// One line of a card.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) value: String,
    /// Whether the value is a number or a code, which reads from left to right in any language.
    pub(crate) is_code: bool,
}

/// Maximum depth of messages in messages. The line of what is deeper says that there is more.
const MAX_DEPTH: usize = 4;

/// The lines of a message, without the citizen's own id, which stands above them all. `disclosed` are the
/// paths of the fields that the grant gives.
pub(crate) fn lines(
    message: &DynamicMessage,
    subject: &str,
    disclosed: &[String],
    language: Language,
) -> Vec<Line> {
    let mut lines = Lines { subject, disclosed, language, lines: Vec::new() };
    lines.message(message, &Within { path: "", label: "", depth: 0 });
    lines.lines
}

struct Lines<'a> {
    subject: &'a str,
    disclosed: &'a [String],
    language: Language,
    lines: Vec<Line>,
}

/// Where a message stands in the answer.
struct Within<'a> {
    /// Path of its field with a dot after it; empty for the answer itself.
    path: &'a str,
    /// The same in words.
    label: &'a str,
    depth: usize,
}

impl Lines<'_> {
    fn message(&mut self, message: &DynamicMessage, within: &Within<'_>) {
        for field in message.descriptor().fields() {
            let path = format!("{}{}", within.path, field.name());
            if message.has_field(&field) || self.is_told_by_default(&field, &path) {
                self.field(&field, &message.get_field(&field), &path, within);
            }
        }
    }

    /// Whether a field that is not on the wire has a value all the same: `false` and 0 are not sent where the
    /// type has no `optional` (protobuf's implicit presence). An enum's 0 says by convention that there is no
    /// value, and so does an empty text.
    fn is_told_by_default(&self, field: &FieldDescriptor, path: &str) -> bool {
        let is_value = !matches!(field.kind(), Kind::Enum(_) | Kind::String | Kind::Bytes | Kind::Message(_));
        let is_given = || self.disclosed.iter().any(|given| given == path || is_inside_path(given, path));
        is_value && !field.supports_presence() && !field.is_list() && is_given()
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value, path: &str, within: &Within<'_>) {
        let label = format!("{}{}", within.label, field_label(field, self.language));
        let (path, in_words) = (format!("{path}."), format!("{label} · "));
        let inner = Within { path: &path, label: &in_words, depth: within.depth + 1 };
        match value {
            // Another field with the citizen's id says something of them: that they own the land.
            Value::String(text) if within.depth == 0 && is_key(field) && text == self.subject => {}
            Value::List(items) => {
                // Many records of a kind are told apart by what is in them.
                let inner = Within { label: "", ..inner };
                items.iter().for_each(|item| self.item(field, item, &label, &inner));
            }
            Value::Map(entries) => {
                let kind = field.kind();
                let value_field = kind.as_message().map(|entry| entry.map_entry_value_field());
                let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key_text(key), value)).collect();
                entries.sort_by(|one, other| one.0.cmp(&other.0));
                for (key, value) in entries {
                    let label = format!("{label} · {}", self.language.digits(&key));
                    self.item(value_field.as_ref().unwrap_or(field), value, &label, &inner);
                }
            }
            single => self.item(field, single, &label, &inner),
        }
    }

    /// One value of a field; `inner` is where its own fields stand, if it is a message.
    fn item(&mut self, field: &FieldDescriptor, value: &Value, label: &str, inner: &Within<'_>) {
        let (value, is_code) = match value {
            Value::Message(message) => match value::well_known(message, self.language) {
                // A date, a time and the like are one value.
                Some(text) => (text, true),
                None if inner.depth <= MAX_DEPTH => return self.message(message, inner),
                None => {
                    let deep = self.language.pick("… (در این صفحه نمی‌گنجد)", "… (too deep for this page)");
                    (deep.to_owned(), false)
                }
            },
            single => value::shown(field, single, self.language),
        };
        self.lines.push(Line { label: label.to_owned(), value, is_code });
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn field_label(field: &FieldDescriptor, language: Language) -> String {
    match label_of_field(field) {
        Some(label) => pick(&label, language),
        None => readable(field.name()),
    }
}

fn pick(label: &Label, language: Language) -> String {
    language.pick(&label.fa, &label.en).to_owned()
}

fn readable(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests;
