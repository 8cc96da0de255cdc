//! This module asks the gateway what it shows to operators (`chapar.admin.v1.Observe`).

pub use pb::{
    CallCount, CallSummary, Certificate, Ending, EvidenceLog, GetStatusResponse as Status,
    GetTraceResponse as Trace, GrantStatus, LimitStatus, ListTracesRequest, ListTracesResponse,
    RevocationList, ServiceStatus, SharedLimits, Span, Witness, Witnesses,
};

use crate::client::Client;
use crate::error::CallError;

/// Generated from `proto/chapar/admin/v1/admin.proto`.
#[expect(missing_docs, unreachable_pub, reason = "generated; documented in the proto file")]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/chapar.admin.v1.rs"));
}

/// How a trace is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TraceId<'a> {
    /// By its own id, 32 hexadecimal digits.
    Trace(&'a str),
    /// By the `chapar-call-id` of its call.
    Call(&'a str),
}

impl Client {
    /// The state of the gateway that answers.
    ///
    /// # Errors
    /// As [`Client::call`]; `NOT_GRANTED` if the registry gives this identity no role of an operator.
    pub async fn status(&self) -> Result<Status, CallError> {
        self.ask_own(&observe("GetStatus"), &pb::GetStatusRequest {}).await
    }

    /// The newest calls whose traces the gateway keeps, newest first.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn traces(&self, filter: &ListTracesRequest) -> Result<ListTracesResponse, CallError> {
        self.ask_own(&observe("ListTraces"), filter).await
    }

    /// One trace that the gateway keeps, with all its spans.
    ///
    /// # Errors
    /// As [`Client::status`]; NOT_FOUND if it keeps none, or not any more.
    pub async fn trace(&self, id: TraceId<'_>) -> Result<Trace, CallError> {
        let request = match id {
            TraceId::Trace(id) => pb::GetTraceRequest { trace_id: id.to_owned(), ..Default::default() },
            TraceId::Call(id) => pb::GetTraceRequest { call_id: id.to_owned(), ..Default::default() },
        };
        self.ask_own(&observe("GetTrace"), &request).await
    }
}

fn observe(method: &str) -> String {
    format!("chapar.admin.v1.Observe/{method}")
}
