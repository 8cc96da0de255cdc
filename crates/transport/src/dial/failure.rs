//! `DialError` says why a request got no response, and whether the server may have processed it (RFC 9113
//! §6.8, §8.7).

use crate::error::causes;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The connection or the stream failed after the request may have been read.
    #[error("the connection to {endpoint} failed: {}", causes(source))]
    Broken {
        /// `host:port`.
        endpoint: String,
        /// What failed.
        source: h2::Error,
    },
    /// Every connection carries as many calls as it may.
    #[error(
        "all HTTP/2 streams to {endpoint} are in use{}",
        if *.own { " up to this caller's share" } else { "" }
    )]
    Full {
        /// `host:port`.
        endpoint: String,
        /// There is room, which is kept for other callers.
        own: bool,
    },
    /// No connection; no server has seen the request. May be tried elsewhere.
    #[error("cannot connect to {endpoint}: {problem}")]
    Unreachable {
        /// `host:port`.
        endpoint: String,
        /// What failed, as text: it is kept for those who ask during the back-off.
        problem: String,
    },
}

impl DialError {
    /// Whether the server may have acted on the request. It has not if it was never connected to, if it
    /// refused the stream (RFC 9113, 8.7), or if it closed the connection in good order before it came to the
    /// stream (6.8).
    pub fn may_have_been_processed(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Unreachable { .. } => false,
            Self::Broken { source, .. } => !untouched(source),
        }
    }

    /// Whether the server refused the one stream, as a server does that has too much to do.
    pub fn was_refused(&self) -> bool {
        matches!(self, Self::Broken { source, .. } if refused(source))
    }

    /// What failed, without the endpoint.
    pub fn cause(&self) -> String {
        match self {
            Self::Broken { source, .. } => causes(source),
            Self::Full { .. } => "no room".to_owned(),
            Self::Unreachable { problem, .. } => problem.clone(),
        }
    }
}

fn refused(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

fn untouched(error: &h2::Error) -> bool {
    refused(error) || error.is_remote() && error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
}
