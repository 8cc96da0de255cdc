//! `Policy` holds all that a reload replaces, as one value. A call keeps the policy that it began with, so
//! that no step mixes two; only the right to a stream is checked by the policy in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_contract::Contract;
use chapar_evidence::Log;
use chapar_limit::Limiter;
use chapar_model::{Clock, SubsystemId};
use chapar_registry::Registry;
use chapar_transport::dial;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;

use crate::config::Serving;
use crate::error::Error;
use crate::health::VisibleHealth;
use crate::meta::{self, Meta};
use crate::own;
use crate::reflection::{Directory, Reflection};
use crate::upstream::Upstreams;

/// What the gateway goes by.
pub(crate) struct Policy {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) upstreams: Upstreams,
    /// The gateway's own services: health, reflection, meta.
    pub(crate) own: Routes,
    /// What each caller may ask of those.
    pub(crate) own_limiter: Limiter<SubsystemId>,
}

/// What the gateway's own services need besides the registry.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) health: HealthReporter,
}

impl Policy {
    /// The policy that a gateway begins with.
    pub(crate) fn first(serving: &Serving, registry: Registry, own: Own) -> Result<Self, Error> {
        let connecting = dial::Settings {
            connections: serving.upstream_connections.get(),
            per_thread: true,
            ..dial::Settings::default()
        };
        let upstreams = Upstreams::configured(&registry, &serving.identity, connecting)?;
        let limiter = Limiter::new(limits(&registry));
        let own_limiter = Limiter::new(own::limits(&registry));
        Self::new(registry, limiter, own_limiter, upstreams, own)
    }

    /// The policy after this one: what stays the same keeps its connections, and what it has spent.
    pub(crate) fn next(&self, serving: &Serving, registry: Registry, own: Own) -> Result<Self, Error> {
        let upstreams = self.upstreams.next(&registry, &serving.identity)?;
        let limiter = self.limiter.next(limits(&registry));
        let own_limiter = self.own_limiter.next(own::limits(&registry));
        Self::new(registry, limiter, own_limiter, upstreams, own)
    }

    fn new(
        registry: Registry,
        limiter: Limiter,
        own_limiter: Limiter<SubsystemId>,
        upstreams: Upstreams,
        own: Own,
    ) -> Result<Self, Error> {
        let registry = Arc::new(registry);
        let limiter = Arc::new(limiter);
        let own = own_services(&registry, &limiter, own)?;
        Ok(Self { registry, limiter, upstreams, own, own_limiter })
    }

    /// The paths of all methods, for the labels of metrics.
    pub(crate) fn methods(&self) -> Vec<&str> {
        let methods = self.registry.services().flat_map(|service| service.methods());
        methods.map(|method| method.path().as_str()).collect()
    }
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

fn limits(registry: &Registry) -> impl Iterator<Item = (chapar_model::GrantId, chapar_model::Limits)> {
    registry.grants().map(|grant| (grant.id.clone(), grant.limits()))
}

fn own_services(registry: &Arc<Registry>, limiter: &Arc<Limiter>, own: Own) -> Result<Routes, Error> {
    use tonic_reflection::pb::{v1, v1alpha};
    let Own { clock, log, health } = own;
    let directory = Arc::new(Directory::new(Arc::clone(registry), clock.clone(), meta::DESCRIPTORS)?);
    let meta = Meta { registry: Arc::clone(registry), limiter: Arc::clone(limiter), log, clock };
    let health = HealthServer::new(VisibleHealth::new(&health, registry));
    let reflection = Reflection(directory);
    let v1 = v1::server_reflection_server::ServerReflectionServer::new(reflection.clone());
    let v1alpha = v1alpha::server_reflection_server::ServerReflectionServer::new(reflection);
    let meta = meta::pb::meta_server::MetaServer::new(meta);
    // The default of 4 MiB per message would let each of the 16 calls of a caller hold far more than any
    // query needs.
    Ok(Routes::new(meta.max_decoding_message_size(own::MAX_REQUEST))
        .add_service(v1.max_decoding_message_size(own::MAX_REQUEST))
        .add_service(v1alpha.max_decoding_message_size(own::MAX_REQUEST))
        .add_service(health.max_decoding_message_size(own::MAX_REQUEST)))
}
