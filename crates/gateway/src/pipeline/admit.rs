//! The step *admit* takes a permit of the grant's concurrency and a token of its rate (GCRA), which gateways
//! may share through Redis. The request is not read yet, so a refusal costs the provider nothing. A repeated
//! attempt of a counted call takes no token.

use std::time::Instant;

use chapar_limit::{Admission, Denied, GrantLimiter};
use chapar_model::Reason;

use super::permit::Permitted;
use super::record::OpenRecord;
use crate::attempts::{Attempts, RequestIdAttempt};
use crate::refusal::Refusal;

/// `Admitted` is a call within its grant's limits. It holds its concurrency permit until it is dropped.
pub(super) struct Admitted {
    pub(super) permitted: Permitted,
    pub(super) admission: Admission,
    /// Set for a call with a request id, whose message is still to be compared.
    pub(super) attempt: Option<RequestIdAttempt>,
}

pub(super) async fn admit(
    limiter: &GrantLimiter,
    attempts: &Attempts,
    permitted: Permitted,
    record: &mut OpenRecord,
) -> Result<Admitted, Refusal> {
    let mut attempt = attempt(attempts, &permitted)?;
    let grant = &permitted.permit().grant.id;
    let is_free = attempt.as_ref().is_some_and(RequestIdAttempt::is_free);
    // A repeated attempt takes no token but still a concurrency permit: it occupies the provider like any
    // call.
    let admitted = if is_free { limiter.admit_again(grant) } else { limiter.admit(grant).await };
    let admission = admitted.map_err(|denied| match denied {
        Denied::Rate { retry_after, limit } => {
            Refusal::from(Reason::RateLimited).retry_after(retry_after).quota(grant.as_str(), limit)
        }
        Denied::Concurrency { limit } => Refusal::from(Reason::ConcurrencyLimited)
            .quota(grant.as_str(), format!("{limit} concurrent calls")),
    })?;
    if let Some(attempt) = &mut attempt {
        // Counted only after the limiter admitted the call. An attempt that was refused must not make the
        // next one free.
        attempt.counted();
        record.attempt(attempt.number());
    }
    Ok(Admitted { permitted, admission, attempt })
}

/// Begins the attempt of a call with a request id. A streamed request is complete only after it was sent, so
/// its id is recorded and not compared.
fn attempt(attempts: &Attempts, permitted: &Permitted) -> Result<Option<RequestIdAttempt>, Refusal> {
    let call = permitted.call();
    let method = &permitted.entry().method;
    let metadata = permitted.metadata();
    let Some(id) = metadata.request_id.filter(|_| !method.kind().streams_requests()) else { return Ok(None) };
    // The caller and the method are part of the name, so that one caller cannot meet or block the ids of
    // another.
    let name = [call.caller.id.as_str(), method.path().as_str(), &id.to_string()];
    let intent = [
        permitted.permit().grant.id.as_str(),
        metadata.purpose.as_ref().map_or("", |purpose| purpose.as_str()),
        metadata.case.as_ref().map_or("", |case| case.as_str()),
        metadata.clerk.as_ref().map_or("", |clerk| clerk.as_str()),
        metadata.on_behalf_of.as_ref().map_or("", |member| member.as_str()),
    ];
    attempts.begin(&name, &intent, Instant::now()).map(Some).map_err(|_| Reason::RequestIdConflict.into())
}
