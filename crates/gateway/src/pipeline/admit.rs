//! Admit: the grant's rate, burst and concurrency. Costs nothing behind it: the request has not been read yet.

use chapar_limit::{Admission, Denied, Limiter};
use chapar_model::Reason;

use super::permit::Permitted;
use crate::refusal::Refusal;

/// A call within its grant's limits. Holds the place among the concurrent calls until it is dropped.
pub(super) struct Admitted {
    pub(super) permitted: Permitted,
    pub(super) admission: Admission,
}

pub(super) fn admit(limiter: &Limiter, permitted: Permitted) -> Result<Admitted, Refusal> {
    let grant = &permitted.permit().grant.id;
    let admission = limiter.admit(grant).map_err(|denied| match denied {
        Denied::Rate { retry_after, limit } => {
            Refusal::from(Reason::RateLimited).retry_after(retry_after).quota(grant.as_str(), limit)
        }
        Denied::Concurrency { limit } => {
            Refusal::from(Reason::ConcurrencyLimited).quota(grant.as_str(), format!("{limit} concurrent calls"))
        }
    })?;
    Ok(Admitted { permitted, admission })
}
