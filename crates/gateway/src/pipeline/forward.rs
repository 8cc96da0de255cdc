//! Forward: sends the request's bytes to the provider, with deadline propagation (2 ms are kept back), the
//! trace context, and what the provider must know of the grant. Of the caller's metadata only what the
//! registry names is sent (`carried`).

use std::time::Instant;

use chapar_model::{Reason, header};
use chapar_registry::Server;
use chapar_transport::encoding::{self, Encoding};
use chapar_transport::frame::MessageReader;
use chapar_transport::timeout;
use http::{HeaderMap, HeaderName, HeaderValue, header as h};

use super::carried;
use super::read::{Head, Read};
use super::release::header_value;
use super::requests::Stopped;
use crate::observe::Stage;
use crate::refusal::Refusal;
use crate::upstream::{Blame, Incoming, Outbound, UpstreamPermit, Upstreams};

/// Kept back from the deadline for the way home.
const RETURN_MARGIN: std::time::Duration = std::time::Duration::from_millis(2);

/// A call that the provider has begun to answer.
pub(super) struct Forwarded {
    pub(super) head: Head,
    pub(super) answer: MessageReader<Incoming>,
    /// How the answer's compressed messages are packed.
    pub(super) encoding: Option<Encoding>,
    /// What of the answer's metadata passes.
    pub(super) metadata: HeaderMap,
    pub(super) exchange: Exchange,
}

/// What lasts as long as the exchange with the provider: its span, its place among the service's calls, and
/// the request while that is still on its way.
pub(super) struct Exchange {
    _stage: Stage,
    place: UpstreamPermit,
    stopped: Stopped,
}

impl Exchange {
    /// The provider broke off, or gave an end that is none. Unless the request was ended here: then that is
    /// why.
    pub(super) fn broken(&mut self, otherwise: Refusal) -> Refusal {
        self.stopped.refusal().unwrap_or_else(|| {
            self.place.ended(Blame::of(&otherwise));
            otherwise
        })
    }

    /// The end of an answer, from its trailers: OK, or why not.
    pub(super) fn end(&mut self, trailers: &HeaderMap, server: &Server) -> Result<(), Refusal> {
        let ended = status(trailers, server);
        self.place.ended(ended.as_ref().err().map_or(Blame::Nobody, Blame::of));
        ended
    }
}

pub(super) async fn forward(upstreams: &Upstreams, read: Read, limit: usize) -> Result<Forwarded, Refusal> {
    let Read { head, body, carried, stopped } = read;
    let stage = head.span.forwarding(head.entry.method.path());
    // Built anew for each attempt: less of the deadline is left every time.
    let headers = || {
        let mut headers = HeaderMap::with_capacity(16);
        set_headers(&mut headers, &head)?;
        carried.add_to(&mut headers);
        stage.inject(&mut headers);
        Ok(headers)
    };
    let was_stopped = || stopped.refusal().is_some();
    let outbound = Outbound {
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
        upstreams.call(outbound).await.map_err(|refusal| stopped.refusal().unwrap_or(refusal))?;
    let mut exchange = Exchange { _stage: stage, place, stopped };
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
    exchange.place.head_came();
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

/// What an adapter may say of its own data; any other word, or none, means that the adapter is in trouble.
const FROM_ADAPTER: [Reason; 16] = [
    Reason::MessageTooLarge,
    Reason::FrameMalformed,
    Reason::Cardinality,
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

/// The end of an answer: OK, the own status of an agency's own server, or a refusal with a reason that we
/// choose; an adapter's own text goes nowhere.
fn status(trailers: &HeaderMap, server: &Server) -> Result<(), Refusal> {
    let text =
        |name| trailers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let status = text("grpc-status");
    if status == "0" {
        return Ok(());
    }
    if let (Server::Grpc(_), Some(refusal)) = (server, carried::status(trailers, server)) {
        return Err(refusal);
    }
    // The word is compared with a list, because an adapter must not choose reasons that blame the caller's
    // rights, such as `NOT_GRANTED`.
    let said = text(header::REASON).parse::<Reason>().ok().filter(|reason| FROM_ADAPTER.contains(reason));
    let refusal = match said {
        Some(reason) => Refusal::from(reason),
        None => misbehaved(format!("adapter ended with status {status:.3}")),
    };
    Err(if refusal.reason().is_transient() { refusal.retry_after(PROVIDER_RETRY) } else { refusal })
}

/// When a caller may try again while a provider is in trouble.
pub(crate) const PROVIDER_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The provider broke off, or ended in a way that no provider may.
pub(super) fn misbehaved(gate: impl Into<String>) -> Refusal {
    Refusal::from(Reason::AdapterUnavailable).retry_after(PROVIDER_RETRY).with_detail(gate)
}
