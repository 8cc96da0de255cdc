//! `Judge` checks at every message of a stream, in both directions, that the right to the call still holds.
//! So a revocation, a suspension, a withdrawn grant or field, or the end of a grant's validity ends the
//! stream at its next message.

use std::sync::Arc;

use chapar_model::{Clock, Reason};
use chapar_registry::{MethodEntry, Permit, Question, Subsystem};

use super::call::Grounds;
use crate::identify::identify;
use crate::metadata::Metadata;
use crate::refusal::Refusal;

/// `Judge` checks the messages of one stream.
pub(super) struct Judge {
    pub(super) grounds: Grounds,
    pub(super) clock: Clock,
    pub(super) caller: Arc<Subsystem>,
    pub(super) entry: Arc<MethodEntry>,
    pub(super) metadata: Metadata,
    pub(super) permit: Arc<Permit>,
}

impl Judge {
    /// Checks whether one more message may pass now.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `PERMISSION_DENIED`, with the reason that a new call would be refused with;
    /// `NOT_GRANTED` where a new call would be allowed less than this one.
    pub(super) fn still_holds(&self) -> Result<(), Refusal> {
        // The policy in force is loaded for each message, while the call itself keeps the policy that it
        // began with.
        let registry = &self.grounds.policy.load().registry;
        let caller = identify(registry, &self.grounds.peer)?;
        let entry = registry.method_for(&caller.id, self.entry.method.path().as_str()).ok_or_else(|| {
            Refusal::from(Reason::NotGranted)
                .with_detail("the method left the registry, or was hidden, since the stream began")
        })?;
        let question = Question {
            caller: &self.caller.id,
            method: entry,
            purpose: self.metadata.purpose.as_ref(),
            case: self.metadata.case.as_ref(),
            clerk: self.metadata.clerk.as_ref(),
            on_behalf_of: self.metadata.on_behalf_of.as_ref(),
            now: self.clock.now(),
        };
        let now = registry
            .decide(&question)
            .map_err(|refused| Refusal::from(refused.reason).with_detail(refused.detail))?;
        // Without a reload in between the registry gives the same `Arc`, so the common case compares one
        // pointer and no field lists.
        let allows_as_much = Arc::ptr_eq(&now, &self.permit)
            // Rows are compared for equality: narrower scopes cannot be told from wider ones, and the
            // provider was asked with the old ones.
            || now.rows_header == self.permit.rows_header
                && self.permit.disclosed.iter().all(|field| now.disclosed.contains(field));
        match allows_as_much {
            true => Ok(()),
            false => Err(Refusal::from(Reason::NotGranted)
                .with_detail("the grant allows less than when the stream began")),
        }
    }
}
