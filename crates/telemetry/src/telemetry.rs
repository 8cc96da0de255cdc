//! `Telemetry` sets up the tracer provider of a role, which feeds the trace store and, if an endpoint is
//! given, a collector.

use std::path::PathBuf;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus_client::metrics::counter::Counter;

use crate::export::{self, Exporting};
use crate::{TraceStore, Tracer};

/// What to record and where to send it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `service.name` of the spans, e.g. `gateway` or `adapter civil`.
    pub service_name: String,
    /// Where to send spans by OTLP/gRPC, e.g. `http://127.0.0.1:4317`. `None`: they stay in the process.
    pub otlp_endpoint: Option<String>,
    /// The CA certificates (PEM) that a collector at an `https://` endpoint is checked with; required for
    /// one.
    pub otlp_ca: Option<PathBuf>,
    /// The share of traces that are recorded, 0 to 1, chosen by their id. `None`: all.
    pub sample: Option<f64>,
    /// How many traces [`Telemetry::traces`] keeps. With 0 and no endpoint, spans are not recorded at all.
    pub keep_traces: usize,
}

/// Why telemetry cannot start. Once it runs, it never fails a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint is not one that spans can be sent to.
    #[error("`{endpoint}` cannot be a collector: {why}")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The collector's CA file cannot be read.
    #[error("cannot read the collector's CA `{}`: {source}", path.display())]
    Ca {
        /// As configured.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Exporting needs a runtime to connect on.
    #[error("an exporter of spans must be made inside a Tokio runtime")]
    NoRuntime,
    /// The filter of the logs is not in the syntax of `tracing_subscriber::EnvFilter`.
    #[error("the log filter `{filter}` is not valid: {why}")]
    LogFilter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A role's spans: made by [`Tracer`], kept in a [`TraceStore`], sent to a collector if there is one.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    store: TraceStore,
    dropped: Counter,
}

impl Telemetry {
    /// With a trace store of its own.
    ///
    /// # Errors
    /// [`Error::Endpoint`], [`Error::Ca`], [`Error::NoRuntime`]. A collector that does not answer is not an
    /// error.
    pub fn new(config: Config) -> Result<Self, Error> {
        let store = TraceStore::new(config.keep_traces);
        Self::with_store(config, store)
    }

    /// With a store that other roles of the process share; its capacity holds, not `config.keep_traces`.
    ///
    /// # Errors
    /// As [`Telemetry::new`].
    pub fn with_store(config: Config, store: TraceStore) -> Result<Self, Error> {
        let dropped = Counter::default();
        // Empty, so that environment variables add no attributes.
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.namespace", "chapar"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        // Without a store and an endpoint nothing could show a span, so none is recorded.
        let recording = store.capacity() > 0 || config.otlp_endpoint.is_some();
        // Never `ParentBased`: whether to record is not for a caller's `traceparent` to say.
        let sampler = match config.sample {
            _ if !recording => Sampler::AlwaysOff,
            None => Sampler::AlwaysOn,
            Some(share) => Sampler::TraceIdRatioBased(share),
        };
        let mut provider = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler);
        if store.capacity() > 0 {
            provider = provider.with_span_processor(store.feed(&config.service_name));
        }
        if let Some(endpoint) = &config.otlp_endpoint {
            let exporter = export::otlp(endpoint, config.otlp_ca.as_deref())?;
            provider = provider.with_span_processor(Exporting::new(exporter, dropped.clone()));
        }
        Ok(Self { provider: provider.build(), store, dropped })
    }

    /// A tracer for one part of the role; `name` is the instrumentation scope, e.g. `gateway`.
    pub fn tracer(&self, name: &'static str) -> Tracer {
        Tracer::new(self.provider.tracer(name))
    }

    /// The traces kept in the process.
    pub fn traces(&self) -> TraceStore {
        self.store.clone()
    }

    /// Spans that no collector will see: the queue was full or the export failed. Shared with
    /// [`crate::Metrics`].
    pub(crate) fn dropped(&self) -> Counter {
        self.dropped.clone()
    }

    /// How many spans no collector will see.
    pub fn spans_dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Sends what is queued and stops; takes at most [`Telemetry::SHUTDOWN`]. Spans made afterwards are not
    /// recorded.
    pub async fn shutdown(&self) {
        let provider = self.provider.clone();
        // The exporter's thread is waited for, which would block the runtime that the exporter itself needs.
        let stopped =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(Self::SHUTDOWN)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::debug!("some spans were not sent before shutdown");
        }
    }

    /// The longest that [`Telemetry::shutdown`] waits for a collector.
    pub const SHUTDOWN: Duration = Duration::from_secs(2);
}
