//! `Facts` holds what is known of one call for its evidence record. The pipeline adds facts as it learns
//! them. A record (`RecordDraft`) borrows from `Facts`, so nothing is copied until it is encoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chapar_evidence::{Kind, RECORD_VERSION, RecordDraft};
use chapar_model::CallId;
use chapar_registry::{MethodEntry, Permit, Registry, Subsystem};

use super::commitment::Hash;
use crate::metadata::Metadata;

/// The facts of one call.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) call: CallId,
    pub(crate) time_unix_ms: u64,
    pub(crate) started: Instant,
    pub(crate) caller: Arc<Subsystem>,
    pub(crate) salt_hash: Hash,
    pub(crate) trace_id: [u8; 16],
    /// The registry by which the call was decided.
    pub(crate) registry: Arc<Registry>,
    pub(crate) entry: Option<Arc<MethodEntry>>,
    pub(crate) metadata: Metadata,
    pub(crate) attempt: u32,
    pub(crate) permit: Option<Arc<Permit>>,
    pub(crate) subject: Option<Hash>,
    pub(crate) request: Option<Hash>,
    /// Set once the provider may have been asked.
    pub(crate) was_asked: Arc<AtomicBool>,
}

/// How a call, or a part of it, ended.
pub(crate) struct EndFacts<'a> {
    pub(crate) kind: Kind,
    pub(crate) outcome: &'a str,
    pub(crate) messages: u64,
    pub(crate) response: Option<&'a Hash>,
    /// Number of refusals that are folded into the record.
    pub(crate) count: u64,
}

impl<'a> EndFacts<'a> {
    /// The call disclosed nothing.
    pub(crate) fn refusal(outcome: &'a str) -> Self {
        Self { kind: Kind::Refusal, outcome, messages: 0, response: None, count: 0 }
    }
}

impl Facts {
    /// The method, if the call named one that is registered.
    pub(crate) fn method(&self) -> Option<&str> {
        self.entry.as_deref().map(|entry| entry.method.path().as_str())
    }

    /// Makes the record of an end and passes it to `write`.
    pub(crate) fn tell<T>(&self, end: &EndFacts<'_>, write: impl FnOnce(RecordDraft<'_>) -> T) -> T {
        let metadata = &self.metadata;
        let disclosing = end.kind != Kind::Refusal;
        let mut id = [0; 36];
        let request_id = metadata.request_id.as_ref().map_or("", |request| request.encode(&mut id));
        let permit = self.permit.as_deref();
        // A refusal discloses nothing, so its record must not list fields, although a permit may be known
        // already.
        let fields = permit.filter(|_| disclosing);
        write(RecordDraft {
            version: RECORD_VERSION,
            kind: end.kind,
            call_id: self.call.as_bytes(),
            time_unix_ms: self.time_unix_ms,
            caller: self.caller.id.as_str(),
            on_behalf_of: metadata.on_behalf_of.as_ref().map_or("", |member| member.as_str()),
            clerk: metadata.clerk.as_ref().map_or("", |clerk| clerk.as_str()),
            case: metadata.case.as_ref().map_or("", |case| case.as_str()),
            purpose: metadata.purpose.as_ref().map_or("", |purpose| purpose.as_str()),
            request_id,
            method: self.entry.as_deref().map_or("", |entry| entry.method.path().as_str()),
            contract_digest: self.entry.as_deref().map_or("", |entry| entry.service.contract.digest()),
            registry_digest: self.registry.digest(),
            grant: permit.map_or("", |permit| permit.grant.id.as_str()),
            delegation: permit.and_then(|permit| permit.delegation.as_ref()).map_or("", |id| id.as_str()),
            subject_pseudonym: self.subject.as_ref().map_or(&[], |subject| subject),
            request_commitment: self.request.as_ref().map_or(&[], |request| request),
            response_commitment: end.response.map_or(&[], |response| response),
            disclosed: fields.map_or(&[], |permit| &permit.disclosed),
            withheld: fields.map_or(&[], |permit| &permit.withheld),
            messages: end.messages,
            outcome: end.outcome,
            // In a closing record the log fills it in.
            opening: 0,
            latency_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            trace_id: &self.trace_id,
            salt_hash: &self.salt_hash,
            attempt: self.attempt,
            count: end.count,
            // Of every other kind it is so.
            provider_asked: !disclosing && end.count == 0 && self.was_asked.load(Ordering::Acquire),
        })
    }
}
