//! `PublishedMetrics` are the metrics of the methods that an adapter publishes.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MethodLabels {
    method: Arc<str>,
}

/// Figures of all methods. Clones show the same figures.
#[derive(Clone, Debug)]
pub struct PublishedMetrics {
    open: Family<MethodLabels, Gauge>,
}

impl PublishedMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let open = Family::<MethodLabels, Gauge>::default();
        registry.register(
            "method_open",
            "1 if the method fits its database and is served, 0 if it is closed",
            open.clone(),
        );
        Self { open }
    }

    /// Which methods are open. Replaces what was told before.
    pub fn opened<'a>(&self, methods: impl Iterator<Item = (&'a str, bool)>) {
        // Cleared first, so that a method that is no longer published keeps no series.
        self.open.clear();
        for (method, is_open) in methods {
            self.open.get_or_create(&MethodLabels { method: method.into() }).set(is_open.into());
        }
    }
}
