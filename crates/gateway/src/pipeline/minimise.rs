//! Minimise: only what the grant names goes on, copied from the adapter's bytes; unknown fields never pass. An answer that
//! does not fit its contract, or is about someone else, is not released at all.

use bytes::Bytes;
use chapar_contract::wire;
use chapar_model::Reason;
use chapar_transport::frame::{FrameError, MessageReader};

use super::forward::{Exchange, Forwarded, adapter_status};
use super::read::Head;
use crate::refusal::Refusal;
use crate::upstream::Incoming;

/// An answer cut down to its grant. Nothing of it has left yet.
pub(super) struct Minimised {
    pub(super) head: Head,
    pub(super) answer: Answer,
}

pub(super) enum Answer {
    /// The one message of a unary method.
    Unary(Bytes),
    /// The first message of a stream, if it has any, and the rest of it.
    Stream { first: Option<Bytes>, rest: Box<Messages> },
}

pub(super) async fn minimise(forwarded: Forwarded) -> Result<Minimised, Refusal> {
    let Forwarded { head, answer, exchange } = forwarded;
    let mut messages = Messages { reader: answer, _exchange: exchange };
    let first = messages.next(&head).await?;
    let answer = match (head.entry.method.kind().streams_responses(), first) {
        (false, Some(message)) => match messages.next(&head).await? {
            None => Answer::Unary(message),
            Some(_) => return Err(violation("adapter answered a unary call with two messages")),
        },
        (false, None) => return Err(violation("adapter answered OK without a message")),
        (true, first) => Answer::Stream { first, rest: Box::new(messages) },
    };
    Ok(Minimised { head, answer })
}

/// The messages of an answer, each minimised before anyone sees it.
pub(super) struct Messages {
    reader: MessageReader<Incoming>,
    _exchange: Exchange,
}

impl Messages {
    /// The next message; nothing after the end, which must be an OK status.
    pub(super) async fn next(&mut self, head: &Head) -> Result<Option<Bytes>, Refusal> {
        match self.reader.next().await.map_err(broken)? {
            Some(message) => cut(head, &message).map(Some),
            None => {
                let trailers = self.reader.trailers().ok_or_else(|| {
                    Refusal::from(Reason::AdapterUnavailable).because("adapter's answer ended without a status")
                })?;
                adapter_status(trailers).map(|()| None)
            }
        }
    }
}

fn cut(head: &Head, message: &Bytes) -> Result<Bytes, Refusal> {
    let kept = head.permit.mask.keep(message).map_err(|error| violation(error.to_string()))?;
    if let (Some(key), Some(subject)) = (head.entry.method.key(), &head.subject) {
        let echoed = wire::find(&kept, key.numbers()).map_err(|error| violation(error.to_string()))?;
        let echoed = echoed.and_then(|value| value.to_text()).map(|text| head.entry.method.normalise_subject(&text));
        if echoed.as_ref() != Some(subject) {
            return Err(violation(format!("`{key}` is not the subject that was asked for")));
        }
    }
    Ok(kept)
}

fn violation(gate: impl Into<String>) -> Refusal {
    Refusal::from(Reason::ContractViolation).because(gate)
}

fn broken(error: FrameError) -> Refusal {
    let reason = match error {
        FrameError::Body(_) => Reason::AdapterUnavailable,
        _ => Reason::ContractViolation,
    };
    Refusal::from(reason).because(error.to_string())
}
