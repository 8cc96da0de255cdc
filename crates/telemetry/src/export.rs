//! This module exports spans to a collector and never blocks a call: a queue of at most 8,192 spans, one
//! thread, and a count of drops.
//!
//! The SDK's batch processor drops silently; `Exporting` counts before the queue and after the export, so
//! that `chapar_spans_dropped_total` is exact.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus_client::metrics::counter::Counter;

use crate::Error;

/// Maximum number of spans that wait or are being exported; they take about 4 MiB at most.
const QUEUE_SPANS: usize = 8192;
/// Maximum number of spans in one export (the default of the OpenTelemetry SDK).
const BATCH_SPANS: usize = 512;
/// Maximum time for which a span waits for others before an export.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one export. Spans that arrive meanwhile wait in the queue.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// An OTLP/gRPC exporter; connects lazily, so the collector need not be there.
pub(crate) fn otlp(endpoint: &str, ca: Option<&Path>) -> Result<OtlpExporter, Error> {
    let refused = |why: &str| Error::Endpoint { endpoint: endpoint.to_owned(), why: why.to_owned() };
    // tonic's channel spawns its worker when it is made, and panics without a runtime.
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::NoRuntime);
    }
    let mut builder =
        OtlpExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
    match (endpoint.starts_with("https://"), endpoint.starts_with("http://"), ca) {
        (true, _, Some(path)) => {
            let pem = std::fs::read(path).map_err(|source| Error::Ca { path: path.to_owned(), source })?;
            builder =
                builder.with_tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)));
        }
        (true, _, None) => return Err(refused("`https://` needs the collector's CA")),
        (_, true, None) => {}
        // A CA that is never used would let an operator believe that the connection is encrypted.
        (_, true, Some(_)) => return Err(refused("a CA is given, but the endpoint is not `https://`")),
        _ => return Err(refused("it must begin with `http://` or `https://`")),
    }
    builder.build().map_err(|error| refused(&error.to_string()))
}

/// `Exporting` is a batch processor that counts dropped spans.
#[derive(Debug)]
pub(crate) struct Exporting {
    queue: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

impl Exporting {
    pub(crate) fn new(exporter: impl SpanExporter + 'static, dropped: Counter) -> Self {
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = Counting {
            exporter,
            waiting: Arc::clone(&waiting),
            dropped: dropped.clone(),
            failing: AtomicBool::new(false),
        };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(EXPORT_INTERVAL)
            .build();
        let queue = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Self { queue, waiting, dropped }
    }
}

impl SpanProcessor for Exporting {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        // The count is raised before the comparison, so that concurrent calls cannot exceed the limit.
        // Relaxed: the span itself is passed through the queue, which synchronises.
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE_SPANS {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.inc();
            return;
        }
        self.queue.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let ended = self.queue.shutdown_with_timeout(timeout);
        // Spans that the shutdown did not export count as dropped.
        self.dropped.inc_by(self.waiting.swap(0, Ordering::Relaxed) as u64);
        ended
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Counts what an export lost, and says once when exporting begins to fail and once when it works again.
#[derive(Debug)]
struct Counting<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
    failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Counting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let size = batch.len();
        let exported = self.exporter.export(batch).await;
        let waiting = |n: usize| Some(n.saturating_sub(size)); // shutdown may have counted them already
        let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, waiting);
        match &exported {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the OTLP collector accepts spans again");
                }
            }
            Err(error) => {
                self.dropped.inc_by(size as u64);
                // Only the change is logged, because a collector that is down fails every export.
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        "the OTLP collector accepts no spans, and spans are dropped until it does: check \
                         the collector"
                    );
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
