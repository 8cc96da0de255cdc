//! This module reads the messages of a provider's answer and cuts each down to the grant before any other
//! step sees it: only the granted fields are copied from its bytes, so that unknown fields never pass. A
//! message that does not fit its contract, or whose key field names another citizen than the subject, is not
//! released.

use std::time::Instant;

use bytes::Bytes;
use chapar_contract::wire;
use chapar_model::Reason;
use chapar_registry::Server;
use chapar_transport::dial::Incoming;
use chapar_transport::encoding::Encoding;
use chapar_transport::frame::{FrameError, Message, MessageReader};
use http::HeaderMap;

use super::carried;
use super::exchange::{Exchange, misbehaved};
use super::head::Head;
use super::rows::Rows;
use crate::refusal::Refusal;

/// `Minimised` is an answer that is cut down to its grant. Nothing of it has been released yet.
pub(super) struct Minimised {
    pub(super) head: Head,
    /// Encoding of its compressed messages.
    pub(super) encoding: Option<Encoding>,
    /// Metadata of the provider that is sent with the headers.
    pub(super) metadata: HeaderMap,
    pub(super) answer: MinimisedAnswer,
}

impl Minimised {
    /// Whether an agency's own server answers with a stream in which no message is left.
    pub(super) fn is_empty_stream_of_own_server(&self) -> bool {
        let is_own = self.head.entry.service.server != Server::Adapter;
        is_own && matches!(&self.answer, MinimisedAnswer::Stream(messages) if messages.is_empty())
    }

    /// When the call has to be over.
    pub(super) fn deadline(&self) -> Instant {
        self.head.deadline
    }
}

pub(super) enum MinimisedAnswer {
    /// The one message of a unary method, and what of the provider's trailers goes out after it.
    Unary(MinimisedMessage, HeaderMap),
    /// The messages of a stream.
    Stream(Box<Messages>),
}

/// One message that is cut down to the grant.
pub(super) struct MinimisedMessage {
    /// Its bytes, as the record commits to them.
    pub(super) bytes: Bytes,
    /// The same message as one gRPC frame, compressed if the provider sent it compressed.
    pub(super) framed: Bytes,
}

/// `Messages` reads the messages of an answer and minimises each.
pub(super) struct Messages {
    reader: MessageReader<Incoming>,
    encoding: Option<Encoding>,
    exchange: Exchange,
    rows: Rows,
    /// The next result of [`Messages::next`], if it was read ahead.
    ahead: Option<Option<MinimisedMessage>>,
}

impl Messages {
    pub(super) fn new(
        reader: MessageReader<Incoming>,
        encoding: Option<Encoding>,
        exchange: Exchange,
    ) -> Self {
        Self { reader, encoding, exchange, rows: Rows::default(), ahead: None }
    }

    /// The next message; nothing after the end, which must be an OK status.
    pub(super) async fn next(&mut self, head: &Head) -> Result<Option<MinimisedMessage>, Refusal> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(ahead);
        }
        loop {
            match self.reader.next_message().await {
                Ok(Some(message)) if self.rows.may_pass(head, &message.bytes)? => {
                    return cut(head, message, self.encoding).map(Some);
                }
                // A row outside the scope is passed over without a trace, so that a stream does not tell how
                // many there are.
                Ok(Some(_)) => {}
                Ok(None) => return self.end(head),
                Err(error) => return Err(self.exchange.broken(broken(error))),
            }
        }
    }

    /// The end of the answer, which must be an OK status.
    fn end(&mut self, head: &Head) -> Result<Option<MinimisedMessage>, Refusal> {
        match self.reader.trailers() {
            Some(trailers) => self.exchange.end(trailers, &head.entry.service.server).map(|()| None),
            None => Err(self.exchange.broken(misbehaved("adapter's answer ended without a status"))),
        }
    }

    /// Whether the end has been seen and no message before it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.ahead, Some(None))
    }

    /// Reads the first message, or the end, ahead.
    pub(super) async fn look_ahead(&mut self, head: &Head) -> Result<(), Refusal> {
        let next = self.next(head).await?;
        self.ahead = Some(next);
        Ok(())
    }

    /// Returns the provider's trailers that may pass to the caller, once the end has arrived.
    pub(super) fn trailers(&self, head: &Head) -> HeaderMap {
        self.reader
            .trailers()
            .map_or_else(HeaderMap::new, |all| carried::from_server(all, &head.entry.service.server))
    }
}

fn cut(head: &Head, message: Message, encoding: Option<Encoding>) -> Result<MinimisedMessage, Refusal> {
    let bytes = head.permit.mask.keep(&message.bytes).map_err(|error| violation(error.to_string()))?;
    // The key is read from the bytes after minimisation, so that what is compared is what the caller will
    // see.
    if let (Some(key), Some(subject)) = (head.entry.method.key(), &head.subject) {
        let echoed = wire::find(&bytes, key.numbers()).map_err(|error| violation(error.to_string()))?;
        let echoed =
            echoed.and_then(|value| value.to_text()).map(|text| head.entry.method.normalise_subject(&text));
        if echoed.as_ref() != Some(subject) {
            return Err(violation(format!("`{key}` is not the subject that was asked for")));
        }
    }
    // A value that JSON has no form for must not count as disclosed.
    if let Some(json) = &head.json {
        json.check(&bytes).map_err(|error| violation(error.to_string()))?;
    }
    // Where nothing has to go, `keep` gives the same bytes back, not a copy.
    let is_whole = bytes.len() == message.bytes.len() && bytes.as_ptr() == message.bytes.as_ptr();
    let framed = if is_whole { message.framed(encoding) } else { message.replaced(bytes.clone(), encoding) };
    let framed = framed.map_err(|error| violation(error.to_string()))?;
    Ok(MinimisedMessage { bytes, framed })
}

pub(super) fn violation(detail: impl Into<String>) -> Refusal {
    Refusal::from(Reason::ContractViolation).with_detail(detail)
}

fn broken(error: FrameError) -> Refusal {
    match error {
        FrameError::Body(_) => misbehaved(error.to_string()),
        FrameError::TooLarge { .. } => Refusal::from(Reason::MessageTooLarge).with_detail(error.to_string()),
        FrameError::Corrupt | FrameError::Compressed | FrameError::Truncated => violation(error.to_string()),
    }
}
