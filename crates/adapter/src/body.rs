//! `Answer` is a response body: one message, a stream of rows that is read as the gateway takes it
//! (backpressure), or the health service's body. A stream of rows ends with its gRPC status, and its
//! observation ends with it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use chapar_model::{MethodPath, Reason};
use chapar_telemetry::RefusalLines;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tokio::time::Sleep;

use crate::observe::Observation;
use crate::refusal;
use crate::source::{Batch, Failure, Rows};

/// `Answer` is the body of an adapter's response.
#[derive(Default)]
pub(crate) struct Answer(BodyContent);

#[derive(Default)]
enum BodyContent {
    /// The body has ended.
    #[default]
    Done,
    /// One message in its frame, then the status.
    Whole(Bytes),
    /// The trailers with the status.
    Trailers(HeaderMap),
    /// A stream of rows.
    Stream(Box<Streaming>),
    /// `grpc.health.v1`.
    Health(tonic::body::Body),
}

/// `Streaming` is a running stream of rows.
pub(crate) struct Streaming {
    pub(crate) first: Option<Batch>,
    pub(crate) rows: Option<Rows>,
    pub(crate) deadline: Pin<Box<Sleep>>,
    pub(crate) late: Reason,
    pub(crate) observation: Observation,
    pub(crate) method: MethodPath,
    pub(crate) call: String,
    pub(crate) refusals: RefusalLines,
}

impl Answer {
    pub(crate) fn whole(frame: Bytes) -> Self {
        Self(BodyContent::Whole(frame))
    }

    pub(crate) fn stream(streaming: Streaming) -> Self {
        Self(BodyContent::Stream(Box::new(streaming)))
    }

    pub(crate) fn health(body: tonic::body::Body) -> Self {
        Self(BodyContent::Health(body))
    }
}

#[cfg(test)]
impl Answer {
    /// Batches that wait to be read.
    pub(crate) fn waiting(&self) -> usize {
        match &self.0 {
            BodyContent::Stream(streaming) => streaming.rows.as_ref().map_or(0, Rows::waiting),
            _ => 0,
        }
    }
}

impl Streaming {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Batch>, Failure>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(first)));
        }
        let Some(rows) = &mut self.rows else { return Poll::Ready(Ok(None)) };
        // Rows are polled before the deadline, so that rows that are ready are still given out.
        if let Poll::Ready(batch) = rows.poll_next(context) {
            return Poll::Ready(batch.map(Some));
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(Failure::new(self.late, "the statement ran past its deadline")))
    }

    /// Counts a batch. After the last one the source is dropped, so that its connection is free before the
    /// client has read everything.
    fn take(&mut self, batch: Batch) -> Bytes {
        self.observation.took(&batch);
        if batch.last {
            self.rows = None;
        }
        batch.bytes
    }
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

impl Body for Answer {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        loop {
            // The state is taken out, so that each arm owns it. An arm that puts none back has ended the
            // body.
            match std::mem::take(&mut self.0) {
                BodyContent::Done => return Poll::Ready(None),
                BodyContent::Whole(frame) => {
                    self.0 = BodyContent::Trailers(ok());
                    return Poll::Ready(Some(Ok(Frame::data(frame))));
                }
                BodyContent::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                BodyContent::Health(mut body) => {
                    let frame = Pin::new(&mut body).poll_frame(context);
                    self.0 = BodyContent::Health(body);
                    return frame;
                }
                BodyContent::Stream(mut streaming) => match streaming.poll_next(context) {
                    Poll::Pending => {
                        self.0 = BodyContent::Stream(streaming);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Some(batch))) => {
                        let bytes = streaming.take(batch);
                        self.0 = BodyContent::Stream(streaming);
                        // The last batch may be empty, and an empty DATA frame carries nothing.
                        if !bytes.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                    Poll::Ready(Ok(None)) => {
                        streaming.observation.end(Ok(()));
                        self.0 = BodyContent::Trailers(ok());
                    }
                    Poll::Ready(Err(failure)) => {
                        refusal::log(&streaming.refusals, Some(&streaming.method), &streaming.call, &failure);
                        streaming.observation.end(Err(failure.reason));
                        self.0 = BodyContent::Trailers(refusal::trailers(&failure));
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, BodyContent::Done)
    }
}
