//! This module makes a message of an answer into lines for people: each field with its label, its value with
//! Jalali dates and enum values in words. Labels and words are the contract's; without them a field has its
//! own name.

use chapar_contract::{Label, jalali_of_gregorian, label_of_field, label_of_value};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use crate::words::Language;

/// One line of a card.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) value: String,
    /// Whether the value is a number or a code, which reads from left to right in any language.
    pub(crate) is_code: bool,
}

/// Maximum depth of messages in messages; what is deeper is left out.
const MAX_DEPTH: usize = 4;

/// The lines of a message, without the citizen's own id, which stands above them all.
pub(crate) fn lines(message: &DynamicMessage, subject: &str, language: Language) -> Vec<Line> {
    let mut lines = Vec::new();
    add(message, subject, language, "", 0, &mut lines);
    lines
}

fn add(
    message: &DynamicMessage,
    subject: &str,
    language: Language,
    before: &str,
    depth: usize,
    lines: &mut Vec<Line>,
) {
    for (field, value) in message.fields() {
        let label = format!("{before}{}", field_label(&field, language));
        match value {
            Value::String(text) if text == subject => {}
            // A date, a time and the like are one value.
            Value::Message(inside) if date(inside, language).is_none() && depth < MAX_DEPTH => {
                add(inside, subject, language, &format!("{label} · "), depth + 1, lines);
            }
            Value::List(items) => {
                for item in items {
                    match item {
                        Value::Message(inside) if date(inside, language).is_none() && depth < MAX_DEPTH => {
                            add(inside, subject, language, "", depth + 1, lines);
                        }
                        single => push(&field, &label, single, language, lines),
                    }
                }
            }
            single => push(&field, &label, single, language, lines),
        }
    }
}

fn push(field: &FieldDescriptor, label: &str, value: &Value, language: Language, lines: &mut Vec<Line>) {
    if let Some((value, is_code)) = shown(field, value, language) {
        lines.push(Line { label: label.to_owned(), value, is_code });
    }
}

/// A value in words, and whether it reads from left to right.
fn shown(field: &FieldDescriptor, value: &Value, language: Language) -> Option<(String, bool)> {
    Some(match value {
        Value::Bool(is) => {
            let word = if *is { language.pick("بله", "yes") } else { language.pick("خیر", "no") };
            (word.to_owned(), false)
        }
        Value::EnumNumber(number) => (enum_word(field, *number, language), false),
        Value::Message(message) => (date(message, language)?, true),
        // Bytes are nothing to read.
        Value::Bytes(_) | Value::Map(_) | Value::List(_) => return None,
        Value::String(text) => {
            let is_code = text.is_ascii();
            (language.digits(text), is_code)
        }
        Value::I32(number) => (language.digits(&number.to_string()), true),
        Value::I64(number) => (language.digits(&number.to_string()), true),
        Value::U32(number) => (language.digits(&number.to_string()), true),
        Value::U64(number) => (language.digits(&number.to_string()), true),
        Value::F32(number) => (language.digits(&number.to_string()), true),
        Value::F64(number) => (language.digits(&number.to_string()), true),
    })
}

fn field_label(field: &FieldDescriptor, language: Language) -> String {
    match label_of_field(field) {
        Some(label) => pick(&label, language),
        None => readable(field.name()),
    }
}

fn enum_word(field: &FieldDescriptor, number: i32, language: Language) -> String {
    let Kind::Enum(names) = field.kind() else { return number.to_string() };
    let Some(value) = names.get_value(number) else { return language.digits(&number.to_string()) };
    match label_of_value(&value) {
        Some(label) => pick(&label, language),
        // `LIFE_STATUS_ALIVE` of `LifeStatus` is `alive`.
        None => {
            let name = value.name().to_lowercase();
            let prefix = snake(names.name());
            readable(name.strip_prefix(&format!("{prefix}_")).unwrap_or(&name))
        }
    }
}

fn pick(label: &Label, language: Language) -> String {
    language.pick(&label.fa, &label.en).to_owned()
}

fn readable(name: &str) -> String {
    name.replace('_', " ")
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (place, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// A `google.type.Date` in the language's calendar: Jalali in Persian, both in English, since papers of the
/// office have the Jalali one.
fn date(message: &DynamicMessage, language: Language) -> Option<String> {
    if message.descriptor().full_name() != "google.type.Date" {
        return None;
    }
    let part = |name: &str| message.get_field_by_name(name).and_then(|value| value.as_i32());
    let (year, month, day) = (part("year")?, part("month")?, part("day")?);
    let gregorian = format!("{year:04}-{month:02}-{day:02}");
    let jalali = jalali_of_gregorian(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    Some(match (jalali, language) {
        (Some(jalali), Language::Fa) => language.digits(&jalali),
        (Some(jalali), Language::En) => format!("{jalali} ({gregorian})"),
        (None, _) => gregorian,
    })
}
