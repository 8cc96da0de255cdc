//! `Policy` holds all that a reload replaces, as one value. A call keeps the policy that it began with, so
//! that no step mixes two; only the right to a stream is checked by the policy in force. `reload` makes the
//! policies.

use std::sync::Arc;

use chapar_limit::{GrantLimiter, Limiter, QuotaKeeper};
use chapar_model::SubsystemId;
use chapar_registry::Registry;
use tonic::service::Routes;

use crate::upstream::Upstreams;

/// `Policy` holds everything that a reload replaces.
pub(crate) struct Policy {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limiter: Arc<GrantLimiter>,
    pub(crate) quotas: Arc<QuotaKeeper>,
    pub(crate) upstreams: Upstreams,
    /// The gateway's own services: health, reflection, meta.
    pub(crate) own: Routes,
    /// What each caller may ask of those.
    pub(crate) own_limiter: Limiter<SubsystemId>,
}

impl Policy {
    /// The paths of all methods, for the labels of metrics.
    pub(crate) fn methods(&self) -> Vec<&str> {
        let methods = self.registry.services().flat_map(|service| service.methods());
        methods.map(|method| method.path().as_str()).collect()
    }
}
