//! `CallError` says why a call has no answer: the bus refused it, or no gateway could be reached.

use crate::refusal::Refusal;

/// A call without an answer. No message holds a value of the request.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection ended during the call, which may have been made and recorded.
    #[error("the connection to the gateway at {gateway} failed during the call: {problem}")]
    Broken {
        /// `host:port`.
        gateway: String,
        /// What failed.
        problem: String,
    },
    /// A certificate, key or address that cannot be used.
    #[error(transparent)]
    Config(#[from] chapar_transport::Error),
    /// The answer is not one that a gateway gives.
    #[error("the gateway at {gateway} sent an invalid answer: {problem}")]
    Garbled {
        /// `host:port`.
        gateway: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No answer within the call's own time; the call may have been made and recorded.
    #[error("the gateway did not answer before the call's deadline")]
    Late {
        /// The call id, if the response headers arrived.
        call_id: Option<String>,
    },
    /// The bus or the agency refused the call.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// A text that cannot go into the call's metadata.
    #[error("`{name}` takes plain ASCII text")]
    Unsendable {
        /// The metadata's name.
        name: &'static str,
    },
    /// There is no connection, so the gateway has not seen the call.
    #[error("cannot reach the gateway at {gateway}: {problem}")]
    Unreachable {
        /// `host:port`.
        gateway: String,
        /// What failed.
        problem: String,
    },
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
