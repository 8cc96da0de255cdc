//! An entry of a log that a question has found, as a line and as JSON.

use chapar_evidence::{Kind, Record};
use chapar_model::to_hex;
use jiff::Timestamp;
use serde_json::{Value, json};

/// An entry that matches.
pub(super) struct Found {
    pub(super) entry: String,
    pub(super) record: Record,
}

impl Found {
    pub(super) fn line(&self) -> String {
        let Self { entry, record } = self;
        let behalf = match record.on_behalf_of.as_str() {
            "" => String::new(),
            member => format!(" for {member}"),
        };
        let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let more = if record.count == 0 { String::new() } else { format!(" × {}", record.count) };
        format!(
            "{}  {}{behalf}  {}  {}  {}  {}{more}  {} fields  {entry}",
            time(record),
            record.caller,
            or_dash(&record.clerk),
            or_dash(&record.method),
            or_dash(&record.purpose),
            record.outcome,
            record.disclosed.len()
        )
    }

    pub(super) fn json(&self) -> Value {
        let Self { entry, record } = self;
        json!({
            "entry": entry,
            "time": time(record),
            "kind": kind(record),
            "call_id": to_hex(&record.call_id),
            "request_id": record.request_id,
            "attempt": record.attempt,
            "caller": record.caller,
            "on_behalf_of": record.on_behalf_of,
            "clerk": record.clerk,
            "case": record.case,
            "purpose": record.purpose,
            "method": record.method,
            "grant": record.grant,
            "disclosed": record.disclosed,
            "withheld": record.withheld,
            "messages": record.messages,
            "opening": (record.kind() == Kind::Close).then_some(record.opening),
            "outcome": record.outcome,
            "count": record.count,
            "trace_id": to_hex(&record.trace_id),
            "subject_pseudonym": to_hex(&record.subject_pseudonym),
        })
    }
}

/// When the call came in, in UTC.
fn time(record: &Record) -> String {
    let millis = i64::try_from(record.time_unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map_or_else(|_| "?".to_owned(), |time| format!("{time:.3}"))
}

fn kind(record: &Record) -> &'static str {
    match record.kind() {
        Kind::Unary => "unary",
        Kind::Open => "open",
        Kind::Close => "close",
        Kind::Refusal => "refusal",
        Kind::Lost => "lost",
        Kind::Unspecified => "unknown",
    }
}
