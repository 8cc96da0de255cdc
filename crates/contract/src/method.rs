//! `Method` is one method of a contract, with everything that the pipeline and the adapter need, computed
//! once at load.

use std::fmt;
use std::time::Duration;

use chapar_model::{MethodPath, Purpose};
use prost_reflect::MessageDescriptor;

use crate::field_path::FieldPath;
use crate::format::Format;
use crate::request::{RequestFormat, RequestRule, Violation};
use crate::wire::{FieldMask, UnknownField, WireError};

/// How many messages a call carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// One request, any number of responses.
    ServerStreaming,
    /// Any number of requests, one response.
    ClientStreaming,
    /// Any number of requests and of responses, in any order.
    BidiStreaming,
}

impl MethodKind {
    /// By what the two sides send.
    pub(crate) fn new(client_streaming: bool, server_streaming: bool) -> Self {
        match (client_streaming, server_streaming) {
            (false, false) => Self::Unary,
            (false, true) => Self::ServerStreaming,
            (true, false) => Self::ClientStreaming,
            (true, true) => Self::BidiStreaming,
        }
    }

    /// Whether the caller sends any number of requests.
    pub fn streams_requests(self) -> bool {
        matches!(self, Self::ClientStreaming | Self::BidiStreaming)
    }

    /// Whether the answer is any number of messages.
    pub fn streams_responses(self) -> bool {
        matches!(self, Self::ServerStreaming | Self::BidiStreaming)
    }
}

/// How sensitive a field is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Anyone may know it.
    Public,
    /// About a person.
    Personal,
    /// About a person's health, money, family or standing.
    Sensitive,
    /// Not to be granted without a reason of its own.
    Secret,
}

/// One leaf of a response: a field that a grant can name. `google.type.Date` and `google.protobuf.*` count as
/// leaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResponseField {
    /// Dotted, through repeated messages, e.g. `degrees.title`.
    pub path: String,
    /// How sensitive it is.
    pub class: Class,
    /// It echoes the subject.
    pub key: bool,
    /// It is the token of the next page.
    pub page_token: bool,
}

impl ResponseField {
    /// Whether it is disclosed whatever a grant names: a key is compared with the subject, and without its
    /// token there is no next page.
    pub fn is_always_disclosed(&self) -> bool {
        self.key || self.page_token
    }
}

/// One method. Its limits and paths are those of the contract; what a caller may see of it is the registry's.
#[derive(Clone)]
pub struct Method {
    pub(crate) path: MethodPath,
    pub(crate) kind: MethodKind,
    pub(crate) idempotent: bool,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    pub(crate) subject: Option<FieldPath>,
    pub(crate) subject_format: Option<Format>,
    pub(crate) key: Option<FieldPath>,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) timeout: Duration,
    pub(crate) row_scopes: Vec<String>,
    /// As the contract declares it; 0 if it declares none.
    pub(crate) max_rows: u32,
    pub(crate) fields: Vec<ResponseField>,
    pub(crate) formats: Vec<RequestFormat>,
    pub(crate) rules: Vec<RequestRule>,
}

// Not derived: the `Debug` of a descriptor that contains itself never ends.
impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.path).finish()
    }
}

impl Method {
    /// `package.Service/Method`.
    pub fn path(&self) -> &MethodPath {
        &self.path
    }

    /// How many messages go which way.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// Whether the contract declares that asking twice is as asking once: `idempotency_level` is
    /// `NO_SIDE_EFFECTS` or `IDEMPOTENT`.
    pub fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// The request's type.
    pub fn input(&self) -> &MessageDescriptor {
        &self.input
    }

    /// The response's type.
    pub fn output(&self) -> &MessageDescriptor {
        &self.output
    }

    /// Where the request names the citizen; nothing if the method is about no one person.
    pub fn subject(&self) -> Option<&FieldPath> {
        self.subject.as_ref()
    }

    /// The subject in the form that is hashed: its format's, or as it is.
    pub fn normalise_subject(&self, text: &str) -> String {
        // Without a format, two spellings are two subjects, because nothing says how they compare.
        self.subject_format.map_or_else(|| text.to_owned(), |format| format.normalise(text))
    }

    /// The response field that echoes the subject, if the contract has one.
    pub fn key(&self) -> Option<&FieldPath> {
        self.key.as_ref()
    }

    /// The purposes that a call may have; none needed if empty.
    pub fn purposes(&self) -> &[Purpose] {
        &self.purposes
    }

    /// The longest that a call may take, all its messages included: 1 ms to 30 s; up to 24 h if a side
    /// streams.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Columns by which a grant may narrow the rows.
    pub fn row_scopes(&self) -> &[String] {
        &self.row_scopes
    }

    /// The most rows of an adapter's answer: 1 to 100,000, or 10,000,000 if it is streamed; default 1,000.
    pub fn max_rows(&self) -> u32 {
        self.declared_max_rows().unwrap_or(1_000)
    }

    /// The most rows of any answer, if the contract says so.
    pub fn declared_max_rows(&self) -> Option<u32> {
        (self.max_rows > 0).then_some(self.max_rows)
    }

    /// Every leaf of the response, in the order of the declaration.
    pub fn fields(&self) -> &[ResponseField] {
        &self.fields
    }

    /// Every request field with a format; the subject is among them if it has one.
    pub fn formats(&self) -> &[RequestFormat] {
        &self.formats
    }

    /// Every field of a request that breaks its format or a rule, by the contract's order; empty if all is
    /// well. The request must be a message of its type ([`wire::validate`](crate::wire::validate)).
    ///
    /// # Errors
    /// [`WireError`] if it is malformed.
    pub fn violations(&self, request: &[u8]) -> Result<Vec<Violation>, WireError> {
        crate::request::violations(&self.formats, &self.rules, request)
    }

    /// The field of the response that has the next page's token, if the method answers page by page
    /// (AIP-158). The request then has `string page_token` and `int32 page_size`.
    pub fn next_page_token(&self) -> Option<&str> {
        self.fields.iter().find(|field| field.page_token).map(|field| field.path.as_str())
    }

    /// The mask of a grant for `paths`; fields that are always disclosed are in it.
    ///
    /// # Errors
    /// [`UnknownField`] for the first path that the response does not have.
    pub fn mask(&self, paths: &[&str]) -> Result<FieldMask, UnknownField> {
        // Added here, because the gateway compares key fields with the subject in every answer.
        let always = self.fields.iter().filter(|field| field.is_always_disclosed());
        let always = always.map(|field| field.path.as_str());
        let all: Vec<&str> = always.chain(paths.iter().copied()).collect();
        FieldMask::new(&self.output, &all)
    }
}
