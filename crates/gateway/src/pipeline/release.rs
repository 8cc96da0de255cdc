//! Release: message, status and trailers go out, with the coordinates of the record. A stream is pumped by a task of its
//! own, which notices at once when the caller has gone and which closes the record before it sends the status.

use std::convert::Infallible;

use bytes::Bytes;
use chapar_evidence::Entry;
use chapar_model::{CallId, Reason, header};
use chapar_transport::encoding;
use http::{HeaderMap, HeaderValue, Response, header as h};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use super::minimise::Messages;
use super::read::Head;
use super::record::{Recorded, RecordedAnswer};
use crate::record::StreamRecord;
use crate::refusal::Refusal;

/// Messages of a stream that wait for the caller, at most.
const AHEAD: usize = 4;

pub(super) fn release(recorded: Recorded, streams: &TaskTracker) -> Response<Body> {
    let Recorded { head, log_origin, encoding, metadata, answer } = recorded;
    let id = head.id;
    let body = match answer {
        RecordedAnswer::Unary { message, trailers, entry } => {
            head.span.finish_ok(1);
            let trailers = closing_trailers(trailers, &head, &log_origin, entry);
            Body::new(Full::new(message.framed).with_trailers(std::future::ready(Some(Ok(trailers)))))
        }
        RecordedAnswer::Stream { messages, record } => {
            let (frames, receiver) = mpsc::channel(AHEAD);
            streams.spawn(Pump { head, log_origin, messages, record, frames }.run());
            Body::new(StreamBody::new(ReceiverStream::new(receiver)))
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = bus_headers(id);
    response.headers_mut().insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(encoding) = encoding {
        response.headers_mut().insert(encoding::HEADER, HeaderValue::from_static(encoding.as_str()));
    }
    response.headers_mut().extend(metadata);
    response
}

/// Headers of the bus on every answer.
pub(crate) fn bus_headers(id: CallId) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(header::CALL_ID, value);
    }
    headers
}

fn closing_trailers(mut trailers: HeaderMap, head: &Head, log_origin: &str, entry: Entry) -> HeaderMap {
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    insert_entry(&mut trailers, log_origin, entry);
    if let Ok(value) = HeaderValue::from_str(&head.permit.fields_trailer) {
        trailers.insert(header::FIELDS, value);
    }
    trailers
}

fn insert_entry(trailers: &mut HeaderMap, log_origin: &str, entry: Entry) {
    if let Ok(value) = HeaderValue::from_str(&format!("{log_origin}/{}", entry.index)) {
        trailers.insert(header::ENTRY, value);
    }
}

type Frames = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A stream on its way from the adapter to the caller.
struct Pump {
    head: Head,
    log_origin: String,
    messages: Box<Messages>,
    record: Box<StreamRecord>,
    frames: Frames,
}

impl Pump {
    async fn run(self) {
        let Self { head, log_origin, mut messages, mut record, frames } = self;
        let end = tokio::select! {
            biased;
            () = frames.closed() => Err(Reason::Cancelled.into()),
            end = tokio::time::timeout_at(head.deadline.into(), relay(&head, &mut messages, &mut record, &frames)) => {
                end.unwrap_or_else(|_| Err(Reason::DeadlineExceeded.into()))
            }
        };
        let passed = messages.trailers(&head);
        drop(messages); // the exchange with the provider ends here, also when it was cut short
        let count = record.messages();
        let outcome = end.as_ref().err().map(Refusal::reason);
        let closed = record.closed(outcome.map_or("OK", Reason::as_str)).await;
        let trailers = match (end, closed) {
            (Ok(()), Ok(entry)) => {
                head.span.finish_ok(count);
                closing_trailers(passed, &head, &log_origin, entry)
            }
            (Err(refusal), closed) => refused(&head, &log_origin, &refusal, closed.ok()),
            (Ok(()), Err(refusal)) => refused(&head, &log_origin, &refusal, None),
        };
        // The caller may be gone; then there is no one to tell.
        frames.send(Ok(Frame::trailers(trailers))).await.ok();
    }
}

async fn relay(
    head: &Head,
    messages: &mut Messages,
    record: &mut StreamRecord,
    frames: &Frames,
) -> Result<(), Refusal> {
    while let Some(message) = messages.next(head).await? {
        record.message(&message.bytes);
        frames.send(Ok(Frame::data(message.framed))).await.map_err(|_| Reason::Cancelled)?;
    }
    Ok(())
}

fn refused(head: &Head, log_origin: &str, refusal: &Refusal, entry: Option<Entry>) -> HeaderMap {
    head.span.finish_refused(refusal);
    let mut trailers = refusal.to_trailers(&head.audience);
    if let Some(entry) = entry {
        insert_entry(&mut trailers, log_origin, entry);
    }
    trailers
}
