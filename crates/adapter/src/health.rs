//! `Health` reports by `grpc.health.v1` which services are served.

use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The health status of the adapter's services.
pub(crate) struct Health {
    reporter: HealthReporter,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    services: Vec<String>,
    /// True once the adapter stops: no later reload may report a service as serving.
    ended: bool,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { reporter: HealthReporter::new(), said: Mutex::default() }
    }

    /// The gRPC service that answers health checks.
    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Reports these services as serving, and earlier ones that are not among them as not serving.
    pub(crate) async fn serves(&self, services: &[String]) {
        let mut said = self.said.lock().await;
        // A reload that ends after the stop must not report services as serving again.
        if said.ended {
            return;
        }
        for gone in said.services.iter().filter(|service| !services.contains(service)) {
            self.reporter.set_service_status(gone, ServingStatus::NotServing).await;
        }
        for service in services {
            self.reporter.set_service_status(service, ServingStatus::Serving).await;
        }
        said.services = services.to_vec();
    }

    /// Reports every service as not serving, from now on.
    pub(crate) async fn end(&self) {
        let mut said = self.said.lock().await;
        said.ended = true;
        for service in &said.services {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
        }
    }
}
