//! A refusal, for the person at the terminal and for scripts.

use std::fmt::Write as _;
use std::time::Duration;

use chapar_model::header;
use serde::Serialize;
use tonic::Status;
use tonic_types::StatusExt as _;

/// What the bus said instead of an answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Refusal {
    /// The gRPC status number.
    #[serde(skip)]
    pub(super) number: u8,
    /// Its name, e.g. `PERMISSION_DENIED`.
    pub(super) code: String,
    /// The word of the catalogue; empty if the other end is not a bus.
    pub(super) reason: String,
    /// One sentence.
    pub(super) message: String,
    /// The sentence in the language asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) localized: Option<String>,
    /// Request fields at fault, and the rule each breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<(String, String)>,
    /// Limits reached: whose, and how much.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) limits: Vec<(String, String)>,
    /// When a retry can help.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub(super) retry_after: Option<Duration>,
    /// Pages about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) help: Vec<String>,
    /// The bus's name of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) call_id: Option<String>,
    /// The record of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<String>,
}

fn seconds<S: serde::Serializer>(wait: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(wait.unwrap_or_default().as_secs_f64())
}

impl Refusal {
    /// What a status and its details say. `call_id` is that of the headers, if they came before.
    pub(super) fn from_status(status: &Status, call_id: Option<String>) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
        let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let limits = details.quota_failure().map(|quota| quota.violations.as_slice()).unwrap_or_default();
        let text = |name| super::exchange::text(status.metadata(), name);
        Self {
            number: u8::try_from(i32::from(status.code())).unwrap_or(2),
            code: code_name(status.code()).to_owned(),
            reason,
            message: status.message().to_owned(),
            localized: details.localized_message().map(|localized| localized.message.clone()),
            fields: fields.iter().map(|field| (field.field.clone(), field.description.clone())).collect(),
            limits: limits.iter().map(|limit| (limit.subject.clone(), limit.description.clone())).collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            help: details
                .help()
                .map(|help| help.links.iter().map(|link| link.url.clone()).collect())
                .unwrap_or_default(),
            call_id: call_id.or_else(|| text(header::CALL_ID)),
            entry: text(header::ENTRY),
        }
    }

    /// Several short lines, the first with code and reason.
    pub(super) fn text(&self) -> String {
        let mut text = format!("refused: {}", self.code);
        if !self.reason.is_empty() {
            let _ = write!(text, " {}", self.reason);
        }
        let mut line = |label: &str, value: &str| {
            let _ = write!(text, "\n  {label:<8} {value}");
        };
        line("why", &self.message);
        if let Some(localized) = &self.localized {
            line("", localized);
        }
        for (path, rule) in &self.fields {
            line("field", &format!("{path}: {rule}"));
        }
        for (whose, much) in &self.limits {
            line("limit", &format!("{whose}: {much}"));
        }
        if let Some(wait) = self.retry_after {
            line("retry", &format!("in {}", span(wait)));
        }
        if let Some(entry) = &self.entry {
            line("entry", entry);
        }
        if let Some(call_id) = &self.call_id {
            line("call", call_id);
        }
        for page in &self.help {
            line("help", page);
        }
        text
    }
}

/// A status by its name in gRPC's own list.
fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
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
        let refusal = Refusal {
            number: 8,
            code: "RESOURCE_EXHAUSTED".to_owned(),
            reason: "RATE_LIMITED".to_owned(),
            message: "over the grant's rate".to_owned(),
            fields: vec![("national_id".to_owned(), "is not an Iranian national id".to_owned())],
            limits: vec![("welfare-getperson".to_owned(), "20 calls per second, burst 40".to_owned())],
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
        assert_eq!(refusal.text(), expected);
        assert_eq!(serde_json::to_value(&refusal).unwrap()["retry_after"], 0.64);
    }

    #[test]
    fn short_times_have_a_decimal_and_long_ones_are_seconds() {
        let shown =
            [3_100, 640_000, 3_200_000, 120_000_000].map(|micros| span(Duration::from_micros(micros)));
        assert_eq!(shown, ["3.1 ms", "640 ms", "3.2 s", "120 s"]);
    }
}
