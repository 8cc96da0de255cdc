//! This module makes the policy of a gateway from its contracts and its registry: the first one, and the one
//! after a reload, which keeps connections and counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_contract::Contract;
use chapar_limit::{GrantLimiter, Limiter, QuotaKeeper, Shared};
use chapar_model::{GrantId, Limits, Quotas, SubsystemId};
use chapar_registry::Registry;
use chapar_transport::dial;

use crate::config::Serving;
use crate::error::Error;
use crate::own::{self, Own};
use crate::pipeline::Policy;
use crate::quota_history::QuotaHistory;
use crate::upstream::Upstreams;

/// Makes the policy that a gateway starts with. Its rates are shared through `shared`, if there is one.
pub(crate) fn first(
    serving: &Serving,
    registry: Registry,
    own: Own,
    shared: Option<Arc<Shared>>,
    history: &QuotaHistory,
) -> Result<Policy, Error> {
    let connecting = dial::Settings {
        connections: serving.upstream_connections.get(),
        per_thread: true,
        ..dial::Settings::default()
    };
    let upstreams = Upstreams::configured(&registry, &serving.identity, connecting)?;
    let limiter = GrantLimiter::new(&limits(&registry), shared);
    let own_limiter = Limiter::new(own::limits(&registry));
    let mut quotas = QuotaKeeper::new(quotas(&registry), serving.replicas);
    history.count(&mut quotas, None, now_ms(&own))?;
    policy(registry, limiter, quotas, own_limiter, upstreams, own)
}

/// Makes the policy after `before`. Services that stay the same keep their connections, and grants their
/// spent tokens.
pub(super) fn next(
    before: &Policy,
    serving: &Serving,
    registry: Registry,
    own: Own,
    history: &QuotaHistory,
) -> Result<Policy, Error> {
    let upstreams = before.upstreams.next(&registry, &serving.identity)?;
    let limiter = before.limiter.next(&limits(&registry));
    let own_limiter = before.own_limiter.next(own::limits(&registry));
    let mut quotas = before.quotas.next(quotas(&registry));
    history.count(&mut quotas, Some(&before.quotas), now_ms(&own))?;
    policy(registry, limiter, quotas, own_limiter, upstreams, own)
}

fn policy(
    registry: Registry,
    limiter: GrantLimiter,
    quotas: QuotaKeeper,
    own_limiter: Limiter<SubsystemId>,
    upstreams: Upstreams,
    own: Own,
) -> Result<Policy, Error> {
    let registry = Arc::new(registry);
    for grant in quotas.without_room() {
        tracing::warn!(%grant, "a quota of the grant is smaller than `replicas`: no gateway's part of it has room for a call");
    }
    let limiter = Arc::new(limiter);
    let quotas = Arc::new(quotas);
    let own = own::services(&registry, &limiter, &quotas, own)?;
    Ok(Policy { registry, limiter, quotas, upstreams, own, own_limiter })
}

/// Reads contracts and registry.
pub(crate) fn load(contracts: &[PathBuf], registry: &Path) -> Result<Registry, Error> {
    let contracts =
        contracts.iter().map(|folder| Contract::load_all(folder)).collect::<Result<Vec<_>, _>>()?.concat();
    // Two folders may carry the same file name. Contents that differ would give a message two meanings, so
    // they are refused.
    Contract::agree(&contracts)?;
    Ok(Registry::load(registry, &contracts)?)
}

fn limits(registry: &Registry) -> Vec<(GrantId, Limits)> {
    registry.grants().map(|grant| (grant.id.clone(), grant.limits())).collect()
}

fn quotas(registry: &Registry) -> impl Iterator<Item = (GrantId, Quotas)> {
    registry.grants().map(|grant| (grant.id.clone(), grant.quotas))
}

fn now_ms(own: &Own) -> u64 {
    own.clock.now().as_millisecond().unsigned_abs()
}
