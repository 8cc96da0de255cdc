//! `Head` holds what is known of a call from the moment that its request was read until its end. Admission
//! and load slot are held in it, so both last as long as the call.

use std::sync::Arc;
use std::time::Instant;

use chapar_limit::Admission;
use chapar_model::CallId;
use chapar_registry::{MethodEntry, Permit, Subsystem};

use super::judge::Judge;
use crate::metadata::Metadata;
use crate::observe::CallSpan;
use crate::overload::LoadSlot;
use crate::protocol::AnsweredInJson;
use crate::refusal::Audience;

/// `Head` holds everything that is known of a call besides its messages.
pub(super) struct Head {
    pub(super) id: CallId,
    pub(super) caller: Arc<Subsystem>,
    pub(super) span: Arc<CallSpan>,
    pub(super) entry: Arc<MethodEntry>,
    pub(super) permit: Arc<Permit>,
    pub(super) audience: Audience,
    pub(super) metadata: Metadata,
    pub(super) deadline: Instant,
    /// True if the caller's timeout is not shorter than the contract's, so that a late answer is the
    /// provider's fault.
    pub(super) full_time: bool,
    pub(super) subject: Option<String>,
    /// If the answer goes out as JSON.
    pub(super) json: Option<AnsweredInJson>,
    /// Checks each message of a stream.
    pub(super) judge: Arc<Judge>,
    /// Held until the call ends, a stream until its last message.
    pub(super) _admission: Admission,
    pub(super) _slot: LoadSlot,
}
