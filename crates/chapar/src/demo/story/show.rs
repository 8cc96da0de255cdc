//! This module formats the story: times, tables that stay aligned with Persian text in them, and answers in
//! one line.

use std::time::Duration;

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};
use unicode_width::UnicodeWidthStr as _;

/// The longest answer that is shown, in columns.
const WIDEST: usize = 62;

/// Milliseconds with three decimals.
pub(in crate::demo) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A time as a person reads it: `3.1 ms`, `2.4 s`.
pub(in crate::demo) fn span(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 1e3 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1e3) }
}

/// Rows under a heading, each column as wide as its widest cell on the screen.
pub(super) fn table<const N: usize>(heading: &[String; N], rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in std::iter::once(heading).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |row: &[String; N]| {
        let cells =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    let rule = "─".repeat(widths.iter().sum::<usize>() + 3 * (N - 1));
    std::iter::once(line(heading)).chain(std::iter::once(rule)).chain(rows.iter().map(line)).collect()
}

/// The values of an answer in one line, without the `subject` that was asked for; of many messages the first,
/// and how many there are.
pub(super) fn brief(messages: &[DynamicMessage], subject: &str) -> String {
    let inner: Vec<DynamicMessage>;
    let messages = match messages {
        [one] => match repeated(one) {
            Some(items) => {
                inner = items;
                &inner
            }
            None => messages,
        },
        _ => messages,
    };
    let Some(first) = messages.first() else { return "nothing".to_owned() };
    let mut words = Vec::new();
    collect(first, subject, &mut words);
    // An answer without values is a `false`, e.g. for an account that is another person's.
    let text = if words.is_empty() { "no".to_owned() } else { words.join(" · ") };
    match messages.len() {
        1 => clip(text, WIDEST),
        count => format!("{count} rows: {}", clip(text, WIDEST - 9)),
    }
}

/// Field names in one line.
pub(super) fn names(fields: &[String]) -> String {
    clip(fields.join(", "), WIDEST)
}

/// The messages of the one repeated field that is all a response has.
fn repeated(message: &DynamicMessage) -> Option<Vec<DynamicMessage>> {
    let (field, value) = message.fields().next()?;
    let items = value.as_list().filter(|_| field.is_list() && message.descriptor().fields().len() == 1)?;
    items.iter().map(|item| item.as_message().cloned()).collect()
}

fn collect(message: &DynamicMessage, subject: &str, words: &mut Vec<String>) {
    for (field, value) in message.fields() {
        match value {
            Value::Bool(true) => words.push(format!("{}: yes", field.name())),
            // False is the default and says little in one line.
            Value::Bool(false) => {}
            Value::EnumNumber(number) => words.extend(enum_word(&field, *number)),
            Value::String(text) if text == subject => {}
            Value::String(text) => words.push(text.clone()),
            Value::Message(date) if date.descriptor().full_name() == "google.type.Date" => {
                words.push(day(date))
            }
            Value::Message(inner) => collect(inner, subject, words),
            Value::I32(number) => words.push(format!("{} {number}", field.name())),
            Value::U32(number) => words.push(format!("{} {number}", field.name())),
            Value::I64(number) => words.push(format!("{} {number}", field.name())),
            Value::F64(number) => words.push(format!("{} {number}", field.name())),
            _ => {}
        }
    }
}

/// An enum's value without the enum's name: `COVERAGE_STATUS_ACTIVE` is `active`.
fn enum_word(field: &FieldDescriptor, number: i32) -> Option<String> {
    let kind = field.kind();
    let kind = kind.as_enum()?;
    let zero = kind.get_value(0)?;
    let value = kind.get_value(number)?;
    let prefix = zero.name().trim_end_matches("UNSPECIFIED");
    Some(value.name().trim_start_matches(prefix).to_lowercase().replace('_', " "))
}

fn day(date: &DynamicMessage) -> String {
    let part = |name| date.get_field_by_name(name).and_then(|value| value.as_i32()).unwrap_or_default();
    format!("{:04}-{:02}-{:02}", part("year"), part("month"), part("day"))
}

fn clip(text: String, columns: usize) -> String {
    if text.width() <= columns {
        return text;
    }
    // Width is counted in columns of the screen: a Persian letter has several bytes and one column.
    let mut clipped = String::new();
    for letter in text.chars() {
        if clipped.width() >= columns - 1 {
            break;
        }
        clipped.push(letter);
    }
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_straight_on_the_screen_with_persian_and_joiners_in_them() {
        let rows =
            [["جهاد کشاورزی", "1"], ["بیمه‌شده", "2"], ["Agriculture", "3"]].map(|row| row.map(str::to_owned));
        let lines = table(&["agency", "n"].map(str::to_owned), &rows);
        let columns: Vec<usize> = lines[2..].iter().map(|line| line.width()).collect();
        assert!(columns.iter().all(|width| *width == columns[0]), "{lines:#?}");
    }

    #[test]
    fn a_long_answer_is_cut_at_the_edge_and_says_so() {
        let text = clip("گندم ".repeat(40), 20);
        assert!(text.width() <= 20 && text.ends_with('…'));
    }

    #[test]
    fn times_have_their_unit() {
        assert_eq!([3_140, 2_400_000].map(|micros| span(Duration::from_micros(micros))), ["3.1 ms", "2.4 s"]);
    }
}
