//! `SourceMetrics` are the metrics of an adapter's databases, labelled by the sources' names in
//! `adapter.toml`. The figures are those of OpenTelemetry's `db.client.connection.*`.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SourceLabels {
    source: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StateLabels {
    source: Arc<str>,
    state: &'static str,
}

/// Figures of all sources. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct SourceMetrics {
    connections: Family<StateLabels, Gauge>,
    waiting: Family<SourceLabels, Gauge>,
    timeouts: Family<SourceLabels, Counter>,
    opened: Family<SourceLabels, Counter>,
    unopened: Family<SourceLabels, Counter>,
    retries: Family<SourceLabels, Counter>,
    cancellations: Family<SourceLabels, Counter>,
}

/// Figures of one source, resolved once and kept beside it. A default is counted nowhere.
#[derive(Clone, Debug, Default)]
pub struct SourceFigures {
    /// Places for a connection that a query holds, also while its connection is being opened.
    pub used: Gauge,
    /// Connections that wait for one.
    pub idle: Gauge,
    /// Queries that wait for such a place, those of comparisons with the database included.
    pub waiting: Gauge,
    /// Queries for which none became free in time.
    pub timeouts: Counter,
    /// Connections that were opened.
    pub opened: Counter,
    /// Connections that could not be opened.
    pub unopened: Counter,
    /// Queries that were begun a second time, on another connection or prepared again; also if no connection
    /// could be had for it.
    pub retries: Counter,
    /// Statements that the server was told to end.
    pub cancellations: Counter,
}

impl SourceMetrics {
    /// The figures of one source.
    pub fn source(&self, name: &str) -> SourceFigures {
        let source: Arc<str> = name.into();
        let connections = |state| {
            let labels = StateLabels { source: Arc::clone(&source), state };
            self.connections.get_or_create_owned(&labels)
        };
        let labels = SourceLabels { source: Arc::clone(&source) };
        SourceFigures {
            used: connections("used"),
            idle: connections("idle"),
            waiting: self.waiting.get_or_create_owned(&labels),
            timeouts: self.timeouts.get_or_create_owned(&labels),
            opened: self.opened.get_or_create_owned(&labels),
            unopened: self.unopened.get_or_create_owned(&labels),
            retries: self.retries.get_or_create_owned(&labels),
            cancellations: self.cancellations.get_or_create_owned(&labels),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "source_connections",
            "Connections to a database, by state: used (taken by a query, also while it is being opened) or idle",
            self.connections.clone(),
        );
        registry.register("source_waiting", "Queries that wait for a connection", self.waiting.clone());
        registry.register(
            "source_timeouts",
            "Queries for which no connection became free in time",
            self.timeouts.clone(),
        );
        registry.register("source_connections_opened", "Connections opened", self.opened.clone());
        registry.register(
            "source_connections_failed",
            "Connections that could not be opened",
            self.unopened.clone(),
        );
        registry.register(
            "source_retries",
            "Queries begun a second time: their connection was lost, or their statement prepared before a change \
             of the schema",
            self.retries.clone(),
        );
        registry.register(
            "source_cancellations",
            "Statements that the server was told to end",
            self.cancellations.clone(),
        );
    }
}
