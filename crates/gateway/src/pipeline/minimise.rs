//! The step *minimise* takes the provider's answer as messages that are cut down to the grant (`messages`). A
//! single message is read with its status, and of a stream the first one, before the disclosure is recorded.

use chapar_contract::MethodKind;

use super::forward::Forwarded;
use super::messages::{Messages, Minimised, MinimisedAnswer, violation};
use crate::refusal::Refusal;

pub(super) async fn minimise(forwarded: Forwarded) -> Result<Minimised, Refusal> {
    let Forwarded { head, answer, encoding, metadata, exchange } = forwarded;
    let mut messages = Messages::new(answer, encoding, exchange);
    let answer = match head.entry.method.kind() {
        MethodKind::Unary | MethodKind::ClientStreaming => {
            let only = messages.next(&head).await?;
            let only = only.ok_or_else(|| violation("adapter answered OK without a message"))?;
            // The second read also waits for the trailers, so that a status other than OK is known before the
            // disclosure is recorded.
            if messages.next(&head).await?.is_some() {
                return Err(violation("adapter answered a unary call with two messages"));
            }
            MinimisedAnswer::Unary(only, messages.trailers(&head))
        }
        MethodKind::ServerStreaming => {
            // A stream that is refused before its first message is a refusal, and no disclosure that was
            // broken off.
            messages.look_ahead(&head).await?;
            MinimisedAnswer::Stream(Box::new(messages))
        }
        // The first message may wait for one that the caller sends only once it sees the headers.
        MethodKind::BidiStreaming => MinimisedAnswer::Stream(Box::new(messages)),
    };
    Ok(Minimised { head, encoding, metadata, answer })
}
