//! Read: checks the request on its wire bytes; the checked bytes are the bytes that are sent. A single
//! message is read whole. Of a stream only the message that names the citizen is read here, and `requests`
//! checks the others as they pass.

use std::sync::Arc;
use std::time::Instant;

use chapar_contract::wire::{self, WireError};
use chapar_contract::{Method, Violation};
use chapar_limit::Admission;
use chapar_model::{Clock, MAX_ADAPTER_REQUEST, Reason};
use chapar_registry::{MethodEntry, Permit, Server};
use chapar_transport::encoding::Encoding;
use chapar_transport::frame::{FrameError, MessageReader};
use hyper::body::Incoming;

use super::Call;
use super::admit::Admitted;
use super::carried::FromCaller;
use super::judge::Judge;
use super::requests::{Requests, Stopped, framed};
use crate::attempts::RequestIdAttempt;
use crate::metadata::Metadata;
use crate::overload::LoadSlot;
use crate::record::OpenRecord;
use crate::refusal::{Audience, Refusal};
use crate::upstream::Outgoing;

/// A call whose request may go on.
pub(super) struct Read {
    pub(super) head: Head,
    pub(super) body: Outgoing,
    pub(super) carried: FromCaller,
    pub(super) stopped: Stopped,
}

/// All that is known of a call besides its messages.
pub(super) struct Head {
    pub(super) id: chapar_model::CallId,
    pub(super) caller: Arc<chapar_registry::Subsystem>,
    pub(super) span: Arc<crate::observe::CallSpan>,
    pub(super) entry: Arc<MethodEntry>,
    pub(super) permit: Arc<Permit>,
    pub(super) audience: Audience,
    pub(super) metadata: Metadata,
    pub(super) deadline: Instant,
    /// The caller leaves the provider all the time that the contract gives it.
    pub(super) full_time: bool,
    pub(super) subject: Option<String>,
    /// Asked for each message of a stream.
    pub(super) judge: Arc<Judge>,
    /// Held until the call ends, a stream until its last message.
    pub(super) _admission: Admission,
    pub(super) _slot: LoadSlot,
}

pub(super) async fn read(
    admitted: Admitted,
    limit: usize,
    clock: &Clock,
    record: &mut OpenRecord,
) -> Result<Read, Refusal> {
    let Admitted { permitted, admission, attempt } = admitted;
    let full_time = permitted.full_time();
    let (call, entry, permit, metadata, deadline) = permitted.into_parts();
    let Call { id, caller, span, audience, headers, body, slot, grounds, .. } = call;
    let judge = Arc::new(Judge {
        grounds,
        clock: clock.clone(),
        caller: Arc::clone(&caller),
        entry: Arc::clone(&entry),
        metadata: metadata.clone(),
        permit: Arc::clone(&permit),
    });
    let carried = FromCaller::read(&headers, &entry.service.server)
        .map_err(|_| Refusal::from(Reason::EncodingUnsupported))?;
    // An adapter takes less than the gateway may: what is over that is the caller's to hear, and not the
    // adapter's to refuse.
    let limit = if entry.service.server == Server::Adapter { limit.min(MAX_ADAPTER_REQUEST) } else { limit };
    let messages = MessageReader::new(body, limit).encoded(carried.encoding);
    let asked = if entry.method.kind().streams_requests() {
        let requests = Requests::new(
            messages,
            Arc::clone(&entry),
            record.requests(),
            carried.encoding_to_server,
            Arc::clone(&judge),
        );
        streamed(requests).await?
    } else {
        whole(messages, &entry.method, carried.encoding_to_server, attempt, record).await?
    };
    let Asked { subject, body, stopped } = asked;
    if let Some(subject) = &subject {
        record.subject(subject);
    }
    let _admission = admission;
    let _slot = slot;
    let head = Head {
        id,
        caller,
        span,
        audience,
        entry,
        permit,
        metadata,
        deadline,
        full_time,
        subject,
        judge,
        _admission,
        _slot,
    };
    Ok(Read { head, body, carried, stopped })
}

/// What a call asks, and about whom.
struct Asked {
    subject: Option<String>,
    body: Outgoing,
    stopped: Stopped,
}

/// The one message of a request that is not streamed.
async fn whole(
    mut messages: MessageReader<Incoming>,
    method: &Method,
    encoding_to_server: Option<Encoding>,
    attempt: Option<RequestIdAttempt>,
    record: &mut OpenRecord,
) -> Result<Asked, Refusal> {
    let message = messages.next_message().await.map_err(malformed)?.ok_or(Reason::Cardinality)?;
    // The read for a second message also waits for the end of the request, so that a call without an end is
    // refused before it goes on.
    if messages.next_message().await.map_err(malformed)?.is_some() {
        return Err(Reason::Cardinality.into());
    }
    // The commitment is made before the checks, so that a refused request is recorded with what it asked.
    record.request(&message.bytes);
    if let Some(attempt) = attempt {
        attempt.read(&message.bytes).map_err(|_| Reason::RequestIdConflict)?;
    }
    let subject = check(method, &message.bytes)?;
    Ok(Asked {
        subject,
        body: Outgoing::Whole(framed(message, encoding_to_server)?),
        stopped: Stopped::default(),
    })
}

async fn streamed(mut requests: Requests) -> Result<Asked, Refusal> {
    let subject = requests.subject().await?;
    Ok(Asked { subject, stopped: requests.stopped(), body: requests.into_body() })
}

/// Checks a message of the request, and finds the citizen that it names: in the form that is compared and
/// hashed; the message keeps the form that the caller wrote.
pub(super) fn check(method: &Method, message: &[u8]) -> Result<Option<String>, Refusal> {
    // The wire form is checked first, with its bound on nesting, so that what is read below is a message of
    // the contract's type.
    wire::validate(message, method.input()).map_err(unreadable)?;
    let subject = subject(method, message)?;
    check_rules(method, message)?;
    Ok(subject)
}

fn subject(method: &Method, message: &[u8]) -> Result<Option<String>, Refusal> {
    let Some(path) = method.subject() else { return Ok(None) };
    let found = wire::find(message, path.numbers()).map_err(unreadable)?;
    match found.map(|value| value.to_text()) {
        Some(Some(text)) if !text.is_empty() => Ok(Some(method.normalise_subject(&text))),
        _ => Err(Refusal::from(Reason::FieldInvalid).violation(path.to_string(), "must be present")),
    }
}

/// Every field with a format or a rule, all findings at once.
fn check_rules(method: &Method, message: &[u8]) -> Result<(), Refusal> {
    let violations = method.violations(message).map_err(unreadable)?;
    if violations.is_empty() {
        return Ok(());
    }
    // All violations are reported at once, so that a caller corrects a form in one round.
    let tell = |refusal: Refusal, Violation { path, rule }| refusal.violation(path, rule);
    Err(violations.into_iter().fold(Refusal::from(Reason::FieldInvalid), tell))
}

/// A request that is no sequence of messages.
pub(super) fn malformed(error: FrameError) -> Refusal {
    let reason = match error {
        FrameError::TooLarge { .. } => Reason::MessageTooLarge,
        FrameError::Corrupt => Reason::DecompressionFailed,
        FrameError::Body(_) => Reason::Cancelled,
        FrameError::Compressed | FrameError::Truncated => Reason::FrameMalformed,
    };
    Refusal::from(reason).with_detail(error.to_string())
}

fn unreadable(error: WireError) -> Refusal {
    let reason = match error {
        WireError::TooDeep => Reason::NestingTooDeep,
        _ => Reason::RequestMalformed,
    };
    Refusal::from(reason).with_detail(error.to_string())
}
