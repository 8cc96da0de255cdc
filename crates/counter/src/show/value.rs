//! One value in words: numbers with the language's digits, enum values by their label, and the well-known
//! types that are one value to a reader (dates, times, amounts of money).

use chapar_contract::{jalali_of_gregorian, label_of_value};
use chapar_model::Language;
use jiff::Timestamp;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use super::{pick, readable};
use crate::words;

/// A value in words, and whether it reads from left to right. A message in a message is the caller's.
pub(super) fn shown(field: &FieldDescriptor, value: &Value, language: Language) -> (String, bool) {
    let number = |number: &dyn ToString| (language.digits(&number.to_string()), true);
    match value {
        Value::Bool(is) => (yes_or_no(*is, language).to_owned(), false),
        Value::EnumNumber(value) => (enum_word(field, *value, language), false),
        Value::String(text) => (language.digits(text), text.is_ascii()),
        Value::I32(value) => number(value),
        Value::I64(value) => number(value),
        Value::U32(value) => number(value),
        Value::U64(value) => number(value),
        Value::F32(value) => number(value),
        Value::F64(value) => number(value),
        // A photograph or a signature; a message is shown by its fields, and a list by its items.
        Value::Bytes(_) | Value::Message(_) | Value::Map(_) | Value::List(_) => {
            (language.pick("(در این صفحه نشان داده نمی‌شود)", "(not shown on this page)").to_owned(), false)
        }
    }
}

fn yes_or_no(is: bool, language: Language) -> &'static str {
    if is { language.pick("بله", "yes") } else { language.pick("خیر", "no") }
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

/// A message that is one value to a reader; nothing for any other, and for one that is out of its range.
pub(super) fn well_known(message: &DynamicMessage, language: Language) -> Option<String> {
    let integer = |name: &str| {
        let value = message.get_field_by_name(name)?;
        value.as_i64().or_else(|| value.as_i32().map(i64::from))
    };
    let text = |name: &str| message.get_field_by_name(name)?.as_str().map(str::to_owned);
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        "google.type.Date" => date(integer("year")?, integer("month")?, integer("day")?, language),
        "google.type.TimeOfDay" => {
            let [hours, minutes, seconds] = ["hours", "minutes", "seconds"].map(integer);
            let time = format!("{:02}:{:02}:{:02}", hours?, minutes?, seconds?);
            Some(language.digits(&time))
        }
        "google.type.Money" => {
            let amount = decimal(integer("units")?, integer("nanos")?)?;
            Some(language.digits(&format!("{amount} {}", text("currency_code")?)))
        }
        "google.type.Decimal" => Some(language.digits(&text("value")?)),
        "google.protobuf.Timestamp" => {
            let at = Timestamp::new(integer("seconds")?, i32::try_from(integer("nanos")?).ok()?).ok()?;
            Some(words::moment(at, language))
        }
        "google.protobuf.Duration" => {
            let seconds = decimal(integer("seconds")?, integer("nanos")?)?;
            Some(format!("{} {}", language.digits(&seconds), language.pick("ثانیه", "s")))
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
            let field = descriptor.get_field_by_name("value")?;
            Some(shown(&field, &message.get_field(&field), language).0)
        }
        _ => None,
    }
}

/// A number of units and billionths, which have the same sign (`google.type.Money`).
fn decimal(units: i64, nanos: i64) -> Option<String> {
    if nanos.abs() >= 1_000_000_000 || units.signum() * nanos.signum() < 0 {
        return None;
    }
    let sign = if units < 0 || nanos < 0 { "-" } else { "" };
    let units = units.unsigned_abs();
    Some(match format!("{:09}", nanos.abs()).trim_end_matches('0') {
        "" => format!("{sign}{units}"),
        fraction => format!("{sign}{units}.{fraction}"),
    })
}

/// A day in the language's calendar: Jalali in Persian, both in English, since papers of the office have the
/// Jalali one. Year 0, month 0 or day 0 is one that is not known (`google.type.Date`).
fn date(year: i64, month: i64, day: i64, language: Language) -> Option<String> {
    let gregorian = format!("{year:04}-{month:02}-{day:02}");
    let jalali =
        jalali_of_gregorian(i32::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    Some(match (jalali, language) {
        (Some(jalali), Language::Fa) => language.digits(&jalali),
        (Some(jalali), Language::En) => format!("{jalali} ({gregorian})"),
        (None, _) => gregorian,
    })
}
