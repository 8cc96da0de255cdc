//! The step *read* checks the request on its wire bytes; the checked bytes are the bytes that are sent. A
//! single message is read whole. Of a stream only the message that names the citizen is read here, and
//! `requests` checks the others as they pass.

use std::sync::Arc;

use chapar_contract::Method;
use chapar_model::{Clock, MAX_ADAPTER_REQUEST, Reason};
use chapar_registry::Server;
use chapar_transport::encoding::Encoding;
use chapar_transport::frame::MessageReader;

use super::admit::Admitted;
use super::call::Call;
use super::carried::FromCaller;
use super::check::{check, malformed};
use super::exchange::Stopped;
use super::head::Head;
use super::judge::Judge;
use super::record::OpenRecord;
use super::requests::{Requests, framed};
use crate::attempts::RequestIdAttempt;
use crate::protocol::RequestStream;
use crate::refusal::Refusal;
use crate::upstream::RequestBody;

/// `Read` is a call whose request may be sent to the provider.
pub(super) struct Read {
    pub(super) head: Head,
    pub(super) body: RequestBody,
    pub(super) carried: FromCaller,
    pub(super) stopped: Stopped,
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
    let Call { id, caller, span, audience, headers, body, json, slot, grounds, .. } = call;
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
    // An adapter may accept smaller messages than the gateway. A larger one is refused here, so that the
    // caller gets the reason and the adapter is not blamed.
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
        json,
        judge,
        _admission,
        _slot,
    };
    Ok(Read { head, body, carried, stopped })
}

/// The request of a call, and the citizen that it names.
struct Asked {
    subject: Option<String>,
    body: RequestBody,
    stopped: Stopped,
}

/// Reads the one message of a request that is not streamed.
async fn whole(
    mut messages: MessageReader<RequestStream>,
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
        body: RequestBody::Whole(framed(message, encoding_to_server)?),
        stopped: Stopped::default(),
    })
}

async fn streamed(mut requests: Requests) -> Result<Asked, Refusal> {
    let subject = requests.subject().await?;
    Ok(Asked { subject, stopped: requests.stopped(), body: requests.into_body() })
}
