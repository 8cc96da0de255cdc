//! `chapar.admin.v1.Observe` shows operators the state of this gateway and the traces of its last calls. Each
//! method is for callers with the role `viewer`.

mod status;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chapar_model::{Clock, Reason};
use chapar_registry::{Registry, Role};
use chapar_telemetry::{CallFilter, CallSummary, Outcomes, SpanRecord, Trace, TraceStore};
use tonic::{Request, Response, Status};

use super::caller::check_role;
use crate::observed::Observed;

/// Generated from `proto/chapar/admin/v1/admin.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub(crate) mod pb {
    tonic::include_proto!("chapar.admin.v1");
}

/// The descriptors of the service, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin.binpb"));

/// Calls in an answer where the request names no limit.
const DEFAULT_CALLS: usize = 50;
/// Maximum number of calls in an answer: some 150 KiB.
const MAX_CALLS: usize = 500;

/// Answers from what the gateway observes, by the roles of one generation of the registry.
pub(crate) struct Observe {
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Clock,
    /// Filled before the first call is taken. The policy, which holds this service, is made earlier.
    pub(crate) observed: Arc<OnceLock<Arc<Observed>>>,
}

#[tonic::async_trait]
impl pb::observe_server::Observe for Observe {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        check_role(&request, &self.registry, Role::Viewer, self.clock.now())?;
        self.status().await.map(Response::new)
    }

    async fn list_traces(
        &self,
        request: Request<pb::ListTracesRequest>,
    ) -> Result<Response<pb::ListTracesResponse>, Status> {
        check_role(&request, &self.registry, Role::Viewer, self.clock.now())?;
        let request = request.into_inner();
        let most = match usize::try_from(request.limit) {
            Ok(0) => DEFAULT_CALLS,
            Ok(limit) if limit <= MAX_CALLS => limit,
            _ => return Err(Status::invalid_argument(format!("limit: at most {MAX_CALLS} calls"))),
        };
        let store = self.traces()?;
        let calls = store.calls(&self.filter(request)?, most).iter().map(|known| call(known)).collect();
        let size = |number: usize| number as u64;
        Ok(Response::new(pb::ListTracesResponse {
            calls,
            kept: size(store.kept()),
            capacity: size(store.most_calls()),
        }))
    }

    async fn get_trace(
        &self,
        request: Request<pb::GetTraceRequest>,
    ) -> Result<Response<pb::GetTraceResponse>, Status> {
        check_role(&request, &self.registry, Role::Viewer, self.clock.now())?;
        let pb::GetTraceRequest { trace_id, call_id } = request.get_ref();
        let store = self.traces()?;
        let found = if trace_id.is_empty() { store.by_call(call_id) } else { store.find(trace_id) };
        let Trace { trace_id, spans } =
            found.ok_or_else(|| Status::not_found("this gateway keeps no such trace, or not any more"))?;
        Ok(Response::new(pb::GetTraceResponse { trace_id, spans: spans.into_iter().map(span).collect() }))
    }
}

impl Observe {
    fn observed(&self) -> Result<&Observed, Status> {
        let observed = self.observed.get().ok_or_else(|| Status::unavailable("the gateway is starting"))?;
        Ok(observed)
    }

    fn traces(&self) -> Result<TraceStore, Status> {
        Ok(self.observed()?.telemetry.traces())
    }

    fn filter(&self, request: pb::ListTracesRequest) -> Result<CallFilter, Status> {
        let pb::ListTracesRequest { caller, method, provider, outcome, grant, min_duration_us, limit: _ } =
            request;
        let set = |text: String| Some(text).filter(|text| !text.is_empty());
        let services = set(provider).map(|provider| {
            let of_provider = self.registry.services().filter(|known| known.provider.as_str() == provider);
            of_provider.map(|known| known.name.clone()).collect()
        });
        let outcomes = match outcome.as_str() {
            "" => Outcomes::Any,
            "refused" => Outcomes::Refused,
            "OK" => Outcomes::One(outcome),
            // A word that no call can have would look like an answer.
            reason if reason.parse::<Reason>().is_ok() => Outcomes::One(outcome),
            _ => return Err(Status::invalid_argument("outcome: OK, a reason, or `refused`")),
        };
        Ok(CallFilter {
            caller: set(caller),
            method: set(method),
            services,
            outcomes,
            grant: set(grant),
            at_least: Duration::from_micros(min_duration_us),
        })
    }
}

fn call(call: &CallSummary) -> pb::CallSummary {
    let call = call.clone();
    pb::CallSummary {
        trace_id: call.trace_id,
        call_id: call.call_id,
        start_us: call.start_unix_us,
        duration_us: call.duration_us,
        method: call.method,
        caller: call.caller,
        outcome: call.outcome,
        status: call.status,
        grant: call.grant,
        purpose: call.purpose,
        fields_disclosed: call.disclosed,
        fields_withheld: call.withheld,
    }
}

fn span(span: SpanRecord) -> pb::Span {
    // A text as it is; a number or a flag as JSON writes it.
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    pb::Span {
        span_id: span.span_id,
        parent: span.parent.unwrap_or_default(),
        name: span.name,
        service: span.service,
        kind: span.kind.to_owned(),
        start_us: span.start_unix_us,
        duration_us: span.duration_us,
        status: span.status.to_owned(),
        attributes: span.attributes.into_iter().map(|(name, value)| (name, text(value))).collect(),
    }
}
