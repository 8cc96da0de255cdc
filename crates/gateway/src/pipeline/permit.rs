//! The step *permit* finds the grant that allows the call by caller, method, purpose and delegation, with its
//! fields and rows. It also fixes the deadline: the lesser of the caller's `grpc-timeout` and the contract's
//! timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::{Clock, Reason};
use chapar_registry::{MethodEntry, Permit, Question, Registry};
use chapar_transport::timeout;

use super::call::Call;
use super::record::OpenRecord;
use super::route::Routed;
use crate::metadata::Metadata;
use crate::refusal::Refusal;

/// `Permitted` is a call that the provider's policy allows.
pub(super) struct Permitted {
    call: Call,
    entry: Arc<MethodEntry>,
    permit: Arc<Permit>,
    metadata: Metadata,
    deadline: Instant,
    /// The caller leaves the provider all the time that the contract gives it.
    full_time: bool,
}

impl Permitted {
    pub(super) fn full_time(&self) -> bool {
        self.full_time
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn permit(&self) -> &Arc<Permit> {
        &self.permit
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn entry(&self) -> &MethodEntry {
        &self.entry
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(super) fn into_parts(self) -> (Call, Arc<MethodEntry>, Arc<Permit>, Metadata, Instant) {
        (self.call, self.entry, self.permit, self.metadata, self.deadline)
    }
}

pub(super) fn permit(
    registry: &Registry,
    clock: &Clock,
    routed: Routed,
    record: &mut OpenRecord,
) -> Result<Permitted, Refusal> {
    let Routed { call, entry } = routed;
    let metadata = Metadata::parse(&call.headers)?;
    // A purpose that the contract does not know may be any text, even a citizen's id, so it appears in no
    // message, span or log line.
    let is_known = metadata.purpose.as_ref().is_some_and(|purpose| entry.method.purposes().contains(purpose));
    let purpose = metadata.purpose.clone().filter(|_| is_known);
    if let Some(purpose) = &purpose {
        call.span.purpose(purpose);
    }
    // The record keeps the metadata also if the call is refused below, so that an auditor sees what was asked
    // for.
    record.metadata(&Metadata { purpose, ..metadata.clone() });
    let question = Question {
        caller: &call.caller.id,
        method: &entry,
        purpose: metadata.purpose.as_ref(),
        case: metadata.case.as_ref(),
        clerk: metadata.clerk.as_ref(),
        on_behalf_of: metadata.on_behalf_of.as_ref(),
        now: clock.now(),
    };
    let permit = registry
        .decide(&question)
        .map_err(|refused| Refusal::from(refused.reason).with_detail(refused.detail))?;
    record.permit(&permit);
    call.span.permit(&permit);
    let allowed = allowed(&call, entry.method.timeout())?;
    let full_time = allowed >= entry.method.timeout();
    // The deadline counts from the start of the call and not from here, so that the steps before count as
    // well.
    let deadline = call.started + allowed;
    record.deadline(deadline);
    Ok(Permitted { call, entry, permit, metadata, deadline, full_time })
}

/// Returns how long the call may take: the contract's timeout if the caller gives none, else the lesser of
/// both.
fn allowed(call: &Call, contract: Duration) -> Result<Duration, Refusal> {
    let asked = timeout::of(&call.headers).map_err(|_| Refusal::from(Reason::TimeoutMalformed))?;
    Ok(asked.map_or(contract, |asked| asked.min(contract)))
}
