//! `UpstreamMetrics` are the metrics of calls to providers, labelled by the registry's services.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ServiceLabels {
    service: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct BlameLabels {
    service: Arc<str>,
    blame: &'static str,
}

/// Figures of all services. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    retries: Family<ServiceLabels, Counter>,
    failures: Family<BlameLabels, Counter>,
    ejections: Family<ServiceLabels, Counter>,
    ejected: Family<ServiceLabels, Gauge>,
    up: Family<ServiceLabels, Gauge>,
    waiting: Family<ServiceLabels, Gauge>,
    turned_away: Family<ServiceLabels, Counter>,
}

/// Figures of one service, resolved once and kept beside it.
#[derive(Debug)]
pub struct ServiceFigures {
    /// Calls that were sent a second time, or a third.
    pub retries: Counter,
    /// Exchanges that failed by the provider's fault.
    pub failures_of_provider: Counter,
    /// Exchanges that failed by the caller's fault, or that the caller gave up.
    pub failures_of_caller: Counter,
    /// Times that a caller's circuit breaker of an endpoint opened.
    pub ejections: Counter,
    /// Endpoints with an open or half-open breaker of any caller.
    pub ejected: Gauge,
    /// Endpoints that are connected and say that they serve.
    pub up: Gauge,
    /// Calls that wait for their turn at a service that is full.
    pub waiting: Gauge,
    /// Calls that were refused because its queue was full, or too long for them.
    pub turned_away: Counter,
}

impl UpstreamMetrics {
    /// The figures of one service.
    pub fn service(&self, name: &str) -> ServiceFigures {
        let labels = ServiceLabels { service: name.into() };
        // Resolved once for each service, so that counting takes no look-up.
        let failures = |blame| {
            self.failures.get_or_create_owned(&BlameLabels { service: Arc::clone(&labels.service), blame })
        };
        ServiceFigures {
            retries: self.retries.get_or_create_owned(&labels),
            failures_of_provider: failures("provider"),
            failures_of_caller: failures("caller"),
            ejections: self.ejections.get_or_create_owned(&labels),
            ejected: self.ejected.get_or_create_owned(&labels),
            up: self.up.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            turned_away: self.turned_away.get_or_create_owned(&labels),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("upstream_retries", "Calls sent to a provider again", self.retries.clone());
        registry.register(
            "upstream_failures",
            "Exchanges with a provider that failed, by whose fault it was",
            self.failures.clone(),
        );
        registry.register(
            "upstream_ejections",
            "Times that a caller's circuit breaker of an endpoint opened",
            self.ejections.clone(),
        );
        registry.register(
            "upstream_endpoints_ejected",
            "Endpoints with an open or half-open circuit breaker of any caller",
            self.ejected.clone(),
        );
        registry.register("upstream_endpoints_up", "Endpoints that are connected and serve", self.up.clone());
        registry.register(
            "upstream_waiting",
            "Calls that wait for their turn at a full service",
            self.waiting.clone(),
        );
        registry.register("upstream_turned_away", "Calls refused by a full queue", self.turned_away.clone());
    }
}
