//! One call's place in the evidence log, from the moment its caller is known. Facts are filled in as the pipeline learns
//! them; however the call ends, also when it is dropped, exactly one record of that end is appended.

use std::sync::Arc;

use chapar_evidence::{Appended, Entry, Kind, Log, Slot, Unavailable};
use chapar_model::{Clock, Reason};
use chapar_registry::{MethodEntry, Permit, Registry};

use crate::commitment::{self, Commitment, RequestDigest};
use crate::facts::{End, Facts};
use crate::metadata::Metadata;
use crate::pipeline::Call;
use crate::refusal::Refusal;

/// A call that is not recorded yet.
pub(crate) struct OpenRecord {
    log: Log,
    slot: Option<Slot>,
    facts: Facts,
    /// Of the call's commitments.
    salt: [u8; 32],
    /// What a streamed request has been so far.
    asked: Option<RequestDigest>,
}

impl OpenRecord {
    /// Takes a place in the log's queue, so that whatever happens later can be recorded without waiting.
    pub(crate) async fn open(log: &Log, clock: &Clock, call: &Call, registry: &Arc<Registry>) -> Result<Self, Refusal> {
        let slot = reserve(log).await?;
        let salt = log.salt(&call.id);
        let facts = Facts {
            call: call.id,
            time_unix_ms: clock.now().as_millisecond().unsigned_abs(),
            started: call.started,
            caller: Arc::clone(&call.caller),
            salt_hash: commitment::of(&salt, &[]),
            trace_id: call.span.trace_id(),
            registry: Arc::clone(registry),
            entry: None,
            metadata: Metadata::default(),
            attempt: 0,
            permit: None,
            subject: None,
            request: None,
        };
        Ok(Self { log: log.clone(), slot: Some(slot), facts, salt, asked: None })
    }

    /// The log that the call is recorded in.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn method(&mut self, entry: &Arc<MethodEntry>) {
        self.facts.entry = Some(Arc::clone(entry));
    }

    pub(crate) fn metadata(&mut self, metadata: &Metadata) {
        self.facts.metadata = metadata.clone();
    }

    /// The call is the one of this `number` under its request id. The first is not told, like calls without an id.
    pub(crate) fn attempt(&mut self, number: u32) {
        self.facts.attempt = if number > 1 { number } else { 0 };
    }

    pub(crate) fn permit(&mut self, permit: &Arc<Permit>) {
        self.facts.permit = Some(Arc::clone(permit));
    }

    pub(crate) fn subject(&mut self, subject: &str) {
        self.facts.subject = Some(self.log.pseudonym(subject));
    }

    pub(crate) fn request(&mut self, message: &[u8]) {
        self.facts.request = Some(commitment::of(&self.salt, message));
    }

    /// The request is a stream: its messages are counted in as they pass.
    pub(crate) fn requests(&mut self) -> RequestDigest {
        let commitment = Commitment::new(&self.salt);
        self.asked.insert(RequestDigest::new(commitment)).clone()
    }

    /// Records a refusal, durably if the log can; a refusal discloses nothing, so it is answered either way.
    pub(crate) async fn refused(mut self, reason: Reason) -> Option<Entry> {
        self.end(&End::refusal(reason.as_str()))?.await.ok()
    }

    /// Records a unary disclosure. Once this returns the record is on disk.
    pub(crate) async fn disclosed(mut self, response: &[u8]) -> Result<Entry, Refusal> {
        let response = commitment::of(&self.salt, response);
        let end = End { kind: Kind::Unary, outcome: "OK", messages: 1, response: Some(&response), opening: 0 };
        written(self.end(&end)).await
    }

    /// Records that a stream is about to begin. Once this returns that record is on disk, and the place for its end is kept.
    pub(crate) async fn opened(mut self) -> Result<StreamRecord, Refusal> {
        let closing = reserve(&self.log).await?;
        let asked = self.asked.take();
        let end = End { kind: Kind::Open, outcome: "OK", messages: 0, response: None, opening: 0 };
        let opening = written(self.end(&end)).await?.index;
        let facts = Facts { request: None, ..self.facts.clone() };
        let digest = Commitment::new(&self.salt);
        Ok(StreamRecord { slot: Some(closing), facts, messages: 0, digest, asked, opening })
    }

    fn end(&mut self, end: &End<'_>) -> Option<Appended> {
        let slot = self.slot.take()?;
        if let Some(asked) = self.asked.take() {
            self.facts.request = Some(asked.finish());
        }
        Some(self.facts.tell(end, |draft| slot.append(draft)))
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        // The caller went away: nobody waits for the entry, but it is written all the same.
        drop(self.end(&End::refusal(Reason::Cancelled.as_str())));
    }
}

/// A stream whose opening is on disk and whose end is not recorded yet.
pub(crate) struct StreamRecord {
    slot: Option<Slot>,
    facts: Facts,
    messages: u64,
    digest: Commitment,
    asked: Option<RequestDigest>,
    opening: u64,
}

impl StreamRecord {
    /// Messages released so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Counts a message that is about to be released.
    pub(crate) fn message(&mut self, message: &[u8]) {
        self.messages += 1;
        self.digest.message(message);
    }

    /// Records how the stream ended. Once this returns the record is on disk.
    pub(crate) async fn closed(mut self, outcome: &str) -> Result<Entry, Refusal> {
        written(self.end(outcome)).await
    }

    fn end(&mut self, outcome: &str) -> Option<Appended> {
        let slot = self.slot.take()?;
        self.facts.request = self.asked.as_ref().map(RequestDigest::finish);
        let (messages, response) = (self.messages, self.digest.finish());
        let end = End { kind: Kind::Close, outcome, messages, response: Some(&response), opening: self.opening };
        Some(self.facts.tell(&end, |draft| slot.append(draft)))
    }
}

impl Drop for StreamRecord {
    fn drop(&mut self) {
        drop(self.end(Reason::Cancelled.as_str()));
    }
}

async fn reserve(log: &Log) -> Result<Slot, Refusal> {
    log.reserve().await.map_err(unavailable)
}

/// Waits until what was appended is on disk.
async fn written(appended: Option<Appended>) -> Result<Entry, Refusal> {
    let again = || Refusal::from(Reason::EvidenceUnavailable).because("the call is recorded already");
    appended.ok_or_else(again)?.await.map_err(unavailable)
}

fn unavailable(error: Unavailable) -> Refusal {
    Refusal::from(Reason::EvidenceUnavailable).because(error.to_string())
}
