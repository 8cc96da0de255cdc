//! This module serves `grpc.health.v1` as one caller may see it: a service that is hidden from the caller is
//! answered as unknown. The status of each service is kept by `health::watch`.

use std::sync::Arc;

use chapar_registry::Registry;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use super::caller::caller;

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
        // The text is that of tonic's health service for an unknown service, so that the two cases cannot be
        // distinguished.
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
