//! `Span` is a span of a call, passed on as a value and not by a thread-local context. It ends when it is
//! dropped.

use chapar_model::{MethodPath, Reason};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;

use crate::names;

/// Where a span stands in a trace.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The first of a new trace.
    Root,
    /// The first of a new trace that points at a caller's span. For callers from outside: neither their trace
    /// id nor their sampling flag is taken over.
    Linked(&'a SpanContext),
    /// A child, in the same trace. For spans of this process and of the gateway's adapters.
    Child(&'a SpanContext),
}

impl<'a> Origin<'a> {
    /// [`Origin::Linked`] if the caller sent a trace context, else [`Origin::Root`].
    pub fn linked(caller: Option<&'a SpanContext>) -> Self {
        caller.map_or(Self::Root, Self::Linked)
    }

    /// [`Origin::Child`] if there is a parent, else [`Origin::Root`].
    pub fn child(parent: Option<&'a SpanContext>) -> Self {
        parent.map_or(Self::Root, Self::Child)
    }
}

/// Starts spans of one part of the bus. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer(SdkTracer);

impl Tracer {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }

    /// A call being answered: kind `SERVER`, named by its method.
    pub fn server(&self, method: &MethodPath, origin: Origin<'_>) -> Span {
        self.rpc(method, SpanKind::Server, origin)
    }

    /// A call of an unknown method being refused: its path is foreign text and is not kept.
    pub fn server_unknown(&self, origin: Origin<'_>) -> Span {
        self.start("unknown method", SpanKind::Server, origin, &[(names::RPC_SYSTEM, "grpc")])
    }

    /// A call being made: kind `CLIENT`, named by its method.
    pub fn client(&self, method: &MethodPath, origin: Origin<'_>) -> Span {
        self.rpc(method, SpanKind::Client, origin)
    }

    /// A statement being run: kind `CLIENT`. `system` is a name such as `sqlite`, `summary` names the
    /// statement (its file), never its text.
    pub fn database(&self, system: &'static str, summary: &str, origin: Origin<'_>) -> Span {
        let known = [(names::DB_SYSTEM, system), (names::DB_OPERATION, "SELECT")];
        let mut span = self.start("SELECT", SpanKind::Client, origin, &known);
        span.name(|| format!("SELECT {summary}"));
        span.tell(names::DB_QUERY_SUMMARY, || summary.to_owned());
        span
    }

    /// A request to an agency's HTTP API: kind `CLIENT`. `method` is `GET` or `POST`, `summary` names the
    /// request (its file), never its target, which holds values.
    pub fn api(&self, method: &'static str, summary: &str, origin: Origin<'_>) -> Span {
        let mut span = self.start(method, SpanKind::Client, origin, &[(names::HTTP_METHOD, method)]);
        span.name(|| format!("{method} {summary}"));
        span
    }

    /// A step inside a process, e.g. `evidence`.
    pub fn step(&self, name: &'static str, origin: Origin<'_>) -> Span {
        self.start(name, SpanKind::Internal, origin, &[])
    }

    fn rpc(&self, method: &MethodPath, kind: SpanKind, origin: Origin<'_>) -> Span {
        // Name and method are set only on a span that is recorded, because their text costs an allocation.
        let mut span = self.start("call", kind, origin, &[(names::RPC_SYSTEM, "grpc")]);
        span.name(|| method.to_string());
        span.tell(names::RPC_METHOD, || method.to_string());
        span
    }

    fn start(
        &self,
        name: &'static str,
        kind: SpanKind,
        origin: Origin<'_>,
        known: &[(&'static str, &'static str)],
    ) -> Span {
        let context = match origin {
            // A part of a call that was not chosen in this process: no one will see it, and the call's own
            // ids are as good.
            Origin::Child(parent) if !parent.is_sampled() && !parent.is_remote() => {
                return Span { seen: Recording::Never(parent.clone()), answers: false };
            }
            Origin::Child(parent) => Context::new().with_remote_span_context(parent.clone()),
            // An empty context begins a new trace. A caller's trace is linked below and not joined.
            Origin::Root | Origin::Linked(_) => Context::new(),
        };
        let answers = kind == SpanKind::Server;
        let mut span = self.0.build_with_context(SpanBuilder::from_name(name).with_kind(kind), &context);
        if span.is_recording() {
            span.set_attributes(known.iter().map(|(name, value)| KeyValue::new(*name, *value)));
            if let Origin::Linked(caller) = origin {
                span.add_link(caller.clone(), Vec::new());
            }
        }
        Span { seen: Recording::Perhaps(Box::new(span)), answers }
    }
}

/// A running span. It ends when dropped, with whatever outcome was set until then.
#[derive(Debug)]
pub struct Span {
    seen: Recording,
    /// Of kind `SERVER`.
    answers: bool,
}

#[derive(Debug)]
enum Recording {
    /// A span of the SDK. It is recorded if the sampler chose its trace.
    Perhaps(Box<opentelemetry_sdk::trace::Span>),
    /// The sampler did not choose the trace: the span passes that on and records nothing.
    Never(SpanContext),
}

impl Span {
    /// The ids to hand on: as a parent in this process, or over the wire by [`crate::propagate::inject`].
    pub fn context(&self) -> &SpanContext {
        match &self.seen {
            Recording::Perhaps(span) => span.span_context(),
            Recording::Never(context) => context,
        }
    }

    /// Returns whether the span is recorded. If not, attributes that are costly to make can be left out.
    pub fn is_recording(&self) -> bool {
        matches!(&self.seen, Recording::Perhaps(span) if span.is_recording())
    }

    /// Sets an attribute. `name` is a constant of [`crate::names`]; the value an id, a count or a word of a
    /// catalogue, never a value of a record.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = self.recording() {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// The call was answered.
    pub fn answered(&mut self) {
        self.set(names::OUTCOME, names::OK);
        self.set(names::RPC_STATUS, names::OK);
        self.end_with(Status::Ok);
    }

    /// The call was refused. Whether that is an error is as OpenTelemetry's conventions for gRPC have it: to
    /// whoever calls, always; to whoever answers, only where the fault may be its own. A record that is not
    /// there is no error of the server's.
    pub fn refused(&mut self, reason: Reason) {
        self.refused_with(reason, reason.code() as u8);
    }

    /// As [`Span::refused`], with the gRPC status of an agency's own server in place of the reason's.
    pub fn refused_with(&mut self, reason: Reason, status: u8) {
        self.set(names::OUTCOME, reason.as_str());
        self.set(names::RPC_STATUS, chapar_model::status_name(status));
        if !self.answers || is_servers_own(status) {
            self.set(names::ERROR_TYPE, reason.as_str());
            self.end_with(Status::error(reason.as_str()));
        }
    }

    /// Ends it now; the same as dropping it.
    pub fn end(self) {}

    fn recording(&mut self) -> Option<&mut opentelemetry_sdk::trace::Span> {
        match &mut self.seen {
            Recording::Perhaps(span) if span.is_recording() => Some(span),
            _ => None,
        }
    }

    /// Names it, if anyone will see the name.
    fn name(&mut self, name: impl FnOnce() -> String) {
        if let Some(span) = self.recording() {
            span.update_name(name());
        }
    }

    /// Sets an attribute that costs something to make, if anyone will see it.
    fn tell(&mut self, name: &'static str, value: impl FnOnce() -> String) {
        if let Some(span) = self.recording() {
            span.set_attribute(KeyValue::new(name, value()));
        }
    }

    fn end_with(&mut self, status: Status) {
        if let Some(span) = self.recording() {
            span.set_status(status);
        }
    }
}

/// Whether a status is an error of a server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE
/// and DATA_LOSS are (OpenTelemetry semantic conventions 1.45, gRPC, "Server").
fn is_servers_own(status: u8) -> bool {
    matches!(status, 2 | 4 | 12..=15)
}
