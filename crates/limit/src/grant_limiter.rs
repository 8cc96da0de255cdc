//! `GrantLimiter` holds each grant's limits: those of this gateway by a [`Limiter`], and the rate among all
//! gateways where they share one through Redis. A call must be within both, so that a Redis that answers
//! anything lets no gateway admit more than the limit by itself.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_model::{GrantId, Limits};

use crate::limiter::{Admission, Denied, Limiter};
use crate::shared::{Shared, SharedRate};
use crate::usage::{Kind, Usage};

/// The limits of every grant.
pub struct GrantLimiter {
    own: Limiter,
    shared: Option<Arc<Shared>>,
    rates: HashMap<GrantId, (Limits, Arc<SharedRate>)>,
}

impl GrantLimiter {
    /// Limits for `grants`, as [`Limiter::new`]; their rates are shared through `shared`, if there is one.
    pub fn new(grants: &[(GrantId, Limits)], shared: Option<Arc<Shared>>) -> Self {
        let rates = rates(grants, shared.as_ref(), &HashMap::new());
        Self { own: Limiter::new(grants.iter().cloned()), shared, rates }
    }

    /// The limits for the grants of a new registry, as [`Limiter::next`].
    pub fn next(&self, grants: &[(GrantId, Limits)]) -> Self {
        let rates = rates(grants, self.shared.as_ref(), &self.rates);
        Self { own: self.own.next(grants.iter().cloned()), shared: self.shared.clone(), rates }
    }

    /// Counts one call of `grant`. With Redis it waits at most 5 ms for a token, and only if none was leased
    /// ahead.
    ///
    /// # Errors
    /// As [`Limiter::admit`].
    pub async fn admit(&self, grant: &GrantId) -> Result<Admission, Denied> {
        let Some((_, rate)) = self.rates.get(grant) else { return self.own.admit(grant) };
        // The concurrency permit is taken first, so that a call without a place spends nothing.
        let admission = self.own.admit_again(grant)?;
        if let Err(wait) = rate.take().await {
            return Err(self.own.refused(grant, wait));
        }
        self.own.count(grant).inspect_err(|_| rate.give_back())?;
        Ok(admission)
    }

    /// As [`Limiter::admit_again`].
    ///
    /// # Errors
    /// As [`Limiter::admit_again`].
    pub fn admit_again(&self, grant: &GrantId) -> Result<Admission, Denied> {
        self.own.admit_again(grant)
    }

    /// How `grant` stands; what is left of a shared rate is left for all gateways.
    pub fn usage(&self, grant: &GrantId) -> Option<Usage> {
        let mut usage = self.own.usage(grant)?;
        if let (Some((_, rate)), Some(shared)) = (self.rates.get(grant), &self.shared) {
            let shared = shared.usage();
            for limit in usage.limits.iter_mut().filter(|limit| limit.kind == Kind::Rate) {
                if shared.is_up {
                    limit.left = u64::from(rate.left()).min(limit.most);
                    limit.used = limit.most - limit.left;
                } else {
                    limit.limit += &format!(" (Redis does not answer: 1/{} of it here)", shared.replicas);
                }
            }
        }
        Some(usage)
    }

    /// Resets `grant` at this gateway, as [`Limiter::reset`], and fills its shared bucket. Other gateways go
    /// on counting the whole limit for themselves. Returns whether Redis filled the bucket, true if there is
    /// none; nothing for a grant that the limiter does not know.
    pub async fn reset(&self, grant: &GrantId) -> Option<bool> {
        let is_full = match (self.rates.get(grant), &self.shared) {
            (Some((_, rate)), Some(shared)) => shared.fill(rate).await,
            _ => true,
        };
        self.own.reset(grant).then_some(is_full)
    }
}

fn rates(
    grants: &[(GrantId, Limits)],
    shared: Option<&Arc<Shared>>,
    before: &HashMap<GrantId, (Limits, Arc<SharedRate>)>,
) -> HashMap<GrantId, (Limits, Arc<SharedRate>)> {
    let Some(shared) = shared else { return HashMap::new() };
    let entry = |(grant, limits): &(GrantId, Limits)| {
        let same = before.get(grant).filter(|(known, _)| known == limits).map(|(_, rate)| Arc::clone(rate));
        let rate = same.or_else(|| shared.rate(grant, limits))?;
        Some((grant.clone(), (*limits, rate)))
    };
    grants.iter().filter_map(entry).collect()
}
