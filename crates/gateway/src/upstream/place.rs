//! What a call holds for as long as its exchange with a provider lasts, and how it tells what became of it.

use tokio::sync::OwnedSemaphorePermit;

/// How an exchange ended, as far as the provider is to blame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The provider answered, be it with a refusal: it works.
    Ok,
    /// It broke off, or said that it is in trouble.
    Failed,
}

/// A call's place at a provider: one of the calls that the service serves at once. Held until the response's body has ended.
pub(crate) struct Place {
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Tells how the exchange ended; the first word counts. A place that is dropped without a word tells nothing: the caller
    /// went away.
    pub(crate) fn outcome(&mut self, _outcome: Outcome) {}
}
