//! This module sends a call on the stream that its `StreamSlot` reserves, and waits for the head of the
//! answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use http_body::Body;
use tokio::runtime::Handle;

use super::incoming::{Incoming, Reading};
use super::link::Link;
use super::stream_slot::{AnswerHold, StreamSlot};
use super::{DialError, outgoing};
use crate::error::causes;

impl StreamSlot {
    /// Sends a request to `path` and waits for the head of the answer. Of `head` everything is sent but its
    /// URI.
    ///
    /// # Errors
    /// [`DialError`], which tells whether the server may have acted; and the body, if nothing of it has left.
    pub async fn send<B>(
        self,
        path: PathAndQuery,
        mut head: Request<()>,
        body: B,
        reading: Reading,
    ) -> Result<Response<Incoming>, (DialError, Option<B>)>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let inner = &self.link.0;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(inner.endpoint.clone());
        uri.path_and_query = Some(path);
        // A URI of all three parts is always one.
        *head.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *head.version_mut() = Version::HTTP_2;
        let (answer, stream) = match inner.sender.clone().send_request(head, body.is_end_stream()) {
            Ok(begun) => begun,
            Err(error) => {
                // The connection is going away, or its stream ids are used up: it takes no new call.
                inner.status.closed.store(true, Ordering::Relaxed);
                let problem = causes(&error);
                return Err((
                    DialError::Unreachable { endpoint: inner.endpoint.to_string(), problem },
                    Some(body),
                ));
            }
        };
        let sending = outgoing::send(stream, body);
        let link = self.link.clone();
        // `begun` owns the future of the answer and the slot together, so that a call that is dropped here is
        // still held for `RESET_DELAY`.
        let mut begun = Begun { answer: Some(answer), held: Some((sending, self)) };
        let answered = poll_fn(|context| begun.poll(context)).await;
        let held = begun.held.take();
        match answered {
            Ok(response) => {
                link.0.status.answered.store(true, Ordering::Relaxed);
                Ok(response.map(|body| Incoming::new(body, reading, held)))
            }
            Err(source) => Err((link.failed(source), None)),
        }
    }
}

/// Time for which a call that was cancelled before its response is held before it is reset. A server counts
/// streams that are reset before it has accepted them (rapid reset, CVE-2023-44487), and closes the
/// connection at some number; 10 ms give it the time to accept the stream.
const RESET_DELAY: Duration = Duration::from_millis(10);

/// A call whose answer has not begun.
struct Begun {
    answer: Option<ResponseFuture>,
    held: AnswerHold,
}

impl Begun {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, h2::Error>> {
        match &mut self.answer {
            Some(answer) => Pin::new(answer).poll(context),
            None => Poll::Pending,
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (Some(held), Some(answer)) = (self.held.take(), self.answer.take()) else { return };
        // Outside of a runtime the connection is at its end anyway.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(RESET_DELAY).await;
                drop((answer, held));
            });
        }
    }
}

impl Link {
    fn failed(&self, source: h2::Error) -> DialError {
        let endpoint = self.0.endpoint.to_string();
        // Before anything was answered, a failure of TLS means that our certificate does not suit the other
        // end, which then has read no request.
        let in_tls = source.get_io().is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData);
        if in_tls && !self.answered() {
            return DialError::Unreachable { endpoint, problem: causes(&source) };
        }
        DialError::Broken { endpoint, source }
    }
}
