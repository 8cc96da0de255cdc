//! This module observes calls: each has a span and one for its statement, is counted and timed, and has a log
//! line if it is refused. Spans and metrics end exactly once, because dropping an `Observation` ends them as
//! cancelled.

use std::sync::Arc;

use chapar_model::{Clock, MethodPath, Reason};
use chapar_telemetry::{
    CallTimer, MethodMetrics, Metrics, Origin, PublishedMetrics, RefusalLines, SourceMetrics, Span,
    Telemetry, Tracer, names,
};

use crate::completeness::{Columns, Completeness, Tally};
use crate::refusal;
use crate::source::{Absent, Batch, Failure};

/// `Observer` begins the observation of calls, and has the metrics of an adapter.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) tracer: Tracer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sources: SourceMetrics,
    pub(crate) published: PublishedMetrics,
    pub(crate) completeness: Arc<Completeness>,
    pub(crate) refusals: RefusalLines,
}

/// Where the calls of one method are counted.
#[derive(Clone)]
pub(crate) struct Figures {
    metrics: Arc<MethodMetrics>,
    tally: Arc<Tally>,
}

/// What a call asks, as its span names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AskedSource {
    /// A database of this `db.system.name` (OpenTelemetry's semantic conventions).
    Database(&'static str),
    /// An API, by this HTTP method.
    Api(&'static str),
}

/// `Observation` is the observation of one call.
pub(crate) struct Observation {
    pub(crate) server: Span,
    source: Option<(AskedSource, Span)>,
    /// The fields of the plan, once there is one.
    pub(crate) columns: Option<Columns>,
    rows: u64,
    absent: Absent,
    tally: Arc<Tally>,
    /// Taken at the call's end.
    timer: Option<CallTimer>,
}

impl Observer {
    /// `tracer` names the adapter's part in a trace; `clock` says which day it is.
    pub(crate) fn new(telemetry: &Telemetry, tracer: &'static str, clock: Clock) -> Self {
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
            completeness: Arc::new(Completeness::new(clock)),
            refusals: RefusalLines::default(),
        }
    }

    /// Where the calls of a method are counted.
    pub(crate) fn figures(&self, method: &MethodPath) -> Figures {
        self.metrics.add_methods([method.as_str()]);
        Figures {
            metrics: self.metrics.method(method.as_str()),
            tally: self.completeness.method(method.as_str()),
        }
    }

    /// All metrics, as they are now, in the OpenMetrics text format.
    pub(crate) fn encode(&self) -> String {
        self.completeness.publish(&self.published);
        self.metrics.encode()
    }

    /// A call that was refused before it came to a method.
    pub(crate) fn turned_away(&self, failure: &Failure) {
        refusal::log(&self.refusals, None, "", failure);
        self.metrics.method(names::UNKNOWN_METHOD).begin().finish(Some(failure.reason));
    }

    /// A call of a method that is not served.
    pub(crate) fn refused(&self, method: &MethodPath, figures: &Figures, failure: &Failure) {
        refusal::log(&self.refusals, Some(method), "", failure);
        figures.metrics.begin().finish(Some(failure.reason));
        figures.tally.refused(failure.reason);
    }
}

impl Observation {
    pub(crate) fn begin(server: Span, figures: &Figures) -> Self {
        Self {
            server,
            source: None,
            columns: None,
            rows: 0,
            absent: Absent::default(),
            tally: Arc::clone(&figures.tally),
            timer: Some(figures.metrics.begin()),
        }
    }

    /// The source is asked from now on.
    pub(crate) fn ask(&mut self, tracer: &Tracer, asked: AskedSource, method: &MethodPath) {
        let parent = Origin::Child(self.server.context());
        let span = match asked {
            AskedSource::Database(system) => tracer.database(system, method.as_str(), parent),
            AskedSource::Api(http_method) => tracer.api(http_method, method.as_str(), parent),
        };
        self.source = Some((asked, span));
    }

    /// Rows have gone to the answer.
    pub(crate) fn took(&mut self, batch: &Batch) {
        self.rows += u64::from(batch.rows);
        self.absent.add(&batch.absent);
    }

    /// Rows that have gone to the answer.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn end(&mut self, outcome: Result<(), Reason>) {
        // Only the first outcome is kept: a body that is dropped after its end must not count as cancelled.
        let Some(timer) = self.timer.take() else { return };
        timer.finish(outcome.err());
        match (outcome, &self.columns) {
            (Ok(()), Some(columns)) => self.tally.answered(columns, self.rows, &self.absent),
            (Err(reason), _) => self.tally.refused(reason),
            // There is no answer without a plan.
            (Ok(()), None) => {}
        }
        for span in self.source.iter_mut().map(|(_, span)| span).chain([&mut self.server]) {
            match outcome {
                Ok(()) => span.answered(),
                Err(reason) => span.refused(reason),
            }
        }
        if let Some((AskedSource::Database(_), mut database)) = self.source.take() {
            database.set(names::DB_ROWS, i64::try_from(self.rows).unwrap_or(i64::MAX));
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.end(Err(Reason::Cancelled));
    }
}
