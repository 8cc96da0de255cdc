//! Serves `grpc.health.v1`: a registered service is up while one endpoint is connected and reports that it
//! serves, and the gateway (the empty name) while it takes calls. A service that is hidden from the caller is
//! unknown.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_evidence::{Condition, Log};
use chapar_registry::Registry;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus::{NotServing, Serving};
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::policy::Policy;
use crate::reflection::caller;

/// Health as one caller may see it: a service that the registry hides from the caller is answered as one that
/// does not exist.
pub(crate) struct VisibleHealth {
    inner: HealthService,
    registry: Arc<Registry>,
}

impl VisibleHealth {
    pub(crate) fn new(reporter: &HealthReporter, registry: &Arc<Registry>) -> Self {
        Self { inner: HealthService::from_health_reporter(reporter.clone()), registry: Arc::clone(registry) }
    }

    fn check_visible(&self, request: &Request<HealthCheckRequest>) -> Result<(), Status> {
        let caller = caller(request)?;
        let name = &request.get_ref().service;
        let is_visible = || self.registry.services_for(&caller.id).any(|service| service.name == *name);
        // In the words of the service behind this for an unknown one.
        if name.is_empty() || is_visible() {
            Ok(())
        } else {
            Err(Status::not_found("service not registered"))
        }
    }
}

#[tonic::async_trait]
impl Health for VisibleHealth {
    type WatchStream = <HealthService as Health>::WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.check_visible(&request)?;
        self.inner.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.check_visible(&request)?;
        self.inner.watch(request).await
    }
}

/// Keeps the health up to date until `stop`, and then says that the gateway takes no more. While the evidence
/// log takes no records, or adapters that dial are awaited (until `joined`), no call can be answered, and the
/// gateway says so.
pub(crate) async fn watch(
    policy: Arc<ArcSwap<Policy>>,
    log: Log,
    health: HealthReporter,
    joined: CancellationToken,
    stop: CancellationToken,
) {
    // While connections are open, health is out of date for 250 ms at most.
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let mut told = HashSet::new();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let policy = policy.load_full();
        // The stop is also watched here, because connecting to endpoints takes up to the connect timeout.
        let Some(now) = stop.run_until_cancelled(policy.upstreams.health()).await else { break };
        let registered: HashSet<String> = now.iter().map(|(service, _)| (*service).to_owned()).collect();
        for (service, up) in now {
            health.set_service_status(service, if up { Serving } else { NotServing }).await;
        }
        // A service that left the registry must become unknown. Its last status would otherwise stay for
        // ever.
        for gone in told.difference(&registered) {
            health.clone().clear_service_status(gone).await;
        }
        told = registered;
        let takes_calls = log.condition() == Condition::Ready && joined.is_cancelled();
        health.set_service_status("", if takes_calls { Serving } else { NotServing }).await;
    }
    for service in &told {
        health.set_service_status(service, NotServing).await;
    }
    health.set_service_status("", NotServing).await;
}
