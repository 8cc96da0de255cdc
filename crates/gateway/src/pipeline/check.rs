//! This module checks one message of a request on its wire bytes: it is well formed and keeps formats and
//! rules. It also finds the citizen that the message names. `read` checks a single message, `requests` each
//! message of a stream.

use chapar_contract::wire::{self, WireError};
use chapar_contract::{Method, Violation};
use chapar_model::Reason;
use chapar_transport::frame::FrameError;

use crate::protocol::Unreadable;
use crate::refusal::Refusal;

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

/// Checks every field with a format or a rule, and reports all violations at once.
fn check_rules(method: &Method, message: &[u8]) -> Result<(), Refusal> {
    let violations = method.violations(message).map_err(unreadable)?;
    if violations.is_empty() {
        return Ok(());
    }
    // All violations are reported at once, so that a caller corrects a form in one round.
    let tell = |refusal: Refusal, Violation { path, rule }| refusal.violation(path, rule);
    Err(violations.into_iter().fold(Refusal::from(Reason::FieldInvalid), tell))
}

/// Makes the refusal of a request that is not a sequence of gRPC messages.
pub(super) fn malformed(error: FrameError) -> Refusal {
    // A request in another protocol than gRPC is read on its way here.
    if let FrameError::Body(source) = &error
        && let Some(Unreadable { reason, field }) = source.downcast_ref::<Unreadable>()
    {
        let refusal = Refusal::from(*reason);
        return match field {
            Some((path, rule)) => refusal.violation(path.as_str(), *rule),
            None => refusal,
        };
    }
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
