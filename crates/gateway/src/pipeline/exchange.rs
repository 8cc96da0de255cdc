//! `Exchange` lasts as long as a provider is asked and answers, and tells how that ended: with which refusal,
//! and who is to blame for it.

use std::sync::{Arc, OnceLock};

use chapar_model::{Reason, header};
use chapar_registry::Server;
use http::{HeaderMap, HeaderValue};

use super::carried;
use crate::observe::Stage;
use crate::refusal::{PROVIDER_RETRY, Refusal};
use crate::upstream::{End, UpstreamPermit};

/// What lasts as long as the exchange with the provider: its span, its place among the service's calls, and
/// the request while that is still on its way.
pub(super) struct Exchange {
    _stage: Stage,
    place: UpstreamPermit,
    stopped: Stopped,
}

impl Exchange {
    pub(super) fn new(stage: Stage, place: UpstreamPermit, stopped: Stopped) -> Self {
        Self { _stage: stage, place, stopped }
    }

    /// The head of an answer that is no refusal has come.
    pub(super) fn head_came(&mut self) {
        self.place.head_came();
    }

    /// The provider broke off, or gave an end that is none. Unless the request was ended here: then that is
    /// why.
    pub(super) fn broken(&mut self, otherwise: Refusal) -> Refusal {
        self.stopped.refusal().unwrap_or_else(|| {
            self.place.ended(&End::Refused(&otherwise));
            otherwise
        })
    }

    /// The end of an answer, from its trailers: OK, or why not.
    pub(super) fn end(&mut self, trailers: &HeaderMap, server: &Server) -> Result<(), Refusal> {
        let ended = status(trailers, server);
        self.place.ended(&ended.as_ref().err().map_or(End::Answered, End::Refused));
        ended
    }
}

/// Why the request was broken off here, if it was: the provider only sees its stream reset.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<OnceLock<Refusal>>);

impl Stopped {
    /// The refusal that ended the request.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.0.get().cloned()
    }

    /// The request was broken off for this. The first word counts.
    pub(super) fn set(&self, refusal: Refusal) {
        self.0.set(refusal).ok();
    }
}

/// What an adapter may say of its own data; any other word, or none, means that the adapter is in trouble.
const FROM_ADAPTER: [Reason; 16] = [
    Reason::MessageTooLarge,
    Reason::FrameMalformed,
    Reason::Cardinality,
    Reason::RecordNotFound,
    Reason::RecordNotUnique,
    Reason::TooManyRows,
    Reason::SchemaDrift,
    Reason::ValueUnreadable,
    Reason::NullInRequired,
    Reason::SourceDown,
    Reason::SourceBusy,
    Reason::SourceTimeout,
    Reason::SourceRefused,
    Reason::DeadlineExceeded,
    Reason::FieldInvalid,
    Reason::RequestMalformed,
];

/// The end of an answer: OK, the own status of an agency's own server, or a refusal with a reason that we
/// choose; an adapter's own text goes nowhere.
pub(super) fn status(trailers: &HeaderMap, server: &Server) -> Result<(), Refusal> {
    let text =
        |name| trailers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let status = text("grpc-status");
    if status == "0" {
        return Ok(());
    }
    if let (Server::Grpc(_), Some(refusal)) = (server, carried::status(trailers, server)) {
        return Err(refusal);
    }
    // The word is compared with a list, because an adapter must not choose reasons that blame the caller's
    // rights, such as `NOT_GRANTED`.
    let said = text(header::REASON).parse::<Reason>().ok().filter(|reason| FROM_ADAPTER.contains(reason));
    let refusal = match said {
        Some(reason) => Refusal::from(reason),
        None => misbehaved(format!("adapter ended with status {status:.3}")),
    };
    Err(if refusal.reason().is_transient() { refusal.retry_after(PROVIDER_RETRY) } else { refusal })
}

/// The provider broke off, or ended in a way that no provider may.
pub(super) fn misbehaved(gate: impl Into<String>) -> Refusal {
    Refusal::from(Reason::AdapterUnavailable).retry_after(PROVIDER_RETRY).with_detail(gate)
}
