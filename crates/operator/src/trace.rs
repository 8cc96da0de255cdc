//! Traces as gateways send them, in the form in which telemetry draws them.

use std::collections::BTreeMap;

use chapar_client::Span;
use chapar_telemetry::{SpanRecord, Trace};

pub(crate) fn from_gateway(trace: chapar_client::Trace) -> Trace {
    Trace { trace_id: trace.trace_id, spans: trace.spans.iter().map(record).collect() }
}

fn record(span: &Span) -> SpanRecord {
    let attributes = span.attributes.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    SpanRecord {
        span_id: span.span_id.clone(),
        parent: Some(span.parent.clone()).filter(|parent| !parent.is_empty()),
        name: span.name.clone(),
        service: span.service.clone(),
        kind: word(&span.kind, &["server", "client"], "internal"),
        start_unix_us: span.start_us,
        duration_us: span.duration_us,
        attributes: attributes.collect::<BTreeMap<_, _>>(),
        status: word(&span.status, &["ok", "error"], "unset"),
        links: Vec::new(),
    }
}

/// The known word that `text` is, else `other`.
fn word(text: &str, known: &[&'static str], other: &'static str) -> &'static str {
    known.iter().copied().find(|word| *word == text).unwrap_or(other)
}
