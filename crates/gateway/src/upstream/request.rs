//! `UpstreamRequest` is a request to a provider: its body, and what the choice of a connection and retries
//! need of the call.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use chapar_model::{MethodPath, SubsystemId};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::refusal::Refusal;

/// Error of a streamed body that ended before its end.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body.
pub(crate) enum RequestBody {
    /// The complete body. It can be sent again.
    Whole(Bytes),
    /// The body as the caller sends it. Messages that were taken from it cannot be sent again.
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

/// `UpstreamRequest` is a call as the pipeline hands it over.
pub(crate) struct UpstreamRequest<'a> {
    /// The full name of the service.
    pub(crate) service: &'a str,
    pub(crate) path: &'a MethodPath,
    /// The caller, for its share of a connection that several callers use.
    pub(crate) caller: &'a SubsystemId,
    /// Deadline, after which nothing is retried.
    pub(crate) deadline: Instant,
    /// The caller leaves the provider all the time that the contract gives it.
    pub(crate) full_time: bool,
    /// The method may be run twice for one call.
    pub(crate) idempotent: bool,
    /// Makes the headers. It is called for each attempt, because less of the deadline is left.
    pub(crate) headers: &'a (dyn Fn() -> Result<HeaderMap, Refusal> + Send + Sync),
    /// Whether the body was broken off on this side.
    pub(crate) stopped: &'a (dyn Fn() -> bool + Send + Sync),
    pub(crate) body: RequestBody,
}

impl RequestBody {
    /// All of it, if it can be sent again.
    pub(super) fn whole(&self) -> Option<Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes.clone()),
            Self::Stream(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
