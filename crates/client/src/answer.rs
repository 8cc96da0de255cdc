//! This module reads an answer as it arrives: first its messages, then how the call ended.

use bytes::Bytes;
use chapar_model::header;
use chapar_transport::dial::Incoming;
use chapar_transport::frame::{FrameError, MessageReader};
use http::HeaderMap;
use tokio::time::Instant;

use crate::error::CallError;
use crate::refusal::{Refusal, text};

/// The messages of an answer, one after the other.
pub struct Messages {
    pub(crate) gateway: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: MessageReader<Incoming>,
    /// The client's own deadline, a little after the call's, which the gateway enforces.
    pub(crate) until: Option<Instant>,
}

/// Headers and trailers of an answer that ended with the status OK.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The headers, which came before the messages.
    pub headers: HeaderMap,
    /// The trailers.
    pub trailers: HeaderMap,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The messages; one unless the method streams.
    pub messages: Vec<Bytes>,
    /// Headers and trailers.
    pub ending: Ending,
}

impl Messages {
    /// The bus's name of the call.
    pub fn call_id(&self) -> Option<String> {
        text(&self.headers, header::CALL_ID)
    }

    /// The next message; nothing after the last. A stream that was refused midway ends in the refusal.
    ///
    /// # Errors
    /// [`CallError`]; there is nothing more to read then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let next = self.body.next();
        let next = match self.until {
            None => next.await,
            Some(until) => match tokio::time::timeout_at(until, next).await {
                Ok(next) => next,
                Err(_) => return Err(CallError::Late { call_id: self.call_id() }),
            },
        };
        let next = match next {
            // A server may break off within a message to refuse; its trailers say so.
            Err(FrameError::Truncated) => {
                self.refused()?;
                return Err(self.garbled("the answer ends inside a message"));
            }
            next => next.map_err(|error| self.unreadable(&error))?,
        };
        // After the last message the trailers say whether the call ended well.
        if next.is_none() {
            self.refused()?;
        }
        Ok(next)
    }

    /// Reads on to the end of the call.
    ///
    /// # Errors
    /// As [`Messages::next`].
    pub async fn ending(mut self) -> Result<Ending, CallError> {
        // The trailers come after the last message, so the rest is read and dropped.
        while self.next().await?.is_some() {}
        let trailers = self.body.trailers().cloned().unwrap_or_default();
        Ok(Ending { headers: self.headers, trailers })
    }

    /// Reads the whole answer.
    pub(crate) async fn answer(mut self) -> Result<Answer, CallError> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await? {
            messages.push(message);
        }
        Ok(Answer { messages, ending: self.ending().await? })
    }

    fn refused(&self) -> Result<(), CallError> {
        let none = HeaderMap::new();
        let trailers = self.body.trailers().unwrap_or(&none);
        match Refusal::read(trailers, self.call_id()) {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(refusal.into()),
            Err(problem) => Err(self.garbled(problem)),
        }
    }

    fn unreadable(&self, error: &FrameError) -> CallError {
        match error {
            FrameError::Body(cause) => {
                CallError::Broken { gateway: self.gateway.clone(), problem: cause.to_string() }
            }
            other => self.garbled(other),
        }
    }

    pub(crate) fn garbled(&self, problem: impl ToString) -> CallError {
        CallError::Garbled { gateway: self.gateway.clone(), problem: problem.to_string() }
    }
}

impl Answer {
    /// The first message, which is the only one of a unary call.
    pub fn message(&self) -> Option<&Bytes> {
        self.messages.first()
    }
}

impl Ending {
    /// The bus's name of the call.
    pub fn call_id(&self) -> Option<String> {
        text(&self.headers, header::CALL_ID)
    }

    /// The record of the call, `ORIGIN/INDEX`: what [`crate::Client::receipt`] takes.
    pub fn entry(&self) -> Option<String> {
        text(&self.trailers, header::ENTRY)
    }

    /// Paths of the fields that may be in the answer.
    pub fn disclosed(&self) -> Vec<String> {
        self.fields("disclosed")
    }

    /// Paths of the fields that the grant does not allow.
    pub fn withheld(&self) -> Vec<String> {
        self.fields("withheld")
    }

    /// `disclosed=a,b;withheld=c`.
    fn fields(&self, which: &str) -> Vec<String> {
        let fields = text(&self.trailers, header::FIELDS).unwrap_or_default();
        // Other parts are skipped, so that a newer gateway may add some.
        let part = fields.split(';').find_map(|part| part.trim().strip_prefix(which)?.strip_prefix('='));
        let paths = part.into_iter().flat_map(|list| list.split(','));
        paths.filter(|path| !path.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_disclosed_and_what_was_withheld_is_told_by_the_trailers() {
        let ending = |fields: &str| {
            let mut trailers = HeaderMap::new();
            trailers.insert(header::FIELDS, fields.parse().unwrap());
            let ending = Ending { trailers, ..Ending::default() };
            (ending.disclosed().join(" "), ending.withheld().join(" "))
        };
        assert_eq!(ending("disclosed=a,b.c;withheld=d"), ("a b.c".to_owned(), "d".to_owned()));
        assert_eq!(ending("disclosed=a;withheld="), ("a".to_owned(), String::new()));
        assert_eq!(ending("withheld=a"), (String::new(), "a".to_owned()));
        assert_eq!(ending("other"), (String::new(), String::new()));
    }
}
