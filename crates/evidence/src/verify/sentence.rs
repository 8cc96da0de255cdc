//! This module renders a record as a sentence for a person: who, what, when and why. The sentence never has a
//! citizen's id.

use jiff::Timestamp;

use super::witnesses::Cosigned;
use crate::record::pb::{Kind, Record};

/// The sentence, with its full stop.
pub(super) fn tell(record: &Record) -> String {
    let milliseconds = i64::try_from(record.time_unix_ms).ok();
    let when =
        milliseconds.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let caller = &record.caller;
    let method = if record.method.is_empty() { "an unknown method" } else { &record.method };
    let purpose = if record.purpose.is_empty() { "no stated purpose" } else { &record.purpose };
    let mut why = String::new();
    if !record.on_behalf_of.is_empty() {
        why.push_str(&format!(" on behalf of {}", record.on_behalf_of));
    }
    why.push_str(&format!(" for {purpose}"));
    if !record.case.is_empty() {
        why.push_str(&format!(", case {}", record.case));
    }
    let fields = count(record.disclosed.len() as u64, "field");
    let outcome = &record.outcome;
    match record.kind() {
        // The gateway folds repeated refusals into one record, so that they do not fill the log.
        Kind::Refusal | Kind::Unspecified if record.count > 1 => {
            format!("on {when} {caller} was refused {} times {method}{why}: {outcome}.", record.count)
        }
        Kind::Refusal | Kind::Unspecified => {
            format!("on {when} {caller} was refused {method}{why}: {outcome}.")
        }
        Kind::Lost => {
            format!(
                "on {when} {} accepted that the entry that stood here was lost: {}.",
                record.clerk, record.case
            )
        }
        Kind::Unary => format!("on {when} {caller} received {fields} of {method}{why}."),
        Kind::Open => format!("on {when} {caller} began to receive {fields} of {method}{why}."),
        Kind::Close => {
            let messages = count(record.messages, "message");
            format!(
                "on {when} {caller} received {messages} with {fields} of {method}{why}; the stream ended {outcome}."
            )
        }
    }
}

/// Who cosigned a checkpoint, as the end of a sentence, and that `unchecked` signatures say nothing.
pub(super) fn cosigned(cosigned: &[Cosigned], unchecked: usize) -> String {
    let mut text = String::new();
    for (number, cosigned) in cosigned.iter().enumerate() {
        let before = if number == 0 { ", cosigned by" } else { " and" };
        text.push_str(&format!("{before} {cosigned}"));
    }
    if unchecked > 0 {
        text.push_str(&format!(" ({} of other keys not checked)", count(unchecked as u64, "signature")));
    }
    text
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
