//! `Call` is the input of the pipeline: a request of an identified caller, with its span and load slot, and
//! with the peer and the policy by which its right is decided.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use chapar_model::CallId;
use chapar_registry::Subsystem;
use chapar_transport::Peer;
use http::HeaderMap;

use super::policy::Policy;
use crate::observe::CallSpan;
use crate::overload::LoadSlot;
use crate::protocol::{AnsweredInJson, RequestStream};
use crate::refusal::Audience;

/// `Call` is a request of an identified caller.
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) caller: Arc<Subsystem>,
    /// `:path` byte for byte, without a `#fragment`, which the crate `http` has dropped.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestStream,
    /// If the answer goes out as JSON.
    pub(crate) json: Option<AnsweredInJson>,
    pub(crate) started: Instant,
    pub(crate) span: Arc<CallSpan>,
    pub(crate) audience: Audience,
    pub(crate) slot: LoadSlot,
    pub(crate) grounds: Grounds,
}

/// `Grounds` is what a call's right depends on besides its request: the peer's certificate and the policy.
#[derive(Clone)]
pub(crate) struct Grounds {
    pub(crate) peer: Arc<Peer>,
    /// The policy in force, also after a reload during the call.
    pub(crate) policy: Arc<ArcSwap<Policy>>,
}
