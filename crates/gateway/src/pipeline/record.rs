//! This module keeps the evidence record of one call, which is opened when its caller is known. However the
//! call ends, also if it is dropped, its end is recorded once. A refusal before a provider was asked may be
//! counted into a later record (`refusals`). The pipeline's step of that name is in `disclosure`.

pub(super) mod commitment;
pub(super) mod disclosure;
mod facts;
pub(super) mod refusals;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use chapar_evidence::{Appended, Entry, Kind, Log, NoSlot, Opening, Slot, Unavailable};
use chapar_model::{Clock, Reason};
use chapar_registry::{MethodEntry, Permit, Registry};

use super::call::Call;
use crate::metadata::Metadata;
use crate::refusal::{PROVIDER_RETRY, Refusal};
use commitment::{Commitment, RequestDigest};
use facts::{EndFacts, Facts};
use refusals::Refusals;

/// Maximum time for which a refusal waits for its record. A refusal discloses nothing, so after this time it
/// is sent without the record's entry.
pub(super) const REFUSAL_WAIT: Duration = Duration::from_millis(250);

/// `OpenRecord` is the record of a call that is not written yet.
pub(crate) struct OpenRecord {
    log: Log,
    slot: Option<Slot>,
    /// Slot of a stream for the record of its end.
    closing: Option<Slot>,
    deadline: Option<Instant>,
    refusals: Refusals,
    /// True once a provider may have been asked. Then the call has a record of its own, however it ends.
    is_forwarded: bool,
    facts: Facts,
    /// Salt of the call's commitments.
    salt: [u8; 32],
    /// Digest of the messages of a streamed request so far.
    asked: Option<RequestDigest>,
}

impl OpenRecord {
    /// Reserves a slot in the log's queue, so that every later end of the call can be recorded without
    /// waiting for room.
    ///
    /// # Errors
    /// `EVIDENCE_UNAVAILABLE` if there is none.
    pub(crate) fn open(
        log: &Log,
        clock: &Clock,
        refusals: &Refusals,
        call: &Call,
        registry: &Arc<Registry>,
    ) -> Result<Self, Refusal> {
        let slot = reserve(log)?;
        let salt = log.salt(&call.id);
        let facts = Facts {
            call: call.id,
            // The log keeps its times monotonic, so that a wall clock that was set back does not put records
            // out of order.
            time_unix_ms: log.time_ms(clock.now().as_millisecond().unsigned_abs()),
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
            was_asked: Arc::default(),
        };
        let closing = None;
        let deadline = None;
        let asked = None;
        let log = log.clone();
        let refusals = refusals.clone();
        let slot = Some(slot);
        Ok(Self { log, slot, closing, deadline, refusals, is_forwarded: false, facts, salt, asked })
    }

    /// Returns the log in which the call is recorded.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Sets the method. For a stream the slot of its second record is reserved here, before anything is sent.
    ///
    /// # Errors
    /// `EVIDENCE_UNAVAILABLE` if there is none.
    pub(crate) fn method(&mut self, entry: &Arc<MethodEntry>) -> Result<(), Refusal> {
        self.facts.entry = Some(Arc::clone(entry));
        if entry.method.kind().streams_responses() {
            self.closing = Some(reserve(&self.log)?);
        }
        Ok(())
    }

    /// Notes that from here on a provider may be asked.
    pub(crate) fn forwarding(&mut self) {
        self.is_forwarded = true;
    }

    /// Sets the deadline of the call.
    pub(crate) fn deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    pub(crate) fn metadata(&mut self, metadata: &Metadata) {
        self.facts.metadata = metadata.clone();
    }

    /// Sets the number of this attempt under its request id. The first attempt is recorded without a number,
    /// like a call without an id.
    pub(crate) fn attempt(&mut self, number: u32) {
        // Zero is the default in protobuf and is not encoded, so that a record of a first attempt is as short
        // as one without an id.
        self.facts.attempt = if number > 1 { number } else { 0 };
    }

    pub(crate) fn permit(&mut self, permit: &Arc<Permit>) {
        self.facts.permit = Some(Arc::clone(permit));
    }

    pub(crate) fn subject(&mut self, subject: &str) {
        self.facts.subject = Some(self.log.pseudonym(subject));
    }

    /// The citizen's pseudonym; empty if the call is about no one citizen.
    pub(super) fn pseudonym(&self) -> &[u8] {
        self.facts.subject.as_ref().map_or(&[], |subject| subject)
    }

    /// What says whether the provider may have been asked, to be set before it is.
    pub(super) fn was_asked(&self) -> &Arc<AtomicBool> {
        &self.facts.was_asked
    }

    /// When the call came in, as its record says it.
    pub(super) fn time_unix_ms(&self) -> u64 {
        self.facts.time_unix_ms
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
    /// No entry is given for one that is counted into a later record.
    pub(crate) async fn refused(mut self, reason: Reason) -> Option<Entry> {
        self.end_refused(reason)?.await.ok()
    }

    fn end_refused(&mut self, reason: Reason) -> Option<Appended> {
        // Nothing to do if the call is recorded already.
        self.slot.as_ref()?;
        if !self.is_forwarded && !self.refusals.is_recorded_now(&self.facts, reason) {
            self.slot = None;
            return None;
        }
        self.end(&EndFacts::refusal(reason.as_str()))
    }

    /// Records a unary disclosure. Once this returns the record is on disk.
    pub(crate) async fn disclosed(mut self, response: &[u8]) -> Result<Entry, Refusal> {
        let response = commitment::of(&self.salt, response);
        let end =
            EndFacts { kind: Kind::Unary, outcome: "OK", messages: 1, response: Some(&response), count: 0 };
        written(self.end(&end)).await
    }

    /// Records that a stream is about to begin. Once this returns that record is on disk.
    pub(crate) async fn opened(mut self) -> Result<StreamRecord, Refusal> {
        // Both slots are taken at once: without the closing slot the stream could begin and its end could not
        // be recorded.
        let (Some(slot), Some(closing)) = (self.slot.take(), self.closing.take()) else {
            return Err(recorded_already());
        };
        let asked = self.asked.take();
        let end = EndFacts { kind: Kind::Open, outcome: "OK", messages: 0, response: None, count: 0 };
        let (appended, opening) = self.facts.tell(&end, |draft| slot.open(draft));
        // The opening record is queued and cannot be taken back, so the value that closes it is made before
        // the wait: if the call is dropped during the wait, the closing record is written all the same.
        let stream = StreamRecord {
            slot: Some(closing),
            // The request of a stream is still passing, so its commitment is made when the stream closes.
            facts: Facts { request: None, ..self.facts.clone() },
            messages: 0,
            digest: Commitment::new(&self.salt),
            asked,
            opening,
            deadline: self.deadline,
        };
        appended.await.map_err(unavailable)?;
        Ok(stream)
    }

    fn end(&mut self, end: &EndFacts<'_>) -> Option<Appended> {
        // `take` makes the record unique: whichever of a normal end and `Drop` comes first writes it.
        let slot = self.slot.take()?;
        if let Some(asked) = self.asked.take() {
            self.facts.request = Some(asked.finish());
        }
        Some(self.facts.tell(end, |draft| slot.append(draft)))
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        // Nobody waits for the entry, but it is written all the same.
        drop(self.end_refused(abandoned(self.deadline)));
    }
}

/// `StreamRecord` is the record of a stream whose opening is on disk and whose end is not recorded yet.
pub(crate) struct StreamRecord {
    slot: Option<Slot>,
    facts: Facts,
    messages: u64,
    digest: Commitment,
    asked: Option<RequestDigest>,
    opening: Opening,
    deadline: Option<Instant>,
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
        let messages = self.messages;
        let response = self.digest.finish();
        let end = EndFacts { kind: Kind::Close, outcome, messages, response: Some(&response), count: 0 };
        Some(self.facts.tell(&end, |draft| slot.close(&self.opening, draft)))
    }
}

impl Drop for StreamRecord {
    fn drop(&mut self) {
        drop(self.end(abandoned(self.deadline).as_str()));
    }
}

/// Returns why a call was dropped before its end: its deadline has passed, or its caller has gone.
fn abandoned(deadline: Option<Instant>) -> Reason {
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        Reason::DeadlineExceeded
    } else {
        Reason::Cancelled
    }
}

fn reserve(log: &Log) -> Result<Slot, Refusal> {
    log.reserve().map_err(|error| match error {
        NoSlot::QueueFull | NoSlot::DiskFull | NoSlot::Unwitnessed => {
            Refusal::from(Reason::EvidenceUnavailable)
                .retry_after(PROVIDER_RETRY)
                .with_detail(error.to_string())
        }
        NoSlot::Unavailable(error) => unavailable(error),
    })
}

/// Waits until an appended record is on disk.
async fn written(appended: Option<Appended>) -> Result<Entry, Refusal> {
    appended.ok_or_else(recorded_already)?.await.map_err(unavailable)
}

fn recorded_already() -> Refusal {
    Refusal::from(Reason::EvidenceUnavailable).with_detail("the call is recorded already")
}

fn unavailable(error: Unavailable) -> Refusal {
    Refusal::from(Reason::EvidenceUnavailable).with_detail(error.to_string())
}
