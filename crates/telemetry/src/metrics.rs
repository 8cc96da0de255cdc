//! `Metrics` has the Prometheus metrics of a role: calls, reloads, revocation lists and dropped spans of
//! every role, and what `add_…` registers from the modules beside this one. Labels come from closed sets: the
//! registry's methods (or `unknown`), reasons, trusted CAs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Reason;
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{
    EvidenceMetrics, LimitMetrics, ListenerMetrics, PublishedMetrics, SourceMetrics, StateMetrics, Telemetry,
    UpstreamMetrics, WitnessMetrics, names,
};

/// The `content-type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from a local SQLite answer to the longest timeout a contract may ask for.
const CALL_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CallLabels {
    method: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MethodLabels {
    method: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReloadLabels {
    what: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct IssuerLabels {
    issuer: String,
}

type Durations = Family<MethodLabels, Histogram, fn() -> Histogram>;

/// The metrics that every role has, and those that a role adds. Built once; recording takes no allocation and
/// no look-up but the outcome's.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    durations: Durations,
    methods: RwLock<HashMap<Arc<str>, Arc<MethodMetrics>>>,
    unknown: Arc<MethodMetrics>,
    reloads: Family<ReloadLabels, Counter>,
    /// Calls under way.
    pub in_flight: Gauge,
    revocation_lists: Family<IssuerLabels, Gauge>,
    authorities_unlisted: Gauge,
}

/// The metrics of one method, resolved once and kept beside it.
#[derive(Debug)]
pub struct MethodMetrics {
    method: Arc<str>,
    answered: Counter,
    /// By reason, those that were met.
    refused: RwLock<BTreeMap<&'static str, Counter>>,
    duration: Histogram,
    calls: Family<CallLabels, Counter>,
    in_flight: Gauge,
}

impl Metrics {
    /// The metrics of a role with these methods (`pkg.Service/Method`); a call of any other counts as
    /// `unknown`.
    pub fn new<'a>(telemetry: &Telemetry, methods: impl IntoIterator<Item = &'a str>) -> Self {
        let mut registry = Registry::with_prefix("chapar");
        let calls = Family::<CallLabels, Counter>::default();
        let durations = Durations::new_with_constructor(|| Histogram::new(CALL_BUCKETS));
        let reloads = Family::<ReloadLabels, Counter>::default();
        let in_flight = Gauge::default();
        let spans_dropped = telemetry.dropped();
        registry.register("calls", "Calls by method and outcome (OK or the reason)", calls.clone());
        registry.register(
            "call_duration_seconds",
            "From the request's headers to the status",
            durations.clone(),
        );
        registry.register("reloads", "Reloads of files while serving", reloads.clone());
        let revocation_lists = Family::<IssuerLabels, Gauge>::default();
        let authorities_unlisted = Gauge::default();
        registry.register(
            "revocation_list_next_update_timestamp_seconds",
            "When the certificate revocation list of a trusted CA expires",
            revocation_lists.clone(),
        );
        registry.register(
            "authorities_without_revocation_list",
            "Trusted CAs whose certificates are all refused, because they have no certificate revocation \
             list",
            authorities_unlisted.clone(),
        );
        registry.register("calls_in_flight", "Calls under way", in_flight.clone());
        registry.register("spans_dropped", "Spans that no collector will see", spans_dropped);
        // All unknown paths share one label, because a caller must not be able to create time series.
        let unknown = MethodMetrics::resolve(names::UNKNOWN_METHOD, &calls, &durations, &in_flight);
        let metrics = Self {
            registry,
            calls,
            durations,
            methods: RwLock::default(),
            unknown,
            reloads,
            revocation_lists,
            authorities_unlisted,
            in_flight,
        };
        metrics.add_methods(methods);
        metrics
    }

    /// Adds methods, as a new registry may bring; those known stay, with their counts.
    pub fn add_methods<'a>(&self, methods: impl IntoIterator<Item = &'a str>) {
        let mut known = self.methods.write();
        for method in methods {
            if !known.contains_key(method) {
                let resolved = MethodMetrics::resolve(method, &self.calls, &self.durations, &self.in_flight);
                known.insert(Arc::clone(&resolved.method), resolved);
            }
        }
    }

    /// The metrics of a method, or those of `unknown`.
    pub fn method(&self, path: &str) -> Arc<MethodMetrics> {
        Arc::clone(self.methods.read().get(path).unwrap_or(&self.unknown))
    }

    /// Counts a reload of `what` (a word of a closed set): successful, or refused with the old files in
    /// force.
    pub fn reloaded(&self, what: &'static str, taken_up: bool) {
        let result = if taken_up { "ok" } else { "refused" };
        self.reloads.get_or_create(&ReloadLabels { what, result }).inc();
    }

    /// Revocation lists in use, by their issuers and `nextUpdate` (seconds since 1970), and how many trusted
    /// CAs have none. Replaces what was told before.
    pub fn revocation<'a>(&self, lists: impl Iterator<Item = (&'a str, i64)>, unlisted: usize) {
        // Cleared first, so that a CA that is no longer trusted keeps no series.
        self.revocation_lists.clear();
        let mut first = BTreeMap::new();
        for (issuer, next_update) in lists {
            // An issuer may have several lists, for parts of its certificates; the first that is over is what
            // counts.
            first
                .entry(issuer)
                .and_modify(|known: &mut i64| *known = next_update.min(*known))
                .or_insert(next_update);
        }
        for (issuer, next_update) in first {
            self.revocation_lists.get_or_create(&IssuerLabels { issuer: issuer.to_owned() }).set(next_update);
        }
        self.authorities_unlisted.set(i64::try_from(unlisted).unwrap_or(i64::MAX));
    }

    /// Registers a gauge of another crate's own, e.g. free slots; `name` without the `chapar_` prefix.
    pub fn add_gauge(&mut self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.register(name, help, gauge.clone());
        gauge
    }

    /// Adds the figures of the ways to providers.
    pub fn add_upstreams(&mut self, upstreams: &UpstreamMetrics) {
        upstreams.register(&mut self.registry);
    }

    /// Adds the figures of an evidence log.
    pub fn add_evidence(&mut self) -> EvidenceMetrics {
        EvidenceMetrics::registered(&mut self.registry)
    }

    /// Adds the metrics of shared limits.
    pub fn add_limits(&mut self) -> LimitMetrics {
        LimitMetrics::registered(&mut self.registry)
    }

    /// Adds the figures of a gateway's listener.
    pub fn add_listener(&mut self) -> ListenerMetrics {
        ListenerMetrics::registered(&mut self.registry)
    }

    /// Adds the gauges of a gateway's state.
    pub fn add_state(&mut self) -> StateMetrics {
        StateMetrics::registered(&mut self.registry)
    }

    /// Adds how a log stands with its witnesses.
    pub fn add_witnesses(&mut self) -> WitnessMetrics {
        WitnessMetrics::registered(&mut self.registry)
    }

    /// Adds the figures of an adapter's databases.
    pub fn add_sources(&mut self, sources: &SourceMetrics) {
        sources.register(&mut self.registry);
    }

    /// Adds what an adapter says of its methods.
    pub fn add_published(&mut self) -> PublishedMetrics {
        PublishedMetrics::registered(&mut self.registry)
    }

    /// Calls that have ended, by method and outcome (`OK` or the reason), where there was any.
    pub fn calls_ended(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        let methods: Vec<Arc<MethodMetrics>> = self.methods.read().values().cloned().collect();
        let methods = methods.into_iter().chain([Arc::clone(&self.unknown)]);
        let ended = methods.flat_map(|method| {
            let refused = method.refused.read();
            let counts = refused.iter().map(|(reason, counter)| (*reason, counter.get()));
            let counts = [(names::OK, method.answered.get())].into_iter().chain(counts);
            let met = counts.filter(|(_, count)| *count > 0);
            met.map(|(outcome, count)| (Arc::clone(&method.method), outcome, count)).collect::<Vec<_>>()
        });
        ended.collect()
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads. Serve as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::from("# EOF\n"), // writing to a String does not fail
        }
    }
}

impl MethodMetrics {
    fn resolve(
        method: &str,
        calls: &Family<CallLabels, Counter>,
        durations: &Durations,
        in_flight: &Gauge,
    ) -> Arc<Self> {
        let method: Arc<str> = method.into();
        Arc::new(Self {
            // The counter of answered calls is resolved once, because most calls use it.
            answered: calls
                .get_or_create_owned(&CallLabels { method: Arc::clone(&method), outcome: names::OK }),
            refused: RwLock::default(),
            duration: durations.get_or_create_owned(&MethodLabels { method: Arc::clone(&method) }),
            method,
            calls: calls.clone(),
            in_flight: in_flight.clone(),
        })
    }

    /// A call begins; it is in flight until the timer is finished or dropped.
    pub fn begin(self: &Arc<Self>) -> CallTimer {
        self.in_flight.inc();
        // A call is `CANCELLED` until it is finished, because a timer that is dropped early is that of a
        // caller that has left.
        CallTimer { method: Arc::clone(self), started: Instant::now(), outcome: Some(Reason::Cancelled) }
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.method
    }

    /// The counter of a reason. Refusals are rarer than answers, so it is looked up.
    fn refused(&self, reason: &'static str) -> Counter {
        if let Some(counter) = self.refused.read().get(reason) {
            return counter.clone();
        }
        let labels = CallLabels { method: Arc::clone(&self.method), outcome: reason };
        let counter = self.calls.get_or_create_owned(&labels);
        self.refused.write().entry(reason).or_insert(counter).clone()
    }

    fn record(&self, outcome: Option<Reason>, elapsed: Duration) {
        match outcome {
            None => self.answered.inc(),
            Some(reason) => self.refused(reason.as_str()).inc(),
        };
        self.duration.observe(elapsed.as_secs_f64());
    }
}

/// Measures one call. Dropped unfinished (the caller went away), the call counts as `CANCELLED`.
#[derive(Debug)]
pub struct CallTimer {
    method: Arc<MethodMetrics>,
    started: Instant,
    outcome: Option<Reason>,
}

impl CallTimer {
    /// Since the call began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The call ended: `None` if it was answered, else why not.
    pub fn finish(mut self, outcome: Option<Reason>) {
        self.outcome = outcome;
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        self.method.in_flight.dec();
        self.method.record(self.outcome, self.started.elapsed());
    }
}
