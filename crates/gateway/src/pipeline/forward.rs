//! Forward: the request's bytes to the provider's adapter, with the deadline shrunk, the trace passed on, and what the
//! adapter must know of the grant. Nothing that the caller sent besides the message goes along.

use std::time::Instant;

use bytes::Bytes;
use chapar_model::{Reason, header};
use chapar_transport::frame::{self, MessageReader};
use chapar_transport::timeout;
use http::{HeaderMap, HeaderName, HeaderValue, header as h};

use super::read::{Head, Read};
use crate::observe::Stage;
use crate::refusal::Refusal;
use crate::upstream::{Incoming, Outbound, Outgoing, Place, Upstreams};

/// Kept back from the deadline for the way home.
const MARGIN: std::time::Duration = std::time::Duration::from_millis(2);

/// A call that the adapter has begun to answer.
pub(super) struct Forwarded {
    pub(super) head: Head,
    pub(super) answer: MessageReader<Incoming>,
    pub(super) exchange: Exchange,
}

/// What lasts as long as the exchange with the adapter: its span, and its place among the service's calls.
pub(super) struct Exchange {
    _stage: Stage,
    _place: Place,
}

pub(super) async fn forward(upstreams: &Upstreams, read: Read, limit: usize) -> Result<Forwarded, Refusal> {
    let Read { head, message } = read;
    let stage = head.span.forwarding(head.entry.method.path());
    let mut headers = HeaderMap::new();
    set_headers(&mut headers, &head)?;
    stage.inject(&mut headers);
    let outbound = Outbound {
        service: &head.entry.service.name,
        path: head.entry.method.path(),
        caller: &head.caller.id,
        deadline: head.deadline,
        idempotent: head.entry.method.is_idempotent(),
        headers,
        body: Outgoing::Whole(frame::encode(message)),
    };
    let (response, place) = upstreams.call(outbound).await?;
    let (parts, body) = response.into_parts();
    if parts.status != http::StatusCode::OK {
        return Err(misbehaved(format!("adapter answered HTTP {}", parts.status.as_u16())));
    }
    if parts.headers.contains_key("grpc-status") {
        adapter_status(&parts.headers)?;
        return Err(misbehaved("adapter answered OK without a message"));
    }
    Ok(Forwarded { head, answer: MessageReader::new(body, limit), exchange: Exchange { _stage: stage, _place: place } })
}

fn set_headers(headers: &mut HeaderMap, head: &Head) -> Result<(), Refusal> {
    headers.insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(h::TE, HeaderValue::from_static("trailers"));
    let left = head.deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
    if left.is_zero() {
        return Err(Reason::DeadlineExceeded.into());
    }
    headers.insert(timeout::HEADER, timeout::format(left));
    let mut set = |name: &'static str, value: &str| -> Result<(), Refusal> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Refusal::from(Reason::AdapterUnavailable).because(format!("`{name}` is no header value")))?;
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    set(header::CALL_ID, &head.id.to_string())?;
    set(header::CALLER, head.caller.id.as_str())?;
    set(header::FIELDS, &head.permit.fields_header)?;
    if !head.permit.rows.is_empty() {
        set(header::ROWS, &head.permit.rows_header)?;
    }
    if let Some(purpose) = &head.metadata.purpose {
        set(header::PURPOSE, purpose.as_str())?;
    }
    Ok(())
}

/// What an adapter may say of its own data; any other word, or none, means that the adapter is in trouble.
const FROM_ADAPTER: [Reason; 13] = [
    Reason::RecordNotFound,
    Reason::RecordNotUnique,
    Reason::TooManyRows,
    Reason::SchemaDrift,
    Reason::ValueUnreadable,
    Reason::NullInRequired,
    Reason::SourceDown,
    Reason::SourceBusy,
    Reason::SourceTimeout,
    Reason::SourceRefused,
    Reason::DeadlineExceeded,
    Reason::FieldInvalid,
    Reason::RequestMalformed,
];

/// The end of an adapter's answer: OK, or a refusal with a reason that we choose; its own text goes nowhere.
pub(super) fn adapter_status(trailers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| trailers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let status = text("grpc-status");
    if status == "0" {
        return Ok(());
    }
    let said = text(header::REASON).parse::<Reason>().ok().filter(|reason| FROM_ADAPTER.contains(reason));
    let refusal = match said {
        Some(reason) => Refusal::from(reason),
        None => misbehaved(format!("adapter ended with status {status:.3}")),
    };
    Err(if refusal.reason().is_transient() { refusal.retry_after(RETRY) } else { refusal })
}

/// When a caller may try again while a provider is in trouble.
pub(crate) const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

fn misbehaved(gate: impl Into<String>) -> Refusal {
    Refusal::from(Reason::AdapterUnavailable).because(gate)
}

/// A message as one gRPC frame, ready to be sent.
pub(super) fn framed(message: Bytes) -> Bytes {
    frame::encode(message)
}
