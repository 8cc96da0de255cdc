//! This module formats a refusal for the person at the terminal and for scripts.

use std::fmt::Write as _;
use std::time::Duration;

use chapar_client::{Refusal, Violation};
use chapar_model::Code;
use serde::Serialize;

/// A refusal in the JSON of `chapar call --output json`.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    /// The name of the gRPC status, e.g. `PERMISSION_DENIED`.
    code: &'a str,
    /// The word of the catalogue; empty if the other end is not a bus.
    reason: &'a str,
    /// One sentence.
    message: &'a str,
    /// The sentence in the language asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    localized: Option<&'a str>,
    /// Request fields at fault, and the rule each breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(&'a str, &'a str)>,
    /// Limits reached: whose, and how much.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<(&'a str, &'a str)>,
    /// When a retry can help, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
    /// Pages about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    help: Vec<&'a str>,
    /// The bus's name of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    /// The record of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a str>,
}

/// The refusal for scripts.
pub(super) fn document(refusal: &Refusal) -> Document<'_> {
    Document {
        code: refusal.code_name(),
        reason: &refusal.reason,
        message: &refusal.message,
        localized: refusal.localized.as_deref(),
        fields: pairs(&refusal.violations),
        limits: pairs(&refusal.limits),
        retry_after: refusal.retry_after.map(|wait| wait.as_secs_f64()),
        help: refusal.help.iter().map(String::as_str).collect(),
        call_id: refusal.call_id.as_deref(),
        entry: refusal.entry.as_deref(),
    }
}

fn pairs(violations: &[Violation]) -> Vec<(&str, &str)> {
    violations.iter().map(|violation| (violation.subject.as_str(), violation.rule.as_str())).collect()
}

/// The refusal for people: several short lines, the first with code and reason.
pub(super) fn text(refusal: &Refusal) -> String {
    let mut text = format!("refused: {}", refusal.code_name());
    if !refusal.reason.is_empty() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, " {}", refusal.reason);
    }
    // Labels are padded to one width, so that the values stand in a column.
    let mut line = |label: &str, value: &str| {
        let _ = write!(text, "\n  {label:<8} {value}");
    };
    line("why", &refusal.message);
    if let Some(localized) = &refusal.localized {
        line("", localized);
    }
    for Violation { subject, rule } in &refusal.violations {
        line("field", &format!("{subject}: {rule}"));
    }
    for Violation { subject, rule } in &refusal.limits {
        line("limit", &format!("{subject}: {rule}"));
    }
    if let Some(wait) = refusal.retry_after {
        line("retry", &format!("in {}", span(wait)));
    }
    if let Some(entry) = &refusal.entry {
        line("entry", entry);
    }
    if let Some(call_id) = &refusal.call_id {
        line("call", call_id);
    }
    for page in &refusal.help {
        line("help", page);
    }
    text
}

/// The refusal that a gateway would have sent, for a deadline that passed on this side first.
pub(super) fn late(call_id: Option<String>, message: &str) -> Refusal {
    Refusal { code: Code::DeadlineExceeded as u8, message: message.to_owned(), call_id, ..Refusal::default() }
}

/// A duration as a person reads it: `640 ms`, `3.2 s`.
pub(super) fn span(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 1000.0 { format!("{} ms", tidy(millis)) } else { format!("{} s", tidy(millis / 1000.0)) }
}

fn tidy(number: f64) -> String {
    if number < 100.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_which_field_when_to_retry_and_where_to_read() {
        let violation =
            |subject: &str, rule: &str| Violation { subject: subject.to_owned(), rule: rule.to_owned() };
        let refusal = Refusal {
            code: 8,
            reason: "RATE_LIMITED".to_owned(),
            message: "over the grant's rate".to_owned(),
            violations: vec![violation("national_id", "is not an Iranian national id")],
            limits: vec![violation("welfare-getperson", "20 calls per second, burst 40")],
            retry_after: Some(Duration::from_millis(640)),
            help: vec!["https://bus.example/errors/RATE_LIMITED".to_owned()],
            ..Refusal::default()
        };
        let expected = "\
refused: RESOURCE_EXHAUSTED RATE_LIMITED
  why      over the grant's rate
  field    national_id: is not an Iranian national id
  limit    welfare-getperson: 20 calls per second, burst 40
  retry    in 640 ms
  help     https://bus.example/errors/RATE_LIMITED";
        assert_eq!(text(&refusal), expected);
        let expected = serde_json::json!({
            "code": "RESOURCE_EXHAUSTED",
            "reason": "RATE_LIMITED",
            "message": "over the grant's rate",
            "fields": [["national_id", "is not an Iranian national id"]],
            "limits": [["welfare-getperson", "20 calls per second, burst 40"]],
            "retry_after": 0.64,
            "help": ["https://bus.example/errors/RATE_LIMITED"],
        });
        assert_eq!(serde_json::to_value(document(&refusal)).unwrap(), expected);
    }

    #[test]
    fn short_times_have_a_decimal_and_long_ones_are_seconds() {
        let shown =
            [3_100, 640_000, 3_200_000, 120_000_000].map(|micros| span(Duration::from_micros(micros)));
        assert_eq!(shown, ["3.1 ms", "640 ms", "3.2 s", "120 s"]);
    }
}
