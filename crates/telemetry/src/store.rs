//! `TraceStore` keeps the last traces of this process in memory, so that an operator sees a call's waterfall
//! without other tools, and the last calls by themselves. It bounds the number of traces, of calls, and the
//! spans of a trace (256), and evicts the oldest. Nothing is written to disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{SpanId, TraceId, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span as SdkSpan, SpanData, SpanProcessor};
use parking_lot::Mutex;
use serde::Serialize;

use crate::calls::{CallFilter, CallSummary};
use crate::names;

/// A trace with more spans than this keeps only the first ones.
const SPANS_PER_TRACE: usize = 256;

/// The last traces, by trace id and call id. Clones share the same store; several roles in one process may
/// feed one.
#[derive(Clone, Debug)]
pub struct TraceStore {
    ring: Arc<Mutex<Ring>>,
    calls: Arc<Mutex<Calls>>,
}

/// The last calls, those that ended last at the end. A flood of cheap ones pushes out no other.
#[derive(Debug, Default)]
struct Calls {
    answered: VecDeque<Arc<CallSummary>>,
    /// Refused, or of the gateway's own services.
    cheap: VecDeque<Arc<CallSummary>>,
}

#[derive(Debug, Default)]
struct Ring {
    keep: usize,
    spans: HashMap<TraceId, Vec<(Arc<str>, SpanData)>>,
    /// Traces whose first span has not ended here, the oldest first: calls in flight, or parts of traces that
    /// began in another process.
    open: VecDeque<TraceId>,
    /// Traces whose first span has ended, the oldest first, but for the cheap ones.
    ended: VecDeque<TraceId>,
    /// Traces that began with a cheap call, which has ended, the oldest first.
    cheap: VecDeque<TraceId>,
}

/// The spans of one trace that ended in this process.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// Ordered by start; a parent that started in the same microsecond comes first.
    pub spans: Vec<SpanRecord>,
}

/// One ended span.
#[derive(Clone, Debug, Serialize)]
pub struct SpanRecord {
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The parent's span id; `None` for the first span of a trace.
    pub parent: Option<String>,
    /// What was done, e.g. the method.
    pub name: String,
    /// The role that did it, e.g. `gateway`.
    pub service: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    /// Microseconds since the Unix epoch.
    pub start_unix_us: u64,
    /// Microseconds.
    pub duration_us: u64,
    /// By name ([`crate::names`]).
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// `ok`, `error` or `unset`.
    pub status: &'static str,
    /// Trace ids of callers' traces that this span points at.
    pub links: Vec<String>,
}

impl TraceStore {
    /// An empty store for the last `keep` traces, and half as many of calls that were refused or asked for
    /// nothing of an agency; `0` keeps nothing.
    pub fn new(keep: usize) -> Self {
        let ring = Ring { keep, ..Ring::default() };
        Self { ring: Arc::new(Mutex::new(ring)), calls: Arc::default() }
    }

    /// How many traces it keeps at most besides those of cheap calls.
    pub fn capacity(&self) -> usize {
        self.ring.lock().keep
    }

    /// The trace with this id (32 hexadecimal digits).
    pub fn find(&self, trace_id: &str) -> Option<Trace> {
        let id = TraceId::from_hex(trace_id).ok()?;
        let spans = self.ring.lock().spans.get(&id).cloned()?;
        Some(Trace::from_spans(id, spans))
    }

    /// The newest trace with a span of this call (`chapar.call.id`). Looks through all that are kept.
    pub fn by_call(&self, call_id: &str) -> Option<Trace> {
        self.newest_where(|spans| spans.iter().any(|(_, span)| has_call_id(span, call_id)))
    }

    /// The newest `n` traces, newest first.
    pub fn recent(&self, n: usize) -> Vec<Trace> {
        let found: Vec<_> = {
            // Spans are only cloned under the lock and turned into records after it, because every span that
            // ends takes this lock.
            let ring = self.ring.lock();
            // As many of each kind, since the newest may all be of one.
            let of_each = [&ring.open, &ring.ended, &ring.cheap].map(|ids| ids.iter().rev().take(n));
            let ids = of_each.into_iter().flatten();
            ids.filter_map(|id| Some((*id, ring.spans.get(id)?.clone()))).collect()
        };
        let mut traces: Vec<Trace> =
            found.into_iter().map(|(id, spans)| Trace::from_spans(id, spans)).collect();
        traces.sort_by_key(|trace| std::cmp::Reverse(trace.start_unix_us()));
        traces.truncate(n);
        traces
    }

    /// The newest `n` calls that fit, those that ended last first.
    pub fn calls(&self, filter: &CallFilter, n: usize) -> Vec<Arc<CallSummary>> {
        // Every call that ends takes the lock, so calls are chosen after it.
        let mut kept: Vec<Arc<CallSummary>> = {
            let calls = self.calls.lock();
            calls.answered.iter().chain(&calls.cheap).cloned().collect()
        };
        kept.retain(|call| call.fits(filter));
        kept.sort_by_key(|call| std::cmp::Reverse(call.end_unix_us()));
        kept.truncate(n);
        kept
    }

    /// How many calls it keeps at most.
    pub fn most_calls(&self) -> usize {
        let keep = self.capacity();
        keep + cheap_of(keep)
    }

    /// How many calls it keeps now.
    pub fn kept(&self) -> usize {
        let calls = self.calls.lock();
        calls.answered.len() + calls.cheap.len()
    }

    fn newest_where(&self, wanted: impl Fn(&[(Arc<str>, SpanData)]) -> bool) -> Option<Trace> {
        let found = {
            let ring = self.ring.lock();
            let found = ring.newest().find(|(_, spans)| wanted(spans));
            found.map(|(id, spans)| (id, spans.clone()))
        };
        found.map(|(id, spans)| Trace::from_spans(id, spans))
    }

    fn add(&self, service: Arc<str>, span: SpanData) {
        let id = span.span_context.trace_id();
        // Made before the lock, because it allocates.
        let call = CallSummary::of(&span).map(Arc::new);
        if call.as_ref().is_some_and(|call| call.is_looking()) {
            return;
        }
        let is_cheap = call.as_ref().is_some_and(|call| call.is_cheap());
        // A part of an inquiry says nothing about the trace of the whole.
        let is_root = span.parent_span_id == SpanId::INVALID;
        let mut ring = self.ring.lock();
        let keep = ring.keep;
        if keep == 0 {
            return;
        }
        let freed = [ring.add(id, service, span), if is_root { ring.end(id, is_cheap) } else { None }];
        drop(ring);
        drop(freed); // after the lock: freeing a trace is the dearest part
        if let Some(call) = call {
            let mut calls = self.calls.lock();
            let (kind, most) = match is_cheap {
                true => (&mut calls.cheap, cheap_of(keep)),
                false => (&mut calls.answered, keep),
            };
            kind.push_back(call);
            let evicted = if kind.len() > most { kind.pop_front() } else { None };
            drop(calls);
            drop(evicted);
        }
    }

    /// A processor that feeds the store with spans of one role.
    pub(crate) fn feed(&self, service: &str) -> Feed {
        Feed { store: self.clone(), service: service.into() }
    }
}

impl Ring {
    /// Adds a span to its trace, and gives the trace that made room for a new one.
    fn add(&mut self, id: TraceId, service: Arc<str>, span: SpanData) -> Option<Vec<(Arc<str>, SpanData)>> {
        if let Some(spans) = self.spans.get_mut(&id) {
            if spans.len() < SPANS_PER_TRACE {
                spans.push((service, span));
            }
            return None;
        }
        self.spans.insert(id, vec![(service, span)]);
        self.open.push_back(id);
        let evicted = if self.open.len() > self.keep { self.open.pop_front() } else { None };
        evicted.and_then(|id| self.spans.remove(&id))
    }

    /// The first span of a trace has ended. Gives the trace that made room for it.
    fn end(&mut self, id: TraceId, is_cheap: bool) -> Option<Vec<(Arc<str>, SpanData)>> {
        // From the back, because a call that has just ended mostly began a moment ago.
        let place = self.open.iter().rposition(|known| *known == id)?;
        self.open.remove(place);
        let (kind, most) = match is_cheap {
            true => (&mut self.cheap, cheap_of(self.keep)),
            false => (&mut self.ended, self.keep),
        };
        kind.push_back(id);
        let evicted = if kind.len() > most { kind.pop_front() } else { None };
        evicted.and_then(|id| self.spans.remove(&id))
    }

    /// All traces, the newest of each kind first.
    fn newest(&self) -> impl Iterator<Item = (TraceId, &Vec<(Arc<str>, SpanData)>)> {
        let ids = [&self.open, &self.ended, &self.cheap].into_iter().flat_map(|ids| ids.iter().rev());
        ids.filter_map(|id| Some((*id, self.spans.get(id)?)))
    }
}

/// How many traces of cheap calls are kept beside so many others. Anyone with a certificate can make as many
/// as it likes, and they must push out nothing else.
fn cheap_of(keep: usize) -> usize {
    keep.div_ceil(2)
}

fn has_call_id(span: &SpanData, call_id: &str) -> bool {
    span.attributes
        .iter()
        .any(|known| known.key.as_str() == names::CALL_ID && known.value.as_str() == call_id)
}

impl Trace {
    fn from_spans(id: TraceId, mut spans: Vec<(Arc<str>, SpanData)>) -> Self {
        // Spans end child first; with equal starts the parent is the later one.
        spans.reverse();
        spans.sort_by_key(|(_, span)| span.start_time);
        let spans = spans.into_iter().map(|(service, span)| SpanRecord::new(&service, span)).collect();
        Self { trace_id: id.to_string(), spans }
    }

    /// From the first start to the last end.
    pub fn duration(&self) -> Duration {
        let start = self.start_unix_us();
        let end = self
            .spans
            .iter()
            .map(|span| span.start_unix_us.saturating_add(span.duration_us))
            .max()
            .unwrap_or(start);
        Duration::from_micros(end.saturating_sub(start))
    }

    /// The first start, in microseconds since the Unix epoch; 0 without spans.
    pub fn start_unix_us(&self) -> u64 {
        self.spans.iter().map(|span| span.start_unix_us).min().unwrap_or(0)
    }
}

impl SpanRecord {
    fn new(service: &str, span: SpanData) -> Self {
        // The root has no parent. OpenTelemetry writes that as an id of zeros.
        let parent = (span.parent_span_id != SpanId::INVALID).then(|| span.parent_span_id.to_string());
        let kind = match span.span_kind {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            _ => "internal",
        };
        let status = match span.status {
            Status::Unset => "unset",
            Status::Ok => "ok",
            Status::Error { .. } => "error",
        };
        let attributes = span.attributes.into_iter().map(|known| (known.key.to_string(), json(known.value)));
        Self {
            span_id: span.span_context.span_id().to_string(),
            parent,
            name: span.name.into_owned(),
            service: service.to_owned(),
            kind,
            start_unix_us: micros(span.start_time.duration_since(UNIX_EPOCH)),
            duration_us: micros(span.end_time.duration_since(span.start_time)),
            attributes: attributes.collect(),
            status,
            links: span.links.iter().map(|link| link.span_context.trace_id().to_string()).collect(),
        }
    }
}

/// 0 for a clock that went backwards in between.
pub(crate) fn micros(elapsed: Result<Duration, std::time::SystemTimeError>) -> u64 {
    elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        other => other.as_str().into_owned().into(),
    }
}

/// Hands each ended span to the store.
#[derive(Debug)]
pub(crate) struct Feed {
    store: TraceStore,
    service: Arc<str>,
}

impl SpanProcessor for Feed {
    fn on_start(&self, _: &mut SdkSpan, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        self.store.add(Arc::clone(&self.service), span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _: &Resource) {}
}
