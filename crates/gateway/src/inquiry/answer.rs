//! `PartWriter` writes what a part answers: its messages in the form in which they are wanted, and its end.

use bytes::Bytes;
use chapar_contract::json::JsonError;
use chapar_model::header;
use http::HeaderMap;
use prost_reflect::MessageDescriptor;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::pb::{self, part_answer};
use crate::protocol::to_struct;

/// How the messages of a part are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// protobuf's wire format.
    Message,
    /// `google.protobuf.Struct`.
    Json,
}

/// Writes the answers of one part.
pub(super) struct PartWriter {
    pub(super) number: u32,
    pub(super) id: String,
    pub(super) form: Form,
    /// The type of the messages, if the method is known.
    pub(super) output: Option<MessageDescriptor>,
}

impl PartWriter {
    /// One message of a stream.
    ///
    /// # Errors
    /// As [`PartWriter::written`].
    pub(super) fn message(&self, message: Bytes) -> Result<pb::PartAnswer, JsonError> {
        self.written(message).map(|written| self.answer(Some(written), None))
    }

    /// The end of the part; `status` is one that is no OK.
    pub(super) fn end(
        &self,
        call_id: String,
        trailers: &HeaderMap,
        status: Option<&Status>,
    ) -> pb::PartAnswer {
        self.answer(None, Some(end(call_id, trailers, status)))
    }

    /// The end of the part together with its only message.
    pub(super) fn end_with(&self, message: Bytes, call_id: String, trailers: &HeaderMap) -> pb::PartAnswer {
        match self.written(message) {
            Ok(written) => self.answer(Some(written), Some(end(call_id, trailers, None))),
            Err(_) => self.end(call_id, trailers, Some(&unwritten())),
        }
    }

    /// The part is not asked, because `part` has no value for it.
    pub(super) fn waits_for(&self, part: &str) -> pb::PartAnswer {
        let end = pb::PartEnd { waits_for: part.to_owned(), ..pb::PartEnd::default() };
        self.answer(None, Some(end))
    }

    fn answer(&self, answer: Option<part_answer::Answer>, end: Option<pb::PartEnd>) -> pb::PartAnswer {
        pb::PartAnswer { part: self.number, id: self.id.clone(), answer, end }
    }

    /// A message in its form.
    ///
    /// # Errors
    /// If JSON has no form for it. The pipeline has tried the same before the message counted as disclosed,
    /// so this is a fault of the gateway.
    fn written(&self, message: Bytes) -> Result<part_answer::Answer, JsonError> {
        match (self.form, &self.output) {
            (Form::Json, Some(output)) => to_struct(output, &message).map(part_answer::Answer::Json),
            _ => Ok(part_answer::Answer::Message(message.into())),
        }
    }
}

pub(super) fn unwritten() -> Status {
    Status::internal("the answer cannot be written as JSON")
}

/// The end of a part that was called: what its headers or trailers say of it, and its refusal if it has one.
fn end(call_id: String, trailers: &HeaderMap, refusal: Option<&Status>) -> pb::PartEnd {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // `disclosed=a,b;withheld=c`
    let list = |key: &str| -> Vec<String> {
        let mut lists = text(header::FIELDS).split(';').filter_map(|list| list.split_once('='));
        let names = lists.find(|(name, _)| *name == key).map(|(_, names)| names).unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    pb::PartEnd {
        refusal: refusal.map(part_refusal),
        waits_for: String::new(),
        call_id,
        entry: text(header::ENTRY).to_owned(),
        disclosed: list("disclosed"),
        withheld: list("withheld"),
    }
}

fn part_refusal(status: &Status) -> pb::PartRefusal {
    let details = status.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    let fields = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    let link = details.help().and_then(|help| help.links.first());
    pb::PartRefusal {
        code: status.code() as i32,
        reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
        message: status.message().to_owned(),
        localized: details.localized_message().map(|text| text.message.clone()).unwrap_or_default(),
        retry_after: wait.and_then(|wait| prost_types::Duration::try_from(wait).ok()),
        help: link.map(|link| link.url.clone()).unwrap_or_default(),
        fields: fields
            .iter()
            .map(|field| pb::FieldViolation { field: field.field.clone(), rule: field.description.clone() })
            .collect(),
    }
}
