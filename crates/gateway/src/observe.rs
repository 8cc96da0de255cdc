//! This module observes one call: it has a span with its stages, metrics, and a log line if it is refused.
//! Span and metrics end exactly once, because dropping a `CallSpan` ends both as cancelled. A call that load
//! shedding refuses is only counted.

use std::sync::Arc;

use chapar_model::{CallId, MethodPath, Purpose, Reason, SubsystemId};
use chapar_registry::Permit;
use chapar_telemetry::{
    CallTimer, Metrics, Origin, RefusalLines, Span, SpanContext, Tracer, names, propagate,
};
use http::HeaderMap;
use parking_lot::Mutex;

use crate::refusal::Refusal;

/// `Observer` begins the observation of calls.
#[derive(Clone)]
pub(crate) struct Observer {
    tracer: Tracer,
    metrics: Arc<Metrics>,
    lines: RefusalLines,
}

impl Observer {
    pub(crate) fn new(tracer: Tracer, metrics: Arc<Metrics>) -> Self {
        Self { tracer, metrics, lines: RefusalLines::default() }
    }

    /// Begins the observation of a call. The caller's trace is linked, never joined, so that a caller decides
    /// neither the trace id nor the sampling.
    pub(crate) fn begin(&self, id: CallId, headers: &HeaderMap, method: Option<&MethodPath>) -> CallSpan {
        let from = propagate::extract(headers);
        self.begin_at(id, Origin::linked(from.as_ref()), method)
    }

    /// Begins the observation of a part of an inquiry, in the inquiry's trace.
    pub(crate) fn begin_part(&self, id: CallId, inquiry: &CallSpan, method: Option<&MethodPath>) -> CallSpan {
        self.begin_at(id, Origin::Child(&inquiry.context), method)
    }

    fn begin_at(&self, id: CallId, origin: Origin<'_>, method: Option<&MethodPath>) -> CallSpan {
        let mut span = match method {
            Some(method) => self.tracer.server(method, origin),
            None => self.tracer.server_unknown(origin),
        };
        if span.is_recording() {
            span.set(names::CALL_ID, id.to_string());
        }
        let timer = self.metrics.method(method.map_or(names::UNKNOWN_METHOD, MethodPath::as_str)).begin();
        CallSpan {
            id,
            tracer: self.tracer.clone(),
            lines: self.lines.clone(),
            context: span.context().clone(),
            // The span is shared with a stream's task, so its end is taken from under a lock: only the first
            // end counts.
            open: Mutex::new(Some(Open { span, timer })),
        }
    }
}

impl Observer {
    /// Counts a call that load shedding refused before it was read. It gets no span and no log line, because
    /// a refusal must cost almost no CPU on an overloaded worker.
    pub(crate) fn turned_away(&self, method: Option<&MethodPath>) {
        let method = self.metrics.method(method.map_or(names::UNKNOWN_METHOD, MethodPath::as_str));
        method.begin().finish(Some(Reason::Overloaded));
    }
}

/// `CallSpan` is the observation of one call.
pub(crate) struct CallSpan {
    id: CallId,
    tracer: Tracer,
    lines: RefusalLines,
    context: SpanContext,
    open: Mutex<Option<Open>>,
}

struct Open {
    span: Span,
    timer: CallTimer,
}

impl CallSpan {
    pub(crate) fn trace_id(&self) -> [u8; 16] {
        self.context.trace_id().to_bytes()
    }

    pub(crate) fn caller(&self, caller: &SubsystemId) {
        self.set(names::CALLER, || caller.to_string());
    }

    pub(crate) fn purpose(&self, purpose: &Purpose) {
        self.set(names::PURPOSE, || purpose.to_string());
    }

    pub(crate) fn permit(&self, permit: &Permit) {
        self.set(names::GRANT, || permit.grant.id.to_string());
    }

    /// Sets how many fields an answer discloses and withholds. It is called for answers only, since a refusal
    /// discloses nothing.
    pub(crate) fn disclosed(&self, permit: &Permit) {
        self.set(names::FIELDS_DISCLOSED, || count(permit.disclosed.len()));
        self.set(names::FIELDS_WITHHELD, || count(permit.withheld.len()));
    }

    /// Begins the client span of a call to a provider, as a child of this call's span.
    pub(crate) fn forwarding(&self, method: &MethodPath) -> Stage {
        Stage(self.tracer.client(method, Origin::Child(&self.context)))
    }

    /// Begins the span of a step in this process, as a child of this call's span.
    pub(crate) fn stage(&self, name: &'static str) -> Stage {
        Stage(self.tracer.step(name, Origin::Child(&self.context)))
    }

    /// Ends a call that was answered with `messages` messages.
    pub(crate) fn finish_ok(&self, messages: u64) {
        if let Some(Open { mut span, timer }) = self.open.lock().take() {
            span.set(names::MESSAGES, i64::try_from(messages).unwrap_or(i64::MAX));
            span.answered();
            timer.finish(None);
        }
    }

    /// Ends a call that was refused. Only the log line names the detail, because the detail is for the
    /// operator and not for the caller.
    pub(crate) fn finish_refused(&self, refusal: &Refusal) {
        let call = self.id;
        let reason = refusal.reason();
        let detail = refusal.detail();
        // A caller over its limits, or one that goes away, can cause these at any rate, so they are not
        // logged at the default level.
        match reason {
            Reason::RateLimited | Reason::ConcurrencyLimited | Reason::Cancelled => {
                tracing::debug!(%call, %reason, detail, "call refused")
            }
            _ => {
                if let Some(suppressed) = self.lines.line(reason) {
                    tracing::info!(%call, %reason, detail, suppressed, "call refused");
                }
            }
        }
        self.end_refused(reason, refusal.provider_code());
    }

    /// Ends a call of the gateway's own services.
    pub(crate) fn finish_own(&self, outcome: Option<Reason>) {
        match outcome {
            None => self.finish_ok(1),
            Some(reason) => self.end_refused(reason, None),
        }
    }

    /// `provider_code`: the status of the provider's own server, if that is what the caller gets.
    fn end_refused(&self, reason: Reason, provider_code: Option<u8>) {
        if let Some(Open { mut span, timer }) = self.open.lock().take() {
            span.refused_with(reason, provider_code.unwrap_or(reason.code() as u8));
            timer.finish(Some(reason));
        }
    }

    /// Sets an attribute of a recording span. `value` is a closure, so that no text is formatted for a span
    /// that is not recorded.
    fn set<V: Into<opentelemetry::Value>>(&self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(open) = self.open.lock().as_mut().filter(|open| open.span.is_recording()) {
            open.span.set(name, value());
        }
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        // A call that has ended before has left `None` behind, so this ends only calls that were dropped.
        self.end_refused(Reason::Cancelled, None);
    }
}

/// `Stage` is the span of a part of a call; it ends when it is dropped.
pub(crate) struct Stage(Span);

impl Stage {
    /// Writes the trace context into the headers of a request to a provider.
    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        propagate::inject(self.0.context(), headers);
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
