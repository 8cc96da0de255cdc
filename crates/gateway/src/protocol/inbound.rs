//! `RequestStream` is the body of a request as gRPC frames, whatever protocol it came in. A body of the
//! Connect protocol is read whole when it is first asked for, which is after admission and under the call's
//! deadline, and becomes one frame.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use chapar_contract::json;
use chapar_model::Reason;
use http::Version;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Codec, Types};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request that cannot be read as a message, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.reason.english())]
pub(crate) struct Unreadable {
    pub(crate) reason: Reason,
    /// Where in the JSON, and the rule that is broken there.
    pub(crate) field: Option<(String, &'static str)>,
}

impl From<Reason> for Unreadable {
    fn from(reason: Reason) -> Self {
        Self { reason, field: None }
    }
}

/// The most of an unread body that is read after its answer, in bytes, and how long that may take.
const MAX_DRAINED_BYTES: usize = 1 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_DRAINS: usize = 64;
static DRAIN_PERMITS: Semaphore = Semaphore::const_new(MAX_DRAINS);

/// The body of a request in another protocol than gRPC, of which the rest can be read after the answer is
/// known: a client that is told to stop in the middle of its body, by RST_STREAM in HTTP/2 or the end of the
/// connection in HTTP/1.1, may take that for an error and not look at the answer, as curl before 8 and Node
/// do.
#[derive(Clone)]
pub(crate) struct Rest {
    body: Arc<Mutex<Incoming>>,
    is_http2: bool,
}

impl Rest {
    pub(crate) fn of(body: Incoming, version: Version) -> Self {
        Self { body: Arc::new(Mutex::new(body)), is_http2: version == Version::HTTP_2 }
    }

    /// Discards the unread rest of the body, up to 1 MiB within 1 s. At most `MAX_DRAINS` drains run at once,
    /// because the call's own limits are released by then.
    pub(crate) async fn drain(self) {
        let Ok(_permit) = DRAIN_PERMITS.try_acquire() else { return };
        let Ok(body) = Arc::try_unwrap(self.body) else { return };
        let mut body = body.into_inner();
        let drained = async {
            let mut left = MAX_DRAINED_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        tokio::time::timeout(DRAIN_TIMEOUT, drained).await.ok();
    }

    fn poll_frame(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Nobody waits for the lock: there is one reader at a time.
        Pin::new(&mut *self.body.lock()).poll_frame(context)
    }

    /// The whole body.
    async fn read(&self, limit: usize) -> Result<Bytes, BoxError> {
        let mut whole = BytesMut::new();
        while let Some(frame) = poll_fn(|context| self.poll_frame(context)).await {
            let Ok(data) = frame?.into_data() else { continue };
            if whole.len() + data.len() > limit {
                return Err(Unreadable::from(Reason::MessageTooLarge).into());
            }
            whole.extend_from_slice(&data);
        }
        // In HTTP/2 a request that was reset without an error ends as one that was sent whole.
        if self.is_http2 && !self.body.lock().is_end_stream() {
            return Err("the request was broken off".into());
        }
        Ok(whole.freeze())
    }
}

/// The frames of a request.
pub(crate) enum RequestStream {
    /// As they come.
    Frames(Incoming),
    /// As they come, in gRPC-Web.
    Web(Rest),
    /// One frame, made of a whole body.
    Whole(Pin<Box<dyn Future<Output = Result<Bytes, BoxError>> + Send>>),
    Ended,
}

impl RequestStream {
    /// A request of one message that is made when it is read.
    pub(crate) fn read_by(reading: impl Future<Output = Result<Bytes, Unreadable>> + Send + 'static) -> Self {
        Self::Whole(Box::pin(async move { Ok(framed(&reading.await?)?) }))
    }

    /// A request of one message that is there already.
    pub(crate) fn message(message: &[u8]) -> Self {
        let frame = framed(message).map_err(Into::into);
        Self::Whole(Box::pin(std::future::ready(frame)))
    }

    /// A request that is refused once it is read.
    pub(crate) fn unreadable(why: Unreadable) -> Self {
        Self::Whole(Box::pin(std::future::ready(Err(why.into()))))
    }

    /// The message of a method's input type that a body of the Connect protocol is, in an envelope or not.
    pub(super) fn connect(body: Rest, codec: Codec, is_enveloped: bool, types: &Types, limit: usize) -> Self {
        let input = types.input.clone();
        let from_json = if types.is_ordered { json::from_json } else { json::from_unordered_json };
        Self::Whole(Box::pin(async move {
            // An envelope has 5 bytes before its message.
            let body = body.read(limit + 5).await?;
            let message = if is_enveloped { opened(body)? } else { body };
            let message = match codec {
                Codec::Json => from_json(&input, &message).map_err(|error| Unreadable {
                    reason: Reason::RequestMalformed,
                    field: Some((error.path, error.rule)),
                })?,
                Codec::Proto => message,
            };
            Ok(framed(&message)?)
        }))
    }
}

/// The one message of an enveloped body: flags, length in 32 bits, message (Connect protocol,
/// "Streaming-Request").
fn opened(mut body: Bytes) -> Result<Bytes, Unreadable> {
    let head: [u8; 5] = body.get(..5).and_then(|head| head.try_into().ok()).ok_or(Reason::FrameMalformed)?;
    let [flags, length @ ..] = head;
    if flags != 0 {
        return Err(Reason::FrameMalformed.into());
    }
    let message = body.split_off(5);
    match message.len().cmp(&(u32::from_be_bytes(length) as usize)) {
        std::cmp::Ordering::Equal => Ok(message),
        std::cmp::Ordering::Less => Err(Reason::FrameMalformed.into()),
        // Methods that stream their requests are not called by this protocol.
        std::cmp::Ordering::Greater => Err(Reason::Cardinality.into()),
    }
}

fn framed(message: &[u8]) -> Result<Bytes, Unreadable> {
    let length = u32::try_from(message.len()).map_err(|_| Reason::MessageTooLarge)?;
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    Ok(frame.freeze())
}

impl Body for RequestStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Frames(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Web(body) => body.poll_frame(context).map_err(Into::into),
            Self::Whole(reading) => {
                let read = ready!(reading.as_mut().poll(context));
                *self = Self::Ended;
                Poll::Ready(Some(read.map(Frame::data)))
            }
            Self::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Frames(body) => body.is_end_stream(),
            Self::Web(_) | Self::Whole(_) => false,
            Self::Ended => true,
        }
    }
}
