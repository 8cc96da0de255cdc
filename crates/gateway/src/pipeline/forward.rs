//! The step *forward* sends the request's bytes to the provider, with deadline propagation (2 ms are kept
//! back), the trace context, and what the provider must know of the grant. Of the caller's metadata only what
//! the registry names is sent (`carried`).

use std::sync::atomic::Ordering;
use std::time::Instant;

use chapar_model::{Reason, header};
use chapar_transport::dial::Incoming;
use chapar_transport::encoding::{self, Encoding};
use chapar_transport::frame::MessageReader;
use chapar_transport::timeout;
use http::{HeaderMap, HeaderName, HeaderValue, header as h};

use super::carried;
use super::exchange::{Exchange, misbehaved, status};
use super::head::Head;
use super::quota::WithinQuota;
use super::read::Read;
use crate::headers::header_value;
use crate::refusal::Refusal;
use crate::upstream::{UpstreamRequest, Upstreams};

/// Time that is kept back from the provider's deadline, so that its answer can still be recorded and
/// released.
const RETURN_MARGIN: std::time::Duration = std::time::Duration::from_millis(2);

/// A call that the provider has begun to answer.
pub(super) struct Forwarded {
    pub(super) head: Head,
    pub(super) answer: MessageReader<Incoming>,
    /// Encoding of the answer's compressed messages.
    pub(super) encoding: Option<Encoding>,
    /// Metadata of the answer that may pass to the caller.
    pub(super) metadata: HeaderMap,
    pub(super) exchange: Exchange,
}

pub(super) async fn forward(
    upstreams: &Upstreams,
    counted: WithinQuota,
    limit: usize,
) -> Result<Forwarded, Refusal> {
    let WithinQuota { read: Read { head, body, carried, stopped }, was_asked, _taken } = counted;
    let stage = head.span.forwarding(head.entry.method.path());
    // The headers are built for each attempt, because less of the deadline is left every time.
    let headers = || {
        let mut headers = HeaderMap::with_capacity(16);
        set_headers(&mut headers, &head)?;
        carried.add_to(&mut headers);
        stage.inject(&mut headers);
        // They are the last that is made before the call is sent.
        was_asked.store(true, Ordering::Release);
        Ok(headers)
    };
    let was_stopped = || stopped.refusal().is_some();
    let request = UpstreamRequest {
        service: &head.entry.service.name,
        path: head.entry.method.path(),
        caller: &head.caller.id,
        deadline: head.deadline,
        full_time: head.full_time,
        idempotent: head.entry.method.is_idempotent(),
        headers: &headers,
        stopped: &was_stopped,
        body,
    };
    let (response, place) =
        // A body that was refused here resets the stream, and the provider's view of that reset would hide
        // the reason.
        upstreams.call(request).await.map_err(|refusal| stopped.refusal().unwrap_or(refusal))?;
    let mut exchange = Exchange::new(stage, place, stopped);
    let (parts, body) = response.into_parts();
    if parts.status != http::StatusCode::OK {
        return Err(exchange.broken(misbehaved(format!("adapter answered HTTP {}", parts.status.as_u16()))));
    }
    let server = &head.entry.service.server;
    let trailers_only = parts.headers.contains_key("grpc-status");
    let streams = head.entry.method.kind().streams_responses();
    // Trailers-only with OK is a stream without messages (gRPC over HTTP/2, "Responses"); an answer that is
    // not a stream needs a message.
    let empty_stream = trailers_only && streams && status(&parts.headers, server).is_ok();
    if trailers_only && !empty_stream {
        exchange.end(&parts.headers, server)?;
        return Err(exchange.broken(misbehaved("adapter answered OK without a message")));
    }
    exchange.head_came();
    let encoding =
        parts.headers.get(encoding::HEADER).map_or(Ok(None), |value| Encoding::parse(value.as_bytes()));
    let encoding = encoding
        .map_err(|_| exchange.broken(misbehaved("adapter chose an encoding that was not offered")))?;
    let answer = MessageReader::new(body, limit).encoded(encoding);
    let (answer, metadata) = if trailers_only {
        (answer.ended(parts.headers), HeaderMap::new())
    } else {
        (answer, carried::from_server(&parts.headers, server))
    };
    Ok(Forwarded { head, answer, encoding, metadata, exchange })
}

fn set_headers(headers: &mut HeaderMap, head: &Head) -> Result<(), Refusal> {
    headers.insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(h::TE, HeaderValue::from_static("trailers"));
    // The margin lets an answer that the provider gives at its own deadline still arrive in time here.
    let left = head.deadline.saturating_duration_since(Instant::now()).saturating_sub(RETURN_MARGIN);
    if left.is_zero() {
        return Err(Reason::DeadlineExceeded.into());
    }
    headers.insert(timeout::HEADER, timeout::format(left));
    headers.extend(
        header_value(head.id.encode(&mut [0; 36])).map(|id| (HeaderName::from_static(header::CALL_ID), id)),
    );
    let mut set = |name: &'static str, value: &str| -> Result<(), Refusal> {
        // These values are made of checked names, so a failure is a fault of this gateway. It fails closed:
        // without `chapar-fields` an adapter would have no mask to select by.
        let value = HeaderValue::from_str(value).map_err(|_| {
            Refusal::from(Reason::AdapterUnavailable).with_detail(format!("`{name}` is no header value"))
        })?;
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    // An adapter knows the caller only by this header, and believes it only on a connection that shows a
    // gateway's certificate.
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
