//! This module has the gateway's own services, which it answers without a provider of its own: health,
//! reflection, meta, what operators and auditors see, and inquiries, whose parts are calls. `services` makes
//! them for one registry; `answer` bounds each call of them.

mod admin;
mod answer;
mod caller;
mod catalogue;
mod follow;
mod health;
mod meta;
mod reflection;
mod types;

use std::sync::{Arc, OnceLock};

use chapar_evidence::Log;
use chapar_limit::{GrantLimiter, QuotaKeeper};
use chapar_model::Clock;
use chapar_registry::{Registry, Role};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;

use crate::error::BadDescriptors;
use crate::inquiry::pb::inquiry_server::InquiryServer;
use crate::inquiry::{self, Inquiry};
use crate::observed::Observed;
use admin::Observe;
use catalogue::MAX_REQUEST;
use follow::Follow;
use health::VisibleHealth;
use meta::Meta;
use reflection::{Directory, Reflection};

pub(crate) use answer::{OwnCall, answer};
pub(crate) use catalogue::{is_inquiry, is_own, limits, method, methods};
pub(crate) use types::types;

/// What the gateway's own services need besides the registry.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) health: HealthReporter,
    /// What operators see; filled before the first call is taken.
    pub(crate) observed: Arc<OnceLock<Arc<Observed>>>,
}

/// The own services for one registry and its limits.
///
/// # Errors
/// [`BadDescriptors`], a fault of the build.
pub(crate) fn services(
    registry: &Arc<Registry>,
    limiter: &Arc<GrantLimiter>,
    quotas: &Arc<QuotaKeeper>,
    own: Own,
) -> Result<Routes, BadDescriptors> {
    use tonic_reflection::pb::{v1, v1alpha};
    let Own { clock, log, health, observed } = own;
    let directory = Arc::new(Directory::new(
        Arc::clone(registry),
        clock.clone(),
        &[meta::DESCRIPTORS, inquiry::DESCRIPTORS],
        &[(Role::Viewer, admin::DESCRIPTORS), (Role::Auditor, follow::DESCRIPTORS)],
    )?);
    let observe = Observe { registry: Arc::clone(registry), clock: clock.clone(), observed };
    let follow = Follow { registry: Arc::clone(registry), clock: clock.clone(), log: log.clone() };
    let meta = Meta {
        registry: Arc::clone(registry),
        limiter: Arc::clone(limiter),
        quotas: Arc::clone(quotas),
        log,
        clock,
    };
    let inquiry = InquiryServer::new(Inquiry).max_decoding_message_size(inquiry::MAX_REQUEST);
    let health = HealthServer::new(VisibleHealth::new(&health, registry));
    let reflection = Reflection(directory);
    let v1 = v1::server_reflection_server::ServerReflectionServer::new(reflection.clone());
    let v1alpha = v1alpha::server_reflection_server::ServerReflectionServer::new(reflection);
    let observe = admin::pb::observe_server::ObserveServer::new(observe);
    let follow = follow::pb::follow_server::FollowServer::new(follow);
    let meta = meta::pb::meta_server::MetaServer::new(meta);
    // The default of 4 MiB per message would let each of the 16 calls of a caller hold far more than any
    // query needs.
    Ok(Routes::new(meta.max_decoding_message_size(MAX_REQUEST))
        .add_service(inquiry)
        .add_service(follow.max_decoding_message_size(MAX_REQUEST))
        .add_service(observe.max_decoding_message_size(MAX_REQUEST))
        .add_service(v1.max_decoding_message_size(MAX_REQUEST))
        .add_service(v1alpha.max_decoding_message_size(MAX_REQUEST))
        .add_service(health.max_decoding_message_size(MAX_REQUEST)))
}
