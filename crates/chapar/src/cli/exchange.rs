//! One call on an open connection: what goes along with it, its answer as it comes in, and why it may have
//! none.

use std::time::Duration;

use bytes::Bytes;
use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose, header};
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Response, Status, Streaming};

use super::refusal::Refusal;
use super::{Exit, Failure};

/// How much longer than the gateway the caller waits for the rest of an answer.
const LATE: Duration = Duration::from_millis(500);

/// What goes along with a call.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) purpose: Option<Purpose>,
    pub(super) case: Option<CaseNumber>,
    pub(super) clerk: Option<ClerkId>,
    pub(super) on_behalf_of: Option<MemberId>,
    pub(super) language: Option<String>,
    pub(super) timeout: Duration,
}

/// Why a call has no answer.
pub(super) enum CallError {
    /// The bus or the agency said no.
    Refused(Box<Refusal>),
    /// There was no one to say anything.
    Failed(Failure),
}

/// An answer as it comes in.
pub(super) struct Answers {
    stream: Streaming<Bytes>,
    gateway: String,
    call_id: Option<String>,
    /// A little after the call's own deadline, which the gateway keeps.
    until: Instant,
}

/// What the end of an answer says.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) call_id: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) disclosed: Vec<String>,
    pub(super) withheld: Vec<String>,
}

impl Answers {
    pub(super) fn new(response: Response<Streaming<Bytes>>, gateway: &str, timeout: Duration) -> Self {
        let call_id = text(response.metadata(), header::CALL_ID);
        let until = Instant::now() + timeout + LATE;
        Self { stream: response.into_inner(), gateway: gateway.to_owned(), call_id, until }
    }

    /// The next message; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        match tokio::time::timeout_at(self.until, self.stream.message()).await {
            Ok(message) => message.map_err(|status| refused(&self.gateway, &status, self.call_id.clone())),
            Err(_) => Err(late(self.call_id.clone())),
        }
    }

    /// Reads to the end of the call.
    pub(super) async fn ending(mut self) -> Result<Ending, CallError> {
        while self.next().await?.is_some() {}
        let trailers = self.stream.trailers().await;
        let trailers = trailers.map_err(|status| refused(&self.gateway, &status, self.call_id.clone()))?;
        let trailers = trailers.unwrap_or_default();
        let fields = text(&trailers, header::FIELDS).unwrap_or_default();
        let list = |name: &str| {
            let part = fields.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            part.into_iter()
                .flat_map(|list| list.split(','))
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Ok(Ending {
            entry: text(&trailers, header::ENTRY),
            disclosed: list("disclosed"),
            withheld: list("withheld"),
            call_id: self.call_id,
        })
    }
}

impl Metadata {
    /// Writes it into a request.
    pub(super) fn write(&self, to: &mut MetadataMap) -> Result<(), Failure> {
        let known = [
            (header::PURPOSE, self.purpose.as_ref().map(ToString::to_string)),
            (header::CASE, self.case.as_ref().map(ToString::to_string)),
            (header::CLERK, self.clerk.as_ref().map(ToString::to_string)),
            (header::ON_BEHALF_OF, self.on_behalf_of.as_ref().map(ToString::to_string)),
            ("accept-language", self.language.clone()),
        ];
        for (name, value) in known {
            let Some(value) = value else { continue };
            let value = MetadataValue::<Ascii>::try_from(value)
                .map_err(|_| Failure::usage(format_args!("`{name}` takes plain ASCII text")))?;
            to.insert(name, value);
        }
        Ok(())
    }
}

/// A message of the method's output type.
pub(super) fn decode(method: &MethodDescriptor, bytes: Bytes) -> Result<DynamicMessage, Failure> {
    let unlike = |_| {
        Failure::new(Exit::Finding, format_args!("the answer is not a valid {}", method.output().full_name()))
    };
    DynamicMessage::decode(method.output(), bytes).map_err(unlike)
}

/// A status from the wire is a refusal. One that this end made up because the connection broke is not, but
/// for the deadline, which both ends keep.
pub(super) fn refused(gateway: &str, status: &Status, call_id: Option<String>) -> CallError {
    let Some(source) = std::error::Error::source(status) else {
        return CallError::Refused(Box::new(Refusal::from_status(status, call_id)));
    };
    if chain(source).any(|cause| cause.is::<tonic::TimeoutExpired>()) {
        return late(call_id);
    }
    CallError::Failed(unreachable(gateway, source))
}

/// The caller's own deadline has passed.
pub(super) fn late(call_id: Option<String>) -> CallError {
    let late = Status::deadline_exceeded("the gateway did not answer within --timeout");
    CallError::Refused(Box::new(Refusal::from_status(&late, call_id)))
}

/// An error and its causes.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The whole chain of causes in one sentence; tonic's own first words say nothing.
pub(super) fn unreachable(gateway: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut causes: Vec<String> = Vec::new();
    for cause in chain(error) {
        let words = cause.to_string();
        if words != "transport error" && causes.last() != Some(&words) {
            causes.push(words);
        }
    }
    Failure::new(
        Exit::Unreachable,
        format_args!("cannot reach the gateway at {gateway}: {}", causes.join(": ")),
    )
}

pub(super) fn text(metadata: &MetadataMap, name: &str) -> Option<String> {
    metadata.get(name)?.to_str().ok().map(str::to_owned)
}
