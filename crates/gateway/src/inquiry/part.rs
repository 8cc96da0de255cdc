//! `Inquirer` makes the calls of one inquiry's parts: each with a call id, a span and a load slot of its own,
//! through the pipeline, as if it had come alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_model::{CallId, MemberId, Reason, RequestId, header};
use chapar_registry::{Procedure, Subsystem};
use chapar_transport::encoding::{self, Encoding};
use chapar_transport::frame::MessageReader;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response};
use tonic::Status;
use tonic::body::Body;

use super::answer::{Form, PartWriter, unwritten};
use super::{Answers, Started};
use crate::memory::Pressure;
use crate::observe::{CallSpan, Observer};
use crate::overload::{LoadSlot, Overload};
use crate::pipeline::{Call, Grounds, Pipeline, Policy, Refused};
use crate::protocol::{AnsweredInJson, RequestStream, take_status};
use crate::refusal::{Audience, PROVIDER_RETRY, Refusal};

/// Time that the parts leave of the inquiry's own deadline, so that their ends arrive before it: a twentieth,
/// and at most this.
const MAX_MARGIN: Duration = Duration::from_millis(250);

/// Who asks, and what its calls are made with.
#[derive(Clone)]
pub(crate) struct Inquirer {
    pub(crate) caller: Arc<Subsystem>,
    pub(crate) grounds: Grounds,
    pub(crate) pipeline: Pipeline,
    pub(crate) observer: Observer,
    pub(crate) overload: Arc<Overload>,
    pub(crate) memory: Pressure,
    pub(crate) audience: Audience,
    /// Span of the inquiry, under which those of the parts are.
    pub(crate) span: Arc<CallSpan>,
    /// Headers of the inquiry.
    pub(crate) headers: HeaderMap,
    /// When the caller no longer waits, if it says so.
    pub(crate) deadline: Option<Instant>,
    /// Whether the caller reads JSON.
    pub(crate) is_json: bool,
}

/// One part.
pub(super) struct PartCall {
    pub(super) number: u32,
    pub(super) id: String,
    /// `package.Service/Method`, as the caller or the procedure has it.
    pub(super) method: String,
    pub(super) body: RequestStream,
    pub(super) form: Form,
}

impl Inquirer {
    /// A refusal of the whole inquiry.
    pub(super) fn status(&self, refusal: &Refusal) -> Status {
        refusal.to_status(&self.audience)
    }

    /// The inquirer of a procedure's parts: their purpose and whose right they use are the procedure's.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` if the inquiry says another purpose or member.
    pub(super) fn for_procedure(&self, procedure: &Procedure) -> Result<Self, Status> {
        let mut inquirer = self.clone();
        let purpose = Some(procedure.purpose.as_str());
        let member = procedure.on_behalf_of.as_ref().map(MemberId::as_str);
        for (name, own) in [(header::PURPOSE, purpose), (header::ON_BEHALF_OF, member)] {
            let is_own = |value: &HeaderValue| own.is_some_and(|own| value.as_bytes() == own.as_bytes());
            if !self.headers.get_all(name).iter().all(is_own) {
                let refusal = Refusal::from(Reason::RequestMalformed);
                return Err(
                    self.status(&refusal.violation(name, "must be absent, or what the procedure has"))
                );
            }
            if let Some(value) = own.and_then(|own| HeaderValue::from_str(own).ok()) {
                inquirer.headers.insert(name, value);
            }
        }
        Ok(inquirer)
    }

    /// The policy in force. A part that began late is decided by it, as a call that comes alone then would
    /// be.
    pub(super) fn policy(&self) -> Arc<Policy> {
        self.grounds.policy.load_full()
    }

    /// Makes the call. Returns how it begins to answer, and the message of an answer that is one message.
    pub(super) async fn ask(&self, part: PartCall) -> (Started, Option<Bytes>) {
        let PartCall { number, id, method, body, form } = part;
        let policy = self.policy();
        let entry = policy.registry.method(&method);
        let known = entry.map(|entry| entry.method.path());
        let output = entry.map(|entry| entry.method.output().clone());
        let writer = PartWriter { number, id, form, output: output.clone() };
        let ended = |answer| (Started::Ended(Box::new(answer)), None);
        let Some(slot) = self.load_slot().await else {
            // As for a call that comes alone, load shedding costs no span and no record.
            self.observer.turned_away(known);
            let refusal = Refusal::from(Reason::Overloaded).retry_after(PROVIDER_RETRY);
            return ended(writer.end(String::new(), &HeaderMap::new(), Some(&self.status(&refusal))));
        };
        let call_id = CallId::now();
        let span = Arc::new(self.observer.begin_part(call_id, &self.span, known));
        span.caller(&self.caller.id);
        let call = Call {
            id: call_id,
            caller: Arc::clone(&self.caller),
            path: format!("/{method}"),
            headers: self.headers_of(number),
            body,
            json: output.filter(|_| form == Form::Json).map(AnsweredInJson::Struct),
            started: Instant::now(),
            span: Arc::clone(&span),
            audience: self.audience.clone(),
            slot,
            grounds: self.grounds.clone(),
        };
        match self.pipeline.answer(&policy, call).await {
            Ok(response) => {
                let reading = Reading::of(response, self.pipeline.max_message);
                match entry.is_some_and(|entry| entry.method.kind().streams_responses()) {
                    true => (Started::Streams(reading.streamed(writer, call_id)), None),
                    false => reading.single(&writer, call_id).await,
                }
            }
            Err(Refused { refusal, entry }) => {
                span.finish_refused(&refusal);
                let mut trailers = refusal.to_trailers(&self.audience);
                let status = take_status(&mut trailers);
                if let Some(entry) = entry.and_then(|entry| HeaderValue::from_str(&entry).ok()) {
                    trailers.insert(header::ENTRY, entry);
                }
                ended(writer.end(call_id.to_string(), &trailers, status.as_ref()))
            }
        }
    }

    async fn load_slot(&self) -> Option<LoadSlot> {
        if self.memory.is_high() {
            return None;
        }
        self.overload.enter_part(&self.caller.id).await
    }

    /// The headers of a part: the inquiry's, with what is left of its time and a request id of the part's
    /// own.
    fn headers_of(&self, number: u32) -> HeaderMap {
        let mut headers = self.headers.clone();
        // Parts are not compressed: what goes back to the caller is the inquiry's stream.
        for name in [encoding::HEADER, encoding::ACCEPT] {
            headers.remove(name);
        }
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = left.saturating_sub((left / 20).min(MAX_MARGIN));
            // gRPC's timeout has 8 digits at most (gRPC over HTTP/2, "Requests").
            let timeout = format!("{}m", left.as_millis().clamp(1, 99_999_999));
            if let Ok(value) = HeaderValue::from_str(&timeout) {
                headers.insert("grpc-timeout", value);
            }
        }
        // One that is malformed or there twice stays, and each part is refused for it.
        let mut ids = headers.get_all(header::REQUEST_ID).iter();
        if let (Some(id), None) = (ids.next(), ids.next())
            && let Some(id) = id.to_str().ok().and_then(|id| id.parse::<RequestId>().ok())
            && let Ok(value) = HeaderValue::from_str(&id.of_part(number).to_string())
        {
            headers.insert(header::REQUEST_ID, value);
        }
        headers
    }
}

/// The answer of a call while it is read.
struct Reading(MessageReader<Body>);

impl Reading {
    fn of(response: Response<Body>, limit: usize) -> Self {
        let (parts, body) = response.into_parts();
        let encoding = parts.headers.get(encoding::HEADER);
        let encoding = encoding.and_then(|name| Encoding::parse(name.as_bytes()).ok().flatten());
        Self(MessageReader::new(body, limit).encoded(encoding))
    }

    /// An answer of one message, which goes out together with its end.
    async fn single(mut self, writer: &PartWriter, id: CallId) -> (Started, Option<Bytes>) {
        let mut single = None;
        let (trailers, status) = loop {
            match self.next().await {
                Ok(message) => single = Some(message),
                Err(ended) => break ended,
            }
        };
        let single = single.filter(|_| status.is_none());
        let answer = match single.clone() {
            Some(message) => writer.end_with(message, id.to_string(), &trailers),
            None => writer.end(id.to_string(), &trailers, status.as_ref()),
        };
        (Started::Ended(Box::new(answer)), single)
    }

    /// The messages of a stream, each read when the caller wants it, and then its end.
    fn streamed(self, writer: PartWriter, id: CallId) -> Answers {
        Box::pin(stream::unfold(Some((self, writer)), move |state| async move {
            let (mut reading, writer) = state?;
            let (trailers, status) = match reading.next().await {
                Ok(message) => match writer.message(message) {
                    Ok(answer) => return Some((Ok(answer), Some((reading, writer)))),
                    Err(_) => (HeaderMap::new(), Some(unwritten())),
                },
                Err(ended) => ended,
            };
            Some((Ok(writer.end(id.to_string(), &trailers, status.as_ref())), None))
        }))
    }

    /// The next message, or at the end the trailers and a status that is no OK.
    async fn next(&mut self) -> Result<Bytes, (HeaderMap, Option<Status>)> {
        match self.0.next().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => {
                let mut trailers = self.0.trailers().cloned().unwrap_or_default();
                let status = take_status(&mut trailers);
                Err((trailers, status))
            }
            Err(_) => Err((HeaderMap::new(), Some(Status::internal("the answer was broken off")))),
        }
    }
}
