//! `Exchange` lasts as long as a provider is asked and answers. It reports how the exchange ended: with which
//! refusal, and who is to blame for it.

use std::sync::{Arc, OnceLock};

use chapar_model::{Reason, header};
use chapar_registry::Server;
use http::{HeaderMap, HeaderValue};

use super::carried;
use crate::observe::Stage;
use crate::refusal::{PROVIDER_RETRY, Refusal};
use crate::upstream::{ExchangeEnd, UpstreamPermit};

/// `Exchange` holds what lasts as long as the exchange with the provider: its span, its permit among the
/// service's calls, and the request while it is still being sent.
pub(super) struct Exchange {
    _stage: Stage,
    place: UpstreamPermit,
    stopped: Stopped,
}

impl Exchange {
    pub(super) fn new(stage: Stage, place: UpstreamPermit, stopped: Stopped) -> Self {
        Self { _stage: stage, place, stopped }
    }

    /// Notes that the head of an answer has arrived that is not a refusal.
    pub(super) fn head_came(&mut self) {
        self.place.head_came();
    }

    /// Returns the refusal for an answer that broke off or had an invalid end. If the gateway itself stopped
    /// the request, its own refusal is returned and the provider is not blamed; otherwise `otherwise` is.
    pub(super) fn broken(&mut self, otherwise: Refusal) -> Refusal {
        self.stopped.refusal().unwrap_or_else(|| {
            self.place.ended(&ExchangeEnd::Refused(&otherwise));
            otherwise
        })
    }

    /// Reads the end of an answer from its trailers: OK, or a refusal.
    pub(super) fn end(&mut self, trailers: &HeaderMap, server: &Server) -> Result<(), Refusal> {
        let ended = status(trailers, server);
        self.place.ended(&ended.as_ref().err().map_or(ExchangeEnd::Answered, ExchangeEnd::Refused));
        ended
    }
}

/// `Stopped` holds why the gateway stopped the request, if it did. The provider sees only that its stream was
/// reset.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<OnceLock<Refusal>>);

impl Stopped {
    /// The refusal that ended the request.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.0.get().cloned()
    }

    /// Sets the refusal that stopped the request. Only the first one is kept, since later ones follow from
    /// it.
    pub(super) fn set(&self, refusal: Refusal) {
        self.0.set(refusal).ok();
    }
}

/// Maps the trailers of an answer to OK, to the status of an agency's own server, or to a refusal with a
/// reason of the catalogue. An adapter's text is never passed on, because it may have a citizen's data.
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
    // An adapter must not choose reasons that blame the caller's rights, such as `NOT_GRANTED`.
    let said = text(header::REASON).parse::<Reason>().ok().filter(|reason| reason.is_for_adapters());
    let refusal = match said {
        Some(reason) => Refusal::from(reason),
        None => misbehaved(format!("adapter ended with status {status:.3}")),
    };
    Err(if refusal.reason().is_transient() { refusal.retry_after(PROVIDER_RETRY) } else { refusal })
}

/// Makes the refusal for a provider that broke off, or ended in a way that is not allowed.
pub(super) fn misbehaved(detail: impl Into<String>) -> Refusal {
    Refusal::from(Reason::AdapterUnavailable).retry_after(PROVIDER_RETRY).with_detail(detail)
}
