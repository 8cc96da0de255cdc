//! `UpstreamPermit` is held by a call during its exchange with a provider, and reports the outcome to the
//! breaker.

use std::sync::Arc;
use std::time::Instant;

use chapar_model::SubsystemId;

use super::blame::{Blame, ExchangeEnd};
use super::breaker::BreakerPermit;
use super::endpoint::Endpoint;
use super::service_queue::ServiceSlot;

/// A call's place at a provider: one of the calls that the service serves at once. Held until the response's
/// body has ended.
pub(crate) struct UpstreamPermit {
    _taken: Option<ServiceSlot>,
    attempt: UpstreamAttempt,
}

impl UpstreamPermit {
    pub(super) fn new(taken: Option<ServiceSlot>, attempt: UpstreamAttempt) -> Self {
        Self { _taken: taken, attempt }
    }

    /// Tells how the exchange ended; the first word counts. A place that is dropped without a word tells
    /// nothing: the caller went away.
    pub(crate) fn ended(&mut self, end: &ExchangeEnd<'_>) {
        self.attempt.ended(end);
    }

    /// The head of an answer that is no refusal has come: that ends the trial of an endpoint, whose stream
    /// may last for hours.
    pub(crate) fn head_came(&mut self) {
        // Only the trial is reported early. An ordinary call may still fail in its body, and that counts.
        if self.attempt.permit == Some(BreakerPermit::Trial) {
            self.attempt.ended(&ExchangeEnd::Answered);
        }
    }
}

/// One try of an endpoint, which its breaker hears of in any case.
pub(super) struct UpstreamAttempt {
    endpoint: Arc<Endpoint>,
    caller: SubsystemId,
    permit: Option<BreakerPermit>,
    /// While the head of the answer is waited for: when the endpoint is late.
    due: Option<Instant>,
}

impl UpstreamAttempt {
    /// `due` is when the endpoint is to blame for having said nothing; nothing where it may rightly wait for
    /// the caller.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        caller: SubsystemId,
        permit: BreakerPermit,
        due: Option<Instant>,
    ) -> Self {
        Self { endpoint, caller, permit: Some(permit), due }
    }

    /// The head of the answer has come.
    pub(super) fn answered(&mut self) {
        self.due = None;
    }

    /// Judges the end of the exchange; later ends are ignored.
    pub(super) fn ended(&mut self, end: &ExchangeEnd<'_>) -> Blame {
        let blame = Blame::of(end);
        self.release(Some(blame));
        blame
    }

    /// The request never got to the endpoint, which says nothing of either side.
    pub(super) fn never_arrived(&mut self) {
        self.release(None);
    }

    fn release(&mut self, blame: Option<Blame>) {
        if let Some(permit) = self.permit.take() {
            self.endpoint.release(permit, &self.caller, blame);
        }
    }
}

impl Drop for UpstreamAttempt {
    fn drop(&mut self) {
        // A call that is dropped after its due time was cut by the deadline, so the endpoint was late and is
        // to blame.
        let is_late = self.due.is_some_and(|due| Instant::now() >= due);
        self.ended(&ExchangeEnd::Abandoned { is_late });
    }
}
