//! A caller of the bus as any gRPC client would be one: a channel with a certificate, the call's metadata,
//! and the answer or the refusal with what the bus says about it.

use std::fmt;
use std::time::Duration;

use chapar_contract::Contract;
use chapar_model::{MethodPath, header};
use prost_reflect::{DynamicMessage, Value};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use super::codec::DynamicCodec;
use super::{CASE, CLERK};
use crate::cli::{Exit, Failure};
use crate::demo::bus::Bus;
use crate::demo::files::key_name;
use crate::demo::registry::SERVER_NAME;

/// A call that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One subsystem with its connection, which is made at the first call.
pub(super) struct Caller(Channel);

/// One question.
pub(super) struct Asked<'a> {
    /// `package.Service/Method`.
    pub(super) method: &'a str,
    /// Request fields, all texts.
    pub(super) fields: &'a [(&'a str, &'a str)],
    pub(super) purpose: &'static str,
    pub(super) on_behalf_of: Option<&'static str>,
}

/// What came back, with what the bus says about it.
#[derive(Debug)]
pub(super) struct Answer {
    /// One, or all of a stream.
    pub(super) messages: Vec<DynamicMessage>,
    pub(super) call_id: String,
    /// `ORIGIN/INDEX` of the record.
    pub(super) entry: String,
    pub(super) disclosed: Vec<String>,
    pub(super) withheld: Vec<String>,
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) struct Refused {
    /// The gRPC code as in the documentation, e.g. `PERMISSION_DENIED`.
    pub(super) code: String,
    /// A word of the catalogue; empty if the bus did not answer.
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.code, self.reason, self.message)
    }
}

impl Caller {
    /// The caller with the certificate of `subsystem`.
    ///
    /// # Errors
    /// If a key file cannot be read or used.
    pub(super) fn new(bus: &Bus, subsystem: &str) -> Result<Self, Failure> {
        let read = |name: String| {
            let path = bus.dir.join("pki").join(name);
            std::fs::read(&path)
                .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", path.display())))
        };
        let name = key_name(subsystem);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.crt".to_owned())?))
            .identity(Identity::from_pem(read(format!("{name}.crt"))?, read(format!("{name}.key"))?))
            .domain_name(SERVER_NAME);
        let wrong = |error: tonic::transport::Error| Failure::error(Exit::Finding, error);
        let endpoint = Endpoint::from_shared(format!("https://{}", bus.gateway)).map_err(wrong)?;
        Ok(Self(endpoint.tls_config(tls).map_err(wrong)?.tcp_nodelay(true).connect_lazy()))
    }

    /// Makes one call and reads it to its end.
    pub(super) async fn ask(
        &self,
        contract: Option<&Contract>,
        asked: &Asked<'_>,
    ) -> Result<Answer, Refused> {
        let path: MethodPath = asked.method.parse().map_err(|_| Refused::unasked("no method path"))?;
        let method = contract
            .and_then(|contract| contract.method(&path))
            .ok_or_else(|| Refused::unasked("no such method"))?;
        let mut message = DynamicMessage::new(method.input().clone());
        for (field, value) in asked.fields {
            let set = message.try_set_field_by_name(field, Value::String((*value).to_owned()));
            set.map_err(|_| Refused::unasked("no such field"))?;
        }
        let mut request = Request::new(tokio_stream::once(message));
        asked.write(request.metadata_mut())?;
        request.set_timeout(TIMEOUT);
        let calling = async {
            let mut client = tonic::client::Grpc::new(self.0.clone());
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let path = http::uri::PathAndQuery::try_from(format!("/{path}"))
                .map_err(|_| Status::invalid_argument("no method path"))?;
            // As a stream also where one message is meant, so that headers, messages and trailers can be read
            // one by one.
            let response = client.streaming(request, path, DynamicCodec(method.output().clone())).await?;
            let call_id = text(response.metadata(), header::CALL_ID);
            let mut stream = response.into_inner();
            let mut messages = Vec::new();
            while let Some(message) = stream.message().await? {
                messages.push(message);
            }
            let trailers = stream.trailers().await?.unwrap_or_default();
            let (disclosed, withheld) = fields(&text(&trailers, header::FIELDS));
            Ok(Answer { messages, call_id, entry: text(&trailers, header::ENTRY), disclosed, withheld })
        };
        let late = || Err(Status::deadline_exceeded("no answer in time"));
        let answered = tokio::time::timeout(TIMEOUT * 2, calling).await.unwrap_or_else(|_| late());
        answered.map_err(|status| Refused::from(&status))
    }
}

impl Asked<'_> {
    fn write(&self, metadata: &mut MetadataMap) -> Result<(), Refused> {
        let behalf = self.on_behalf_of.map(|member| (header::ON_BEHALF_OF, member));
        let pairs = [(header::PURPOSE, self.purpose), (header::CASE, CASE), (header::CLERK, CLERK)];
        for (name, value) in pairs.into_iter().chain(behalf) {
            let value: AsciiMetadataValue =
                value.parse().map_err(|_| Refused::unasked("metadata is ASCII"))?;
            metadata.insert(name, value);
        }
        Ok(())
    }
}

impl Refused {
    /// The call was never made.
    fn unasked(why: &str) -> Self {
        Self {
            code: "INTERNAL".to_owned(),
            reason: String::new(),
            message: why.to_owned(),
            retry_after: None,
        }
    }
}

impl From<&Status> for Refused {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        Self {
            code: code_name(status.code()),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

fn text(metadata: &MetadataMap, name: &str) -> String {
    metadata.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// `disclosed=a,b;withheld=c`.
fn fields(text: &str) -> (Vec<String>, Vec<String>) {
    let part = |name: &str| {
        let list =
            text.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
        list.split(',').filter(|field| !field.is_empty()).map(str::to_owned).collect()
    };
    (part("disclosed"), part("withheld"))
}

/// `PermissionDenied` is `PERMISSION_DENIED`.
fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_grpcs_documentation() {
        assert_eq!(code_name(tonic::Code::PermissionDenied), "PERMISSION_DENIED");
        assert_eq!(code_name(tonic::Code::Unavailable), "UNAVAILABLE");
    }

    #[test]
    fn the_trailer_says_what_was_disclosed_and_what_withheld() {
        let (disclosed, withheld) = fields("disclosed=a,b.c;withheld=");
        assert_eq!((disclosed, withheld), (vec!["a".to_owned(), "b.c".to_owned()], vec![]));
    }
}
