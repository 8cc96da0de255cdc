//! Read: the one request message, checked on its wire bytes; the bytes go on unchanged.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chapar_contract::Method;
use chapar_contract::wire::{self, WireError};
use chapar_limit::Admission;
use chapar_model::Reason;
use chapar_registry::{MethodEntry, Permit};
use chapar_transport::frame::{FrameError, MessageReader};
use http::HeaderMap;

use super::Call;
use super::admit::Admitted;
use crate::metadata::Metadata;
use crate::record::OpenRecord;
use crate::refusal::{Audience, Refusal};

/// A call whose request is whole and well formed.
pub(super) struct Read {
    pub(super) head: Head,
    pub(super) message: Bytes,
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
    pub(super) subject: Option<String>,
    /// Held until the call ends.
    pub(super) _admission: Admission,
}

pub(super) async fn read(admitted: Admitted, limit: usize, record: &mut OpenRecord) -> Result<Read, Refusal> {
    let Admitted { permitted, admission } = admitted;
    let (call, entry, permit, metadata, deadline) = permitted.into_parts();
    let Call { id, caller, span, audience, headers, body, .. } = call;
    accept_encoding(&headers)?;
    let mut messages = MessageReader::new(body, limit);
    let message = messages.next().await.map_err(malformed)?.ok_or(Reason::Cardinality)?;
    if messages.next().await.map_err(malformed)?.is_some() {
        return Err(Reason::Cardinality.into());
    }
    record.request(&message);
    wire::validate(&message, entry.method.input()).map_err(unreadable)?;
    let subject = subject(&entry.method, &message)?;
    if let Some(subject) = &subject {
        record.subject(subject);
    }
    check_formats(&entry.method, &message)?;
    let head = Head { id, caller, span, audience, entry, permit, metadata, deadline, subject, _admission: admission };
    Ok(Read { head, message })
}

fn accept_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => Err(Reason::EncodingUnsupported.into()),
    }
}

/// The citizen's id, in the form that is compared and hashed; the message keeps the form that the caller wrote.
fn subject(method: &Method, message: &[u8]) -> Result<Option<String>, Refusal> {
    let Some(path) = method.subject() else { return Ok(None) };
    let found = wire::find(message, path.numbers()).map_err(unreadable)?;
    match found.map(|value| value.to_text()) {
        Some(Some(text)) if !text.is_empty() => Ok(Some(method.normalise_subject(&text))),
        _ => Err(Refusal::from(Reason::FieldInvalid).violation(path.to_string(), "must be present")),
    }
}

/// Every field with a format, all findings at once.
fn check_formats(method: &Method, message: &[u8]) -> Result<(), Refusal> {
    let mut refusal = Refusal::from(Reason::FieldInvalid);
    let mut sound = true;
    for field in method.formats() {
        let found = wire::find(message, field.path.numbers()).map_err(unreadable)?;
        let text = found.and_then(|value| value.to_text()).unwrap_or_default();
        let rule = match text.as_str() {
            "" if field.required => Some("must be present".to_owned()),
            "" => None,
            text if field.format.check(text) => None,
            _ => Some(format!("is not {}", field.format)),
        };
        if let Some(rule) = rule {
            refusal = refusal.violation(field.path.to_string(), rule);
            sound = false;
        }
    }
    if sound { Ok(()) } else { Err(refusal) }
}

fn malformed(error: FrameError) -> Refusal {
    let reason = match error {
        FrameError::TooLarge { .. } => Reason::MessageTooLarge,
        FrameError::Body(_) => Reason::Cancelled,
        _ => Reason::FrameMalformed,
    };
    Refusal::from(reason).because(error.to_string())
}

fn unreadable(error: WireError) -> Refusal {
    let reason = match error {
        WireError::TooDeep => Reason::NestingTooDeep,
        _ => Reason::RequestMalformed,
    };
    Refusal::from(reason).because(error.to_string())
}
