//! This module answers one call of the gateway's own services within bounds: a deadline of 10 s (1 h for
//! streams), and the caller's own limits (`catalogue`). Admission, load slot and span last until the body has
//! ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_limit::{Denied, Limiter};
use chapar_model::{Reason, SubsystemId};
use chapar_registry::Subsystem;
use chapar_transport::timeout;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::Sleep;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::catalogue;
use crate::observe::CallSpan;
use crate::overload::LoadSlot;
use crate::protocol::{BoxError, RequestStream, Unreadable, take_status};
use crate::refusal::{Audience, Refusal};

/// Maximum deadline of a unary call. The gateway answers from memory or its own log, so 10 s are more than
/// enough.
const MAX_UNARY_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum deadline of a health watch, a reflection stream or an inquiry, whose parts have their contracts'
/// timeouts; clients begin another one after it.
const MAX_STREAM_DEADLINE: Duration = Duration::from_secs(3600);

/// Answers a call of an own service.
///
/// # Errors
/// `RATE_LIMITED` or `CONCURRENCY_LIMITED` for a caller that asks too much, `TIMEOUT_MALFORMED`,
/// `DEADLINE_EXCEEDED`.
pub(crate) async fn answer(
    routes: &Routes,
    limiter: &Limiter<SubsystemId>,
    caller: Arc<Subsystem>,
    mut request: Request<RequestStream>,
    call: OwnCall,
) -> Result<Response<Body>, Refusal> {
    // The permit is taken before the body is read, so that a caller over its limit costs no decoding.
    let admission = limiter.admit(&caller.id).map_err(|denied| match denied {
        Denied::Rate { retry_after, limit } => Refusal::from(Reason::RateLimited)
            .retry_after(retry_after)
            .quota("the gateway's own services", limit),
        Denied::Concurrency { limit } => Refusal::from(Reason::ConcurrencyLimited)
            .quota("the gateway's own services", format!("{limit} concurrent calls")),
    })?;
    let streams = catalogue::streams(request.uri().path());
    // Without a deadline of its own, a `Watch` would hold one of the caller's 16 slots for as long as the
    // connection lives.
    let deadline = Instant::now()
        + allowed(request.headers(), if streams { MAX_STREAM_DEADLINE } else { MAX_UNARY_DEADLINE })?;
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(call.audience.clone());
    let audience = call.audience.clone();
    let request =
        request.map(|body| Body::new(body.map_err(move |error| unreadable_status(&error, &audience))));
    let answered = tokio::time::timeout_at(deadline.into(), routes.clone().oneshot(request)).await;
    let Ok(mut response) = answered.map_err(|_| Refusal::from(Reason::DeadlineExceeded))?;
    // The status is in the headers only in a trailers-only answer, and then the body has nothing left to
    // count.
    if response.headers().contains_key("grpc-status") {
        call.span.finish_own(explain(response.headers_mut(), &call.audience));
        return Ok(response);
    }
    // The same alarm bounds the body: `timeout_at` above ends with the headers, and a stream goes on after
    // them.
    let alarm = Box::pin(tokio::time::sleep_until(deadline.into()));
    Ok(response.map(|body| Body::new(BoundedBody { body, call, alarm, ended: false, _admission: admission })))
}

/// `OwnCall` holds what a call of an own service keeps until its end.
pub(crate) struct OwnCall {
    pub(crate) span: Arc<CallSpan>,
    pub(crate) audience: Audience,
    /// Load slot of the call. A watch counts as in flight for as long as it lasts.
    pub(crate) _slot: LoadSlot,
}

/// Why a request cannot be read, as a status: the own services know no other errors.
fn unreadable_status(error: &BoxError, audience: &Audience) -> tonic::Status {
    let Some(Unreadable { reason, field }) = error.downcast_ref::<Unreadable>() else {
        return tonic::Status::cancelled("the request was broken off");
    };
    let refusal = Refusal::from(*reason);
    let refusal = match field {
        Some((path, rule)) => refusal.violation(path.as_str(), *rule),
        None => refusal,
    };
    refusal.to_status(audience)
}

/// Gives a refusal of an own service the details that every refusal has, and returns its reason; nothing for
/// OK.
fn explain(headers: &mut HeaderMap, audience: &Audience) -> Option<Reason> {
    let mut trailers = headers.clone();
    let status = take_status(&mut trailers)?;
    let told = status.get_details_error_info().and_then(|info| info.reason.parse::<Reason>().ok());
    if told.is_some() {
        return told;
    }
    // What tonic says of a request that it cannot read is in words of its own, and its code blames the
    // server.
    let text = status.message();
    let unread = match status.code() {
        Code::Internal if text.starts_with("failed to decode") => Some(Reason::RequestMalformed),
        Code::Internal if text.starts_with("Missing request") => Some(Reason::RequestMalformed),
        Code::Unimplemented if text.contains("compressed") => Some(Reason::EncodingUnsupported),
        _ => None,
    };
    let reason = unread.or_else(|| outcome(status.code()))?;
    let refusal = Refusal::from(reason);
    let explained = match unread {
        Some(_) => refusal.to_status(audience),
        None => refusal.to_status_saying(audience, text),
    };
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        headers.remove(name);
    }
    if explained.add_header(headers).is_err() {
        headers.insert("grpc-status", HeaderValue::from(reason.code() as u16));
    }
    Some(reason)
}

fn allowed(headers: &HeaderMap, most: Duration) -> Result<Duration, Refusal> {
    let asked = timeout::of(headers).map_err(|_| Refusal::from(Reason::TimeoutMalformed))?;
    Ok(asked.map_or(most, |asked| asked.min(most)))
}

/// Maps the gRPC status of an own service to a reason; `None` for OK.
fn outcome(status: Code) -> Option<Reason> {
    Some(match status {
        Code::Ok => return None,
        Code::Cancelled => Reason::Cancelled,
        Code::InvalidArgument => Reason::RequestMalformed,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::NotFound => Reason::RecordNotFound,
        // tonic reports a message over its limit as OUT_OF_RANGE or RESOURCE_EXHAUSTED.
        Code::ResourceExhausted | Code::OutOfRange => Reason::MessageTooLarge,
        Code::Unimplemented => Reason::MethodUnknown,
        // The own services return UNAVAILABLE only if the evidence log cannot be read (`Meta.GetReceipt`), or
        // the gateway is ending.
        Code::Unavailable => Reason::EvidenceUnavailable,
        _ => Reason::FrameMalformed,
    })
}

/// `BoundedBody` is the body of an own service's answer. It holds admission and load slot until it has ended,
/// ends at its deadline, and reports how it ended.
struct BoundedBody {
    body: Body,
    call: OwnCall,
    alarm: Pin<Box<Sleep>>,
    ended: bool,
    _admission: chapar_limit::Admission,
}

impl http_body::Body for BoundedBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, tonic::Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The body is polled before the alarm, so that an answer that is ready at the deadline is not cut
        // off.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let trailers =
                frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(http_body::Frame::trailers_ref);
            if let Some(status) = trailers.and_then(|trailers| trailers.get("grpc-status")) {
                let outcome = outcome(Code::from_bytes(status.as_bytes()));
                self.call.span.finish_own(outcome);
            }
            return Poll::Ready(frame);
        }
        if self.alarm.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.ended = true;
        let refusal = Refusal::from(Reason::DeadlineExceeded);
        self.call.span.finish_refused(&refusal);
        Poll::Ready(Some(Ok(http_body::Frame::trailers(refusal.to_trailers(&self.call.audience)))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}
