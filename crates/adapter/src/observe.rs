//! This module observes calls: each has a span and one for its statement, is counted and timed, and has a log
//! line if it is refused. Spans and metrics end exactly once, because dropping an `Observation` ends them as
//! cancelled.

use std::sync::Arc;

use chapar_model::{MethodPath, Reason};
use chapar_telemetry::{
    CallTimer, MethodMetrics, Metrics, PublishedMetrics, RefusalLines, SourceMetrics, Span, Telemetry,
    Tracer, names,
};

use crate::refusal;
use crate::source::Failure;

/// `Observer` begins the observation of calls, and has the metrics of an adapter.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) tracer: Tracer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sources: SourceMetrics,
    pub(crate) published: PublishedMetrics,
    pub(crate) refusals: RefusalLines,
}

/// `Observation` is the observation of one call.
pub(crate) struct Observation {
    pub(crate) server: Span,
    pub(crate) database: Option<Span>,
    pub(crate) rows: i64,
    /// Taken at the call's end.
    timer: Option<CallTimer>,
}

impl Observer {
    /// `tracer` names the adapter's part in a trace.
    pub(crate) fn new(telemetry: &Telemetry, tracer: &'static str) -> Self {
        // The methods are added by the routes, which a reload replaces.
        let mut metrics = Metrics::new(telemetry, []);
        let sources = SourceMetrics::default();
        metrics.add_sources(&sources);
        let published = metrics.add_published();
        Self {
            tracer: telemetry.tracer(tracer),
            metrics: Arc::new(metrics),
            sources,
            published,
            refusals: RefusalLines::default(),
        }
    }

    /// A call that was refused before it came to a method that is served.
    pub(crate) fn refused(&self, method: Option<&MethodPath>, failure: &Failure) {
        refusal::log(&self.refusals, method, "", failure);
        let method = method.map_or(names::UNKNOWN_METHOD, MethodPath::as_str);
        self.metrics.method(method).begin().finish(Some(failure.reason));
    }
}

impl Observation {
    pub(crate) fn begin(server: Span, method: &Arc<MethodMetrics>) -> Self {
        Self { server, database: None, rows: 0, timer: Some(method.begin()) }
    }

    pub(crate) fn end(&mut self, outcome: Result<(), Reason>) {
        // Only the first outcome is kept: a body that is dropped after its end must not count as cancelled.
        let Some(timer) = self.timer.take() else { return };
        timer.finish(outcome.err());
        for span in self.database.iter_mut().chain([&mut self.server]) {
            match outcome {
                Ok(()) => span.answered(),
                Err(reason) => span.refused(reason),
            }
        }
        if let Some(mut database) = self.database.take() {
            database.set(names::DB_ROWS, self.rows);
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.end(Err(Reason::Cancelled));
    }
}
