//! `ListenerMetrics` are the metrics of a gateway's listener.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures of one listener. Clones show the same figures.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: Gauge,
    adapter_connections: Gauge,
    handshakes_failed: Counter,
}

impl ListenerMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let connections = Gauge::default();
        let adapter_connections = Gauge::default();
        let handshakes_failed = Counter::default();
        registry.register("connections", "Open connections of callers", connections.clone());
        let of_adapters = "Open connections that adapters made";
        registry.register("adapter_connections", of_adapters, adapter_connections.clone());
        registry.register("handshakes_failed", "TLS handshakes that failed", handshakes_failed.clone());
        Self { connections, adapter_connections, handshakes_failed }
    }

    /// What the listener counts by itself: connections of callers and of adapters now, and handshakes that
    /// have failed so far.
    pub fn set(&self, callers: usize, adapters: usize, handshakes_failed: u64) {
        self.connections.set(i64::try_from(callers).unwrap_or(i64::MAX));
        self.adapter_connections.set(i64::try_from(adapters).unwrap_or(i64::MAX));
        // `fetch_max`: a scrape that is overtaken by another must not set the counter back.
        self.handshakes_failed.inner().fetch_max(handshakes_failed, Ordering::Relaxed);
    }
}
