//! One call's place in the evidence log, from the moment its caller is known. Facts are filled in as the pipeline learns
//! them; however the call ends, also when it is dropped, exactly one record of that end is appended.

use std::time::Instant;

use aws_lc_rs::digest;
use chapar_evidence::{Entry, Kind, Log, Record, Slot, Unavailable};
use chapar_model::{CallId, Clock, Reason, SubsystemId};
use chapar_registry::Permit;

use crate::commitment::{self, Commitment, RequestDigest};
use crate::metadata::Metadata;
use crate::refusal::Refusal;

/// A call that is not recorded yet.
pub(crate) struct OpenRecord {
    log: Log,
    slot: Option<Slot>,
    facts: Record,
    /// Of the call's commitments.
    salt: [u8; 32],
    started: Instant,
    /// What a streamed request has been so far.
    asked: Option<RequestDigest>,
}

impl OpenRecord {
    /// Takes a place in the log's queue, so that whatever happens later can be recorded without waiting.
    pub(crate) async fn open(
        log: &Log,
        clock: &Clock,
        call: CallId,
        started: Instant,
        caller: &SubsystemId,
    ) -> Result<Self, Refusal> {
        let slot = reserve(log).await?;
        let salt = log.salt(&call);
        let facts = Record {
            version: chapar_evidence::RECORD_VERSION,
            kind: Kind::Unary as i32,
            call_id: call.as_bytes().to_vec(),
            time_unix_ms: clock.now().as_millisecond().unsigned_abs(),
            caller: caller.to_string(),
            salt_hash: digest::digest(&digest::SHA256, &salt).as_ref().to_vec(),
            ..Record::default()
        };
        Ok(Self { log: log.clone(), slot: Some(slot), facts, salt, started, asked: None })
    }

    /// The name of the log that the call is recorded in.
    pub(crate) fn origin(&self) -> &str {
        self.log.origin()
    }

    pub(crate) fn trace(&mut self, trace_id: [u8; 16], registry_digest: &str) {
        self.facts.trace_id = trace_id.to_vec();
        registry_digest.clone_into(&mut self.facts.registry_digest);
    }

    pub(crate) fn method(&mut self, path: &str, contract_digest: &str) {
        path.clone_into(&mut self.facts.method);
        contract_digest.clone_into(&mut self.facts.contract_digest);
    }

    pub(crate) fn metadata(&mut self, metadata: &Metadata) {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        self.facts.purpose = text(metadata.purpose.as_ref().map(|v| v.as_str()));
        self.facts.clerk = text(metadata.clerk.as_ref().map(|v| v.as_str()));
        self.facts.case = text(metadata.case.as_ref().map(|v| v.as_str()));
        self.facts.on_behalf_of = text(metadata.on_behalf_of.as_ref().map(|v| v.as_str()));
        self.facts.request_id = metadata.request_id.map(|id| id.to_string()).unwrap_or_default();
    }

    /// The call is the one of this `number` under its request id. The first is not told, like calls without an id.
    pub(crate) fn attempt(&mut self, number: u32) {
        self.facts.attempt = if number > 1 { number } else { 0 };
    }

    pub(crate) fn permit(&mut self, permit: &Permit) {
        self.facts.grant = permit.grant.id.to_string();
        self.facts.delegation = permit.delegation.as_ref().map(ToString::to_string).unwrap_or_default();
        self.facts.withheld = permit.withheld.to_vec();
    }

    pub(crate) fn subject(&mut self, subject: &str) {
        self.facts.subject_pseudonym = self.log.pseudonym(subject).to_vec();
    }

    pub(crate) fn request(&mut self, message: &[u8]) {
        self.facts.request_commitment = commitment::of(&self.salt, message);
    }

    /// The request is a stream: its messages are counted in as they pass.
    pub(crate) fn requests(&mut self) -> RequestDigest {
        let commitment = Commitment::new(&self.salt);
        self.asked.insert(RequestDigest::new(commitment)).clone()
    }

    /// Records a refusal, durably if the log can; a refusal discloses nothing, so it is answered either way.
    pub(crate) async fn refused(mut self, reason: Reason) -> Option<Entry> {
        self.facts.kind = Kind::Refusal as i32;
        self.facts.withheld.clear();
        self.append(reason.as_str()).await.ok()
    }

    /// Records a unary disclosure. Once this returns the record is on disk.
    pub(crate) async fn disclosed(mut self, disclosed: &[String], response: &[u8]) -> Result<Entry, Refusal> {
        self.facts.disclosed = disclosed.to_vec();
        self.facts.messages = 1;
        self.facts.response_commitment = commitment::of(&self.salt, response);
        self.append("OK").await
    }

    /// Records that a stream is about to begin. Once this returns that record is on disk, and the place for its end is kept.
    pub(crate) async fn opened(mut self, disclosed: &[String]) -> Result<(Entry, StreamRecord), Refusal> {
        let closing = reserve(&self.log).await?;
        self.facts.kind = Kind::Open as i32;
        self.facts.disclosed = disclosed.to_vec();
        let digest = Commitment::new(&self.salt);
        let asked = self.asked.take();
        let facts = Record { kind: Kind::Close as i32, request_commitment: Vec::new(), ..self.facts.clone() };
        let started = self.started;
        let opening = self.append("OK").await?;
        let facts = Record { opening: opening.index, ..facts };
        Ok((opening, StreamRecord { slot: Some(closing), facts, digest, asked, started }))
    }

    async fn append(&mut self, outcome: &str) -> Result<Entry, Refusal> {
        self.count_requests();
        append(&mut self.slot, &mut self.facts, self.started, outcome).await
    }
}

impl OpenRecord {
    fn count_requests(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.facts.request_commitment = asked.finish();
        }
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.facts.kind = Kind::Refusal as i32;
            self.facts.withheld.clear();
            self.count_requests();
            abandon(slot, &mut self.facts, self.started);
        }
    }
}

/// A stream whose opening is on disk and whose end is not recorded yet.
pub(crate) struct StreamRecord {
    slot: Option<Slot>,
    facts: Record,
    digest: Commitment,
    asked: Option<RequestDigest>,
    started: Instant,
}

impl StreamRecord {
    /// Messages released so far.
    pub(crate) fn messages(&self) -> u64 {
        self.facts.messages
    }

    /// Counts a message that is about to be released.
    pub(crate) fn message(&mut self, message: &[u8]) {
        self.facts.messages += 1;
        self.digest.message(message);
    }

    fn commit(&mut self) {
        self.facts.response_commitment = self.digest.finish();
        if let Some(asked) = &self.asked {
            self.facts.request_commitment = asked.finish();
        }
    }

    /// Records how the stream ended. Once this returns the record is on disk.
    pub(crate) async fn closed(mut self, outcome: &str) -> Result<Entry, Refusal> {
        self.commit();
        append(&mut self.slot, &mut self.facts, self.started, outcome).await
    }
}

impl Drop for StreamRecord {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.commit();
            abandon(slot, &mut self.facts, self.started);
        }
    }
}

async fn reserve(log: &Log) -> Result<Slot, Refusal> {
    log.reserve().await.map_err(unavailable)
}

fn unavailable(error: Unavailable) -> Refusal {
    Refusal::from(Reason::EvidenceUnavailable).because(error.to_string())
}

fn close(facts: &mut Record, started: Instant, outcome: &str) -> Record {
    outcome.clone_into(&mut facts.outcome);
    facts.latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    std::mem::take(facts)
}

async fn append(
    slot: &mut Option<Slot>,
    facts: &mut Record,
    started: Instant,
    outcome: &str,
) -> Result<Entry, Refusal> {
    let Some(slot) = slot.take() else {
        return Err(Refusal::from(Reason::EvidenceUnavailable).because("the call is recorded already"));
    };
    slot.append(close(facts, started, outcome)).await.map_err(unavailable)
}

/// The caller went away: nobody waits for the entry, but it is written all the same.
fn abandon(slot: Slot, facts: &mut Record, started: Instant) {
    drop(slot.append(close(facts, started, Reason::Cancelled.as_str())));
}
