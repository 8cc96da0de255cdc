//! The step *release* sends message, status and trailers, with the entry of the record. A task of its own
//! relays each stream, notices at once that the caller has gone, and queues the closing record before it
//! sends the status.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use chapar_evidence::{Entry, Log};
use chapar_model::{Reason, header};
use chapar_transport::encoding;
use http::{HeaderMap, HeaderValue, Response, header as h};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use super::head::Head;
use super::messages::Messages;
use super::record::disclosure::{Recorded, RecordedAnswer};
use super::record::{REFUSAL_WAIT, StreamRecord};
use crate::headers::{bus_headers, header_value};
use crate::refusal::Refusal;

/// Maximum number of messages of a stream that wait for the caller. A waiting message was checked before and
/// is sent even if the right has ended meanwhile, so there is only one.
const MAX_FRAMES_AHEAD: usize = 1;

pub(super) fn release(recorded: Recorded, streams: &TaskTracker) -> Response<Body> {
    let Recorded { head, log, encoding, metadata, answer } = recorded;
    let id = head.id;
    let body = match answer {
        RecordedAnswer::Unary { message, trailers, entry } => {
            head.span.disclosed(&head.permit);
            head.span.finish_ok(1);
            let trailers = closing_trailers(trailers, &head, &log, entry);
            Body::new(UnaryBody { message: Some(message.framed), trailers: Some(trailers) })
        }
        RecordedAnswer::Stream { messages, record } => {
            // The channel holds one message, so that the reading of the provider stops when the caller stops.
            let (frames, receiver) = mpsc::channel(MAX_FRAMES_AHEAD);
            streams.spawn(Pump { head, log, messages, record, frames }.run());
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

/// `UnaryBody` is one message and its trailers. It gives no size hint, because no gRPC client needs a
/// `content-length`.
struct UnaryBody {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for UnaryBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

fn closing_trailers(mut trailers: HeaderMap, head: &Head, log: &Log, entry: Entry) -> HeaderMap {
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    insert_entry(&mut trailers, log, entry);
    if let Ok(value) = HeaderValue::from_str(&head.permit.fields_trailer) {
        trailers.insert(header::FIELDS, value);
    }
    trailers
}

fn insert_entry(trailers: &mut HeaderMap, log: &Log, entry: Entry) {
    if let Some(value) = header_value(&log.entry_name(entry)) {
        trailers.insert(header::ENTRY, value);
    }
}

type Frames = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// `Pump` relays a stream from the provider to the caller.
struct Pump {
    head: Head,
    log: Log,
    messages: Box<Messages>,
    record: Box<StreamRecord>,
    frames: Frames,
}

impl Pump {
    async fn run(self) {
        let Self { head, log, mut messages, mut record, frames } = self;
        // `biased` polls the cancellation first: a caller that has gone must not get one more message
        // recorded as sent.
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
        // The closing record is written in any case. The caller waits for it until its deadline, but at least
        // as long as a refusal waits for its record.
        let patience = head.deadline.max(Instant::now() + REFUSAL_WAIT);
        let closing = record.closed(outcome.map_or("OK", Reason::as_str));
        let closed = tokio::time::timeout_at(patience.into(), closing).await;
        let closed = closed.unwrap_or_else(|_| Err(Reason::EvidenceUnavailable.into()));
        let trailers = match (end, closed) {
            (Ok(()), Ok(entry)) => {
                head.span.disclosed(&head.permit);
                head.span.finish_ok(count);
                closing_trailers(passed, &head, &log, entry)
            }
            (Err(refusal), closed) => refused(&head, &log, &refusal, closed.ok()),
            (Ok(()), Err(refusal)) => refused(&head, &log, &refusal, None),
        };
        // The error is dropped: it only means that the caller has gone.
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
        // Room is reserved before the message is counted, so that a message that cannot be sent is not
        // recorded as released.
        let room = frames.reserve().await.map_err(|_| Reason::Cancelled)?;
        // The right is checked after the wait for room: otherwise a slow reader would get a message by a
        // right that ended during the wait.
        head.judge.still_holds()?;
        record.message(&message.bytes);
        room.send(Ok(Frame::data(message.framed)));
    }
    Ok(())
}

fn refused(head: &Head, log: &Log, refusal: &Refusal, entry: Option<Entry>) -> HeaderMap {
    head.span.finish_refused(refusal);
    let mut trailers = refusal.to_trailers(&head.audience);
    if let Some(entry) = entry {
        insert_entry(&mut trailers, log, entry);
    }
    trailers
}
