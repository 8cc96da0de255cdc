//! This module relays a streamed request: each message is checked, counted into the commitment, and sent; the
//! first refused message ends the call. Only a message that names the citizen is read ahead, so the
//! provider's backpressure reaches the caller.

use std::sync::Arc;

use bytes::Bytes;
use chapar_model::Reason;
use chapar_registry::MethodEntry;
use chapar_transport::encoding::Encoding;
use chapar_transport::frame::{Message, MessageReader};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::check;
use super::exchange::Stopped;
use super::judge::Judge;
use super::record::commitment::RequestDigest;
use crate::protocol::RequestStream;
use crate::refusal::Refusal;
use crate::upstream::{BoxError, RequestBody};

/// `Requests` reads the messages of one call's request from its caller.
pub(super) struct Requests {
    reader: MessageReader<RequestStream>,
    entry: Arc<MethodEntry>,
    digest: RequestDigest,
    /// The citizen that the call is about, once a message has named one.
    subject: Option<String>,
    encoding_to_server: Option<Encoding>,
    /// A message that was read before the call went on.
    ahead: Option<Message>,
    judge: Arc<Judge>,
    stopped: Stopped,
}

impl Requests {
    pub(super) fn new(
        reader: MessageReader<RequestStream>,
        entry: Arc<MethodEntry>,
        digest: RequestDigest,
        encoding_to_server: Option<Encoding>,
        judge: Arc<Judge>,
    ) -> Self {
        Self {
            reader,
            entry,
            digest,
            subject: None,
            encoding_to_server,
            ahead: None,
            judge,
            stopped: Stopped::default(),
        }
    }

    /// Returns the subject of the call, which the first message names. That message is read before anything
    /// is sent.
    pub(super) async fn subject(&mut self) -> Result<Option<String>, Refusal> {
        if self.entry.method.subject().is_some() {
            // The subject must be known before the provider is asked, because the opening record of a stream
            // names its pseudonym.
            self.ahead = self.next().await?;
            if self.ahead.is_none() {
                return Err(Reason::Cardinality.into());
            }
        }
        Ok(self.subject.clone())
    }

    /// Returns the handle that says, after the exchange has broken off, whether this side stopped it.
    pub(super) fn stopped(&self) -> Stopped {
        self.stopped.clone()
    }

    /// Returns the body that is sent to the provider.
    pub(super) fn into_body(self) -> RequestBody {
        // A stream and not a task: the provider's connection asks for the next message when it has room,
        // which is the backpressure.
        let frames = stream::try_unfold(self, |mut requests| async move {
            let message = match requests.ahead.take() {
                Some(message) => Some(message),
                None => requests.next().await.map_err(|refusal| requests.stop(refusal))?,
            };
            let Some(message) = message else { return Ok(None) };
            let framed =
                framed(message, requests.encoding_to_server).map_err(|refusal| requests.stop(refusal))?;
            Ok::<_, BoxError>(Some((Frame::data(framed), requests)))
        });
        RequestBody::Stream(StreamBody::new(frames).boxed_unsync())
    }

    async fn next(&mut self) -> Result<Option<Message>, Refusal> {
        let Some(message) = self.reader.next_message().await.map_err(check::malformed)? else {
            return Ok(None);
        };
        self.judge.still_holds()?;
        let subject = check::check(&self.entry.method, &message.bytes)?;
        self.same_subject(subject)?;
        // The digest takes the message before it is sent: a message may be recorded and not sent, never sent
        // and not recorded.
        self.digest.message(&message.bytes);
        Ok(Some(message))
    }

    /// One call is about one citizen: its record has one pseudonym.
    fn same_subject(&mut self, named: Option<String>) -> Result<(), Refusal> {
        match (&self.subject, &named) {
            (Some(first), Some(named)) if first != named => {
                let path = self.entry.method.subject().map(ToString::to_string).unwrap_or_default();
                Err(Refusal::from(Reason::FieldInvalid)
                    .violation(path, "names another citizen than the call began with"))
            }
            // A later message need not repeat the subject.
            (Some(_), _) => Ok(()),
            (None, _) => {
                self.subject = named;
                Ok(())
            }
        }
    }

    fn stop(&self, refusal: Refusal) -> BoxError {
        let detail = refusal.reason().as_str();
        // It is set once: a body that has failed is not polled again.
        self.stopped.set(refusal);
        detail.into()
    }
}

/// Frames a message for the provider: the bytes that were checked here, compressed again if the caller
/// compressed them and the server accepts that encoding.
pub(super) fn framed(message: Message, encoding_to_server: Option<Encoding>) -> Result<Bytes, Refusal> {
    message
        .framed(encoding_to_server)
        .map_err(|error| Refusal::from(Reason::DecompressionFailed).with_detail(error.to_string()))
}
