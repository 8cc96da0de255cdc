//! Release: message, status and trailers go out, with the coordinates of the record. A stream is pumped by a task of its
//! own, which notices at once when the caller has gone and which closes the record before it sends the status.

use std::convert::Infallible;

use bytes::Bytes;
use chapar_evidence::Entry;
use chapar_model::{CallId, Reason, header};
use http::{HeaderMap, HeaderValue, Response, header as h};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use super::forward::framed;
use super::minimise::Messages;
use super::read::Head;
use super::record::{Recorded, RecordedAnswer};
use crate::record::StreamRecord;
use crate::refusal::Refusal;

/// Messages of a stream that wait for the caller, at most.
const AHEAD: usize = 4;

pub(super) fn release(recorded: Recorded, streams: &TaskTracker) -> Response<Body> {
    let Recorded { head, log_origin, answer } = recorded;
    let body = match answer {
        RecordedAnswer::Unary { message, entry } => {
            head.span.finish_ok(1);
            let trailers = closing_trailers(&head, &log_origin, entry);
            Body::new(Full::new(framed(message)).with_trailers(std::future::ready(Some(Ok(trailers)))))
        }
        RecordedAnswer::Stream { first, rest, record } => {
            let (frames, receiver) = mpsc::channel(AHEAD);
            let pump = Pump { head, log_origin, rest, record, frames };
            let id = pump.head.id;
            streams.spawn(pump.run(first));
            return response(id, Body::new(StreamBody::new(ReceiverStream::new(receiver))));
        }
    };
    response(head.id, body)
}

/// Headers of the bus on every answer.
pub(crate) fn bus_headers(id: CallId) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(header::CALL_ID, value);
    }
    headers
}

fn response(id: CallId, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = bus_headers(id);
    response.headers_mut().insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn closing_trailers(head: &Head, log_origin: &str, entry: Entry) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    insert_entry(&mut trailers, log_origin, entry);
    let fields = format!("disclosed={};withheld={}", head.permit.disclosed.join(","), head.permit.withheld.join(","));
    if let Ok(value) = HeaderValue::from_str(&fields) {
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
    rest: Box<Messages>,
    record: Box<StreamRecord>,
    frames: Frames,
}

impl Pump {
    async fn run(self, first: Option<Bytes>) {
        let Self { head, log_origin, mut rest, mut record, frames } = self;
        let end = tokio::select! {
            biased;
            () = frames.closed() => Err(Reason::Cancelled.into()),
            end = tokio::time::timeout_at(head.deadline.into(), relay(first, &head, &mut rest, &mut record, &frames)) => {
                end.unwrap_or_else(|_| Err(Reason::DeadlineExceeded.into()))
            }
        };
        drop(rest); // the exchange with the adapter ends here, also when it was cut short
        let messages = record.messages();
        let outcome = end.as_ref().err().map(Refusal::reason);
        let closed = record.closed(outcome.map_or("OK", Reason::as_str)).await;
        let trailers = match (end, closed) {
            (Ok(()), Ok(entry)) => {
                head.span.finish_ok(messages);
                closing_trailers(&head, &log_origin, entry)
            }
            (Err(refusal), closed) => refused(&head, &log_origin, &refusal, closed.ok()),
            (Ok(()), Err(refusal)) => refused(&head, &log_origin, &refusal, None),
        };
        // The caller may be gone; then there is no one to tell.
        frames.send(Ok(Frame::trailers(trailers))).await.ok();
    }
}

async fn relay(
    first: Option<Bytes>,
    head: &Head,
    rest: &mut Messages,
    record: &mut StreamRecord,
    frames: &Frames,
) -> Result<(), Refusal> {
    let mut next = first;
    while let Some(message) = next {
        record.message(&message);
        frames.send(Ok(Frame::data(framed(message)))).await.map_err(|_| Reason::Cancelled)?;
        next = rest.next(head).await?;
    }
    Ok(())
}

fn refused(head: &Head, log_origin: &str, refusal: &Refusal, entry: Option<Entry>) -> HeaderMap {
    head.span.finish_refused(refusal);
    let mut trailers = HeaderMap::new();
    let status = refusal.to_status(&head.audience);
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", HeaderValue::from(refusal.reason().code() as u16));
    }
    if let Some(entry) = entry {
        insert_entry(&mut trailers, log_origin, entry);
    }
    trailers
}
