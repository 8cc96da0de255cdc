//! A place on a connection for one call, and the sending of that call.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use chapar_model::SubsystemId;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use http_body::Body;

use super::incoming::{Incoming, Reading};
use super::link::Link;
use super::{DialError, outgoing};
use crate::error::causes;

/// A place on a connection for one call. Given up when dropped; an answer holds it until its end.
pub struct Ticket {
    pub(super) link: Link,
    pub(super) caller: Option<SubsystemId>,
    /// It is a load.
    pub(super) counted: bool,
}

impl Ticket {
    /// Calls on the connection, with this one.
    pub(super) fn load(&self) -> usize {
        self.link.load()
    }

    /// Sends a request to `path` and waits for the head of the answer. Of `head` everything is sent but its URI.
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
                // It is going away, or its numbers are spent: nothing can be begun on it any more.
                inner.status.closed.store(true, Ordering::Relaxed);
                let problem = causes(&error);
                return Err((DialError::Unreachable { endpoint: inner.endpoint.to_string(), problem }, Some(body)));
            }
        };
        let sending = outgoing::send(stream, body);
        match answer.await {
            Ok(response) => {
                inner.status.answered.store(true, Ordering::Relaxed);
                Ok(response.map(|body| Incoming::new(body, reading, self, sending)))
            }
            Err(source) => Err((self.failed(source), None)),
        }
    }

    fn failed(&self, source: h2::Error) -> DialError {
        let endpoint = self.link.0.endpoint.to_string();
        // Before anything was answered, a failure of TLS means that our certificate does not suit the other end, which then
        // has read no request.
        let in_tls = source.get_io().is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData);
        if in_tls && !self.link.answered() {
            return DialError::Unreachable { endpoint, problem: causes(&source) };
        }
        DialError::Broken { endpoint, source }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let inner = &self.link.0;
        if !self.counted {
            return;
        }
        inner.status.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(caller) = &self.caller {
            let mut callers = inner.callers.lock();
            match callers.get_mut(caller) {
                Some(own) if *own > 1 => *own -= 1,
                _ => drop(callers.remove(caller)),
            }
        }
        inner.freed.notify_one();
    }
}
