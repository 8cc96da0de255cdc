//! `Health` reports which services and methods are served: by `grpc.health.v1`, and the methods as a metric.

use std::collections::BTreeMap;

use chapar_telemetry::PublishedMetrics;
use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The health status of the adapter's services.
pub(crate) struct Health {
    reporter: HealthReporter,
    published: PublishedMetrics,
    said: Mutex<ReportedStatuses>,
}

#[derive(Default)]
struct ReportedStatuses {
    /// Names of services and methods, and whether each is served.
    statuses: BTreeMap<String, bool>,
    /// True once the adapter stops: no later reload may report a service as serving.
    ended: bool,
}

impl Health {
    pub(crate) fn new(published: PublishedMetrics) -> Self {
        Self { reporter: HealthReporter::new(), published, said: Mutex::default() }
    }

    /// The gRPC service that answers health checks.
    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Reports these services and methods as serving or not, and earlier ones that are not among them as not
    /// serving.
    ///
    /// `statuses` is asked while nothing else is reported, so that what is older is not reported after it.
    pub(crate) async fn serves(&self, statuses: impl FnOnce() -> BTreeMap<String, bool> + Send) {
        let mut said = self.said.lock().await;
        // A reload that ends after the stop must not report services as serving again.
        if said.ended {
            return;
        }
        let statuses = statuses();
        for gone in said.statuses.keys().filter(|name| !statuses.contains_key(*name)) {
            self.report(gone, false).await;
        }
        for (name, serves) in &statuses {
            self.report(name, *serves).await;
        }
        // A method's name has a stroke, a service's has none.
        let methods = statuses.iter().filter(|(name, _)| name.contains('/'));
        self.published.opened(methods.map(|(name, serves)| (name.as_str(), *serves)));
        said.statuses = statuses;
    }

    /// Reports everything as not serving, from now on.
    pub(crate) async fn end(&self) {
        let mut said = self.said.lock().await;
        said.ended = true;
        for name in said.statuses.keys() {
            self.report(name, false).await;
        }
    }

    async fn report(&self, name: &str, serves: bool) {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(name, status).await;
    }
}
