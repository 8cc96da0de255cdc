//! `start` asks the parts that a request names, all at once.

use chapar_model::Reason;
use chapar_registry::MAX_PARTS;
use tonic::Status;

use super::answer::Form;
use super::part::{Inquirer, PartCall};
use super::pb::{self, ask_part};
use super::{Answers, Running, answers};
use crate::protocol::{RequestStream, Unreadable, from_struct};
use crate::refusal::Refusal;

/// Maximum length of a part's id, in bytes.
const MAX_ID: usize = 64;

/// Starts all parts.
///
/// # Errors
/// `REQUEST_MALFORMED` if there are no parts, too many, or one without a request or with too long an id: then
/// no part is asked.
pub(super) fn start(inquirer: &Inquirer, request: pb::AskRequest) -> Result<Answers, Status> {
    let fault = |path: String, rule: &str| {
        let refusal = Refusal::from(Reason::RequestMalformed).violation(path, rule);
        Err(inquirer.status(&refusal))
    };
    if request.parts.is_empty() || request.parts.len() > MAX_PARTS {
        return fault("parts".to_owned(), "must be 1 to 16");
    }
    // All are looked at before the first is asked: a request with a fault causes no disclosure.
    for (number, part) in request.parts.iter().enumerate() {
        if part.id.len() > MAX_ID {
            return fault(format!("parts[{number}].id"), "must be at most 64 bytes");
        }
        if part.request.is_none() {
            return fault(format!("parts[{number}]"), "must have `message` or `json`");
        }
    }
    let mut running = Running::new();
    for (number, part) in (0..).zip(request.parts) {
        let inquirer = inquirer.clone();
        running.spawn(async move {
            let call = call(&inquirer, number, part);
            inquirer.ask(call).await.0
        });
    }
    Ok(answers(running))
}

fn call(inquirer: &Inquirer, number: u32, part: pb::AskPart) -> PartCall {
    let (body, form) = match part.request {
        Some(ask_part::Request::Json(request)) => (from_json(inquirer, &part.method, request), Form::Json),
        Some(ask_part::Request::Message(message)) => (RequestStream::message(&message), Form::Message),
        // `start` has refused it.
        None => (RequestStream::message(&[]), Form::Message),
    };
    PartCall { number, id: part.id, method: part.method, body, form }
}

/// The request that JSON says. It is read when the body is, which is after authorization, so that neither a
/// fault nor the time that it takes reveals a hidden method.
fn from_json(inquirer: &Inquirer, method: &str, request: prost_types::Struct) -> RequestStream {
    // Of a method that is not known nobody reads the request.
    let Some(entry) = inquirer.policy().registry.method(method).cloned() else {
        return RequestStream::message(&[]);
    };
    RequestStream::read_by(async move {
        from_struct(entry.method.input(), request).map_err(|error| Unreadable {
            reason: Reason::RequestMalformed,
            field: Some((error.path, error.rule)),
        })
    })
}
