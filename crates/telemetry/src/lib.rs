//! What the bus tells its operators: OpenTelemetry spans, the in-memory trace store, Prometheus metrics and logs.
//!
//! A call is one trace: gateway span, adapter span, SQL span, made directly with the OpenTelemetry API ([`Tracer`]), kept in
//! the process ([`TraceStore`]) and, when configured, sent to a collector by OTLP/gRPC. Telemetry fails open: a collector that
//! is slow or gone costs spans, which are counted, and never a call.
//!
//! Deliberately absent: any way to put a value of a citizen's record into a span, metric or log; global state but for the log
//! subscriber; sampling by what a caller says.

mod export;
pub mod logs;
mod metrics;
pub mod names;
pub mod propagate;
mod span;
mod store;
mod telemetry;
mod upstreams;
pub mod waterfall;

pub use metrics::{CONTENT_TYPE, CallTimer, MethodMetrics, Metrics};
pub use opentelemetry::trace::SpanContext;
pub use opentelemetry::{SpanId, TraceId, Value};
pub use span::{Origin, Span, Tracer};
pub use store::{SpanRecord, Trace, TraceStore};
pub use telemetry::{Config, Error, Telemetry};
pub use upstreams::{ServiceFigures, UpstreamMetrics};
