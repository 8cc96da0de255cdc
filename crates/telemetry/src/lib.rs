//! This crate is the bus's telemetry: OpenTelemetry spans, the in-memory trace store, Prometheus metrics and
//! logs.
//!
//! A call is one trace of gateway, adapter and SQL spans, made directly with the OpenTelemetry API
//! ([`Tracer`]), kept in the process ([`TraceStore`]) and, if configured, sent to a collector by OTLP/gRPC.
//! Telemetry fails open: a collector that is slow or absent costs spans, which are counted, and never a call.
//!
//! Deliberately absent: values of a citizen's record in spans, metrics or logs; global state but for the log
//! subscriber; sampling by a caller's flag.

mod calls;
mod evidence;
mod export;
mod limits;
mod listener;
pub mod logs;
mod metrics;
pub mod names;
pub mod propagate;
mod published;
mod refusal_lines;
mod sources;
mod span;
mod state;
mod store;
mod telemetry;
mod upstreams;
pub mod waterfall;
mod witnesses;

pub use calls::{CallFilter, CallSummary, Outcomes};
pub use evidence::EvidenceMetrics;
pub use limits::{LimitMetrics, SharedLimits};
pub use listener::ListenerMetrics;
pub use metrics::{CONTENT_TYPE, CallTimer, MethodMetrics, Metrics};
pub use opentelemetry::trace::SpanContext;
pub use opentelemetry::{SpanId, TraceId, Value};
pub use prometheus_client::metrics::gauge::Gauge;
pub use published::PublishedMetrics;
pub use refusal_lines::RefusalLines;
pub use sources::{SourceFigures, SourceMetrics};
pub use span::{Origin, Span, Tracer};
pub use state::{GatewayState, StateMetrics};
pub use store::{SpanRecord, Trace, TraceStore};
pub use telemetry::{Config, Error, Telemetry};
pub use upstreams::{ServiceFigures, UpstreamMetrics};
pub use witnesses::{WitnessMetrics, WitnessesState};
