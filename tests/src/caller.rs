//! `Caller` is a caller of the bus that can also misbehave: it sends any header, any path, any bytes. It uses
//! the project's pool and framing and none of its client, so that nothing is corrected on the way.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_contract::Contract;
use chapar_model::MethodPath;
use chapar_transport::dial::{Incoming, Pool, Settings};
use chapar_transport::frame::{self, MessageReader};
use chapar_transport::tls::{self, Expect};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Full;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{repository, until};

/// One subsystem with its connection.
#[derive(Clone)]
pub struct Caller {
    pool: Arc<Pool>,
    contract: Contract,
}

/// A call being put together.
pub struct Ask {
    caller: Caller,
    method: String,
    path: String,
    headers: HeaderMap,
    fields: Vec<(String, String)>,
    raw: Option<Bytes>,
    body: Option<Bytes>,
    added: Vec<(HeaderName, HeaderValue)>,
    content_type: &'static str,
}

/// An answer, with what the bus says about it.
#[derive(Debug)]
pub struct Answer {
    messages: Vec<Bytes>,
    headers: HeaderMap,
    trailers: HeaderMap,
    output: Option<MessageDescriptor>,
}

/// A refusal, decoded.
#[derive(Debug)]
pub struct Refusal {
    /// gRPC status code.
    pub code: i32,
    /// `ErrorInfo.reason`; empty if there is none.
    pub reason: String,
    /// `grpc-message`.
    pub message: String,
    /// `LocalizedMessage`.
    pub localized: Option<String>,
    /// `RetryInfo`.
    pub retry_after: Option<Duration>,
    /// `grpc-retry-pushback-ms`.
    pub pushback_ms: Option<i64>,
    /// `Help`'s link.
    pub help: Option<String>,
    /// `BadRequest`.
    pub violations: Vec<Violation>,
    /// `chapar-entry`.
    pub entry: Option<String>,
}

/// A request field that breaks a rule.
#[derive(Debug)]
pub struct Violation {
    /// Its path.
    pub field: String,
    /// The rule.
    pub rule: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failed {
    /// No connection, or it broke.
    Unreachable(String),
    /// The bus refused.
    Refused(Box<Refusal>),
}

impl Failed {
    /// Whether there was no answer at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Refused(refusal) => write!(f, "{refusal:?}"),
        }
    }
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, files: &tls::Files) -> Self {
        let identity = |name: &str| format!("spiffe://lorestan.example/{name}").parse().expect("an identity");
        let expect = Expect::identities(vec![
            identity("bus/lorestan/gateway"),
            identity("gov/civil-registry/adapter"),
        ]);
        let tls = tls::client(files, expect).expect("TLS files");
        let pool =
            Pool::new(&format!("https://{address}"), tls, Settings { connections: 1, ..Settings::default() })
                .expect("a pool");
        Self {
            pool: Arc::new(pool),
            contract: Contract::load(&repository().join("proto/civil")).expect("the civil contract"),
        }
    }

    /// A call of `method`, without metadata and fields yet.
    pub fn ask(&self, method: &str) -> Ask {
        Ask {
            caller: self.clone(),
            method: method.to_owned(),
            path: format!("/{method}"),
            headers: HeaderMap::new(),
            fields: Vec::new(),
            raw: None,
            body: None,
            added: Vec::new(),
            content_type: "application/grpc",
        }
    }

    /// `GetPerson` for `benefit.eligibility`.
    pub fn get_person(&self, national_id: &str) -> Ask {
        self.ask("civil.v1.CivilRegistry/GetPerson")
            .purpose("benefit.eligibility")
            .field("national_id", national_id)
    }

    /// The receipt of an entry, by `Meta.GetReceipt`.
    pub async fn receipt(&self, entry: &str) -> Result<Vec<u8>, Refusal> {
        let request = Text { text: entry.to_owned() };
        self.own::<_, Blob>("chapar.meta.v1.Meta/GetReceipt", &request).await.map(|response| response.bytes)
    }

    /// `Meta.WhoAmI`.
    pub async fn who_am_i(&self) -> String {
        self.own::<_, Text>("chapar.meta.v1.Meta/WhoAmI", &Text::default()).await.expect("WhoAmI").text
    }

    /// `Meta.AllowedMethods`.
    pub async fn rights(&self) -> Vec<Right> {
        self.own::<_, Rights>("chapar.meta.v1.Meta/AllowedMethods", &Text::default())
            .await
            .expect("AllowedMethods")
            .methods
    }

    /// Names of services, by `Meta.ListServices`.
    pub async fn directory(&self) -> Vec<String> {
        let listed = self.own::<_, Named>("chapar.meta.v1.Meta/ListServices", &Text::default()).await;
        listed.expect("ListServices").services.into_iter().map(|service| service.text).collect()
    }

    /// Digest and descriptors of a contract, by `Meta.GetContract`.
    pub async fn contract(&self, service: &str) -> Result<(String, Vec<u8>), Refusal> {
        let request = Text { text: service.to_owned() };
        let published = self.own::<_, Published>("chapar.meta.v1.Meta/GetContract", &request).await?;
        Ok((published.digest, published.descriptors))
    }

    /// `Meta.MyLimits`.
    pub async fn limits(&self) -> Vec<GrantUsage> {
        self.own::<_, Usages>("chapar.meta.v1.Meta/MyLimits", &Text::default())
            .await
            .expect("MyLimits")
            .grants
    }

    /// Method names of a service, by reflection v1.
    pub async fn reflect(&self, service: &str) -> Result<Vec<String>, String> {
        let file = self.file_of(service).await?;
        let file =
            prost_types::FileDescriptorProto::decode(file.as_slice()).map_err(|error| error.to_string())?;
        Ok(file
            .service
            .into_iter()
            .flat_map(|service| service.method)
            .map(|method| method.name().to_owned())
            .collect())
    }

    /// The file of a service as reflection sends it.
    pub async fn descriptor(&self, service: &str) -> Vec<u8> {
        self.file_of(service).await.expect("a file")
    }

    /// Names of services, by reflection v1alpha.
    pub async fn services(&self) -> Vec<String> {
        use tonic_reflection::pb::v1alpha as pb;
        let request = pb::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(pb::server_reflection_request::MessageRequest::ListServices(String::new())),
        };
        let path = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
        let response: pb::ServerReflectionResponse = self.own(path, &request).await.expect("reflection");
        match response.message_response {
            Some(pb::server_reflection_response::MessageResponse::ListServicesResponse(list)) => {
                list.service.into_iter().map(|service| service.name).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn file_of(&self, symbol: &str) -> Result<Vec<u8>, String> {
        use tonic_reflection::pb::v1 as pb;
        let request = pb::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(pb::server_reflection_request::MessageRequest::FileContainingSymbol(
                symbol.to_owned(),
            )),
        };
        let path = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let response: pb::ServerReflectionResponse = self.own(path, &request).await.expect("reflection");
        match response.message_response {
            Some(pb::server_reflection_response::MessageResponse::FileDescriptorResponse(mut files)) => {
                Ok(files.file_descriptor_proto.remove(0))
            }
            other => Err(format!("{other:?}")),
        }
    }

    /// Waits until `grpc.health.v1` says so; at most five seconds.
    pub async fn health_becomes(&self, service: &str, serving: bool) {
        let wanted = if serving { 1 } else { 2 };
        let what = format!("the health of {service} becomes {wanted}");
        let request = Text { text: service.to_owned() };
        let is_wanted = async || {
            let health = self.own::<_, Health>("grpc.health.v1.Health/Check", &request).await;
            health.is_ok_and(|health| health.status == wanted)
        };
        until(&what, Duration::from_secs(5), is_wanted, String::new).await;
    }

    async fn own<Q: Message, R: Message + Default>(&self, method: &str, request: &Q) -> Result<R, Refusal> {
        let answer = self.ask(method).raw(request.encode_to_vec()).send().await?;
        Ok(R::decode(answer.bytes()).expect("a message of the gateway's own"))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Usages {
    #[prost(message, repeated, tag = "1")]
    grants: Vec<GrantUsage>,
}

/// `chapar.meta.v1.GrantUsage`, the fields that tests read.
#[derive(Clone, PartialEq, Message)]
pub struct GrantUsage {
    /// The grant.
    #[prost(string, tag = "1")]
    pub grant: String,
    /// Its limits.
    #[prost(message, repeated, tag = "3")]
    pub limits: Vec<LimitUsage>,
    /// Calls within them.
    #[prost(uint64, tag = "4")]
    pub admitted: u64,
    /// Calls over one.
    #[prost(uint64, tag = "5")]
    pub refused: u64,
}

/// `chapar.meta.v1.LimitUsage`, the fields that tests read.
#[derive(Clone, PartialEq, Message)]
pub struct LimitUsage {
    /// The registry's key.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Used now.
    #[prost(uint64, tag = "4")]
    pub used: u64,
    /// Left now.
    #[prost(uint64, tag = "5")]
    pub left: u64,
    /// Calls that it refused.
    #[prost(uint64, tag = "6")]
    pub refused: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Blob {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Health {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Text>,
}

#[derive(Clone, PartialEq, Message)]
struct Published {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(bytes = "vec", tag = "2")]
    descriptors: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Rights {
    #[prost(message, repeated, tag = "1")]
    methods: Vec<Right>,
}

/// `chapar.meta.v1.AllowedMethod`, the fields that tests read.
#[derive(Clone, PartialEq, Message)]
pub struct Right {
    /// `package.Service/Method`.
    #[prost(string, tag = "1")]
    pub method: String,
    /// Leaves that are not granted.
    #[prost(string, repeated, tag = "4")]
    pub withheld: Vec<String>,
    /// The member whose right it is.
    #[prost(string, tag = "6")]
    pub on_behalf_of: String,
}

impl Ask {
    /// Sets the purpose.
    pub fn purpose(self, purpose: &str) -> Self {
        self.without_purpose().header("chapar-purpose", purpose)
    }

    /// Takes the purpose away.
    pub fn without_purpose(mut self) -> Self {
        self.headers.remove("chapar-purpose");
        self
    }

    /// Names the case.
    pub fn case(self, case: &str) -> Self {
        self.header("chapar-case", case)
    }

    /// Names the clerk.
    pub fn clerk(self, clerk: &str) -> Self {
        self.header("chapar-clerk", clerk)
    }

    /// Names the member whose right is used.
    pub fn on_behalf_of(self, member: &str) -> Self {
        self.header("chapar-on-behalf-of", member)
    }

    /// Adds a header, also if it is there already.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Sets a text field of the request.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends these bytes as the message.
    pub fn raw(mut self, message: impl Into<Bytes>) -> Self {
        self.raw = Some(message.into());
        self
    }

    /// Sends these bytes as the whole body, framing included.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Calls another `:path`.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Adds another value of a header, beside those that the call has by itself.
    pub fn also_header(mut self, name: &'static str, value: &str) -> Self {
        self.added.push((HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")));
        self
    }

    /// Another `content-type` than gRPC's.
    pub fn content_type(mut self, value: &'static str) -> Self {
        self.content_type = value;
        self
    }

    /// Makes the call.
    pub async fn send(self) -> Result<Answer, Refusal> {
        match self.try_send().await {
            Ok(answer) => Ok(answer),
            Err(Failed::Refused(refusal)) => Err(*refusal),
            Err(Failed::Unreachable(why)) => panic!("no answer: {why}"),
        }
    }

    /// Makes the call; there may be no connection.
    pub async fn try_send(self) -> Result<Answer, Failed> {
        let output = self.output();
        let response = self.start().await?;
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, 200, "gRPC's answers are HTTP 200");
        let mut reader = MessageReader::new(body, 16 << 20);
        let mut messages = Vec::new();
        while let Some(message) =
            reader.next().await.map_err(|error| Failed::Unreachable(error.to_string()))?
        {
            messages.push(message);
        }
        let trailers = reader.trailers().cloned().unwrap_or_else(|| parts.headers.clone());
        match trailers.get("grpc-status").map(HeaderValue::as_bytes) {
            Some(b"0") => Ok(Answer { messages, headers: parts.headers, trailers, output }),
            Some(_) => Err(Failed::Refused(Box::new(Refusal::decode(&trailers)))),
            None => Err(Failed::Unreachable("an answer without a status".to_owned())),
        }
    }

    /// Reads one message of the answer and hangs up.
    pub async fn take_one_and_leave(self) {
        let response = self.start().await.expect("a stream");
        let mut reader = MessageReader::new(response.into_body(), 1 << 20);
        assert!(reader.next().await.expect("a first message").is_some());
    }

    fn output(&self) -> Option<MessageDescriptor> {
        let path: MethodPath = self.method.parse().ok()?;
        self.caller.contract.method(&path).map(|method| method.output().clone())
    }

    /// Sends the call and gives the answer as soon as it begins, for those who read it in their own time.
    pub async fn open(self) -> Result<http::Response<Incoming>, Failed> {
        self.start().await
    }

    async fn start(self) -> Result<http::Response<Incoming>, Failed> {
        let message = self.raw.clone().unwrap_or_else(|| self.message());
        let body = self.body.clone().unwrap_or_else(|| frame::encode(message));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers;
        request.headers_mut().insert("content-type", HeaderValue::from_static(self.content_type));
        for (name, value) in self.added {
            request.headers_mut().append(name, value);
        }
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let path = self.path.parse().expect("a path");
        self.caller.pool.send(path, request).await.map_err(|error| Failed::Unreachable(error.to_string()))
    }

    fn message(&self) -> Bytes {
        let path: MethodPath = self.method.parse().expect("a method");
        let method = self.caller.contract.method(&path).expect("a method of the contract");
        let mut message = DynamicMessage::new(method.input().clone());
        for (name, value) in &self.fields {
            message.set_field_by_name(name, Value::String(value.clone()));
        }
        message.encode_to_vec().into()
    }
}

impl Answer {
    /// The first message as protobuf's JSON.
    pub fn json(&self) -> serde_json::Value {
        self.all_json().into_iter().next().expect("a message")
    }

    /// Every message as protobuf's JSON.
    pub fn all_json(&self) -> Vec<serde_json::Value> {
        let output = self.output.clone().expect("a method of the contract");
        let decode = |bytes: &Bytes| {
            DynamicMessage::decode(output.clone(), bytes.clone()).expect("a message of its type")
        };
        self.messages.iter().map(|bytes| serde_json::to_value(decode(bytes)).expect("JSON")).collect()
    }

    /// The first message's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.messages.first().expect("a message")
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// `chapar-call-id`.
    pub fn call_id(&self) -> Option<&str> {
        text(&self.headers, "chapar-call-id")
    }

    /// `chapar-entry`.
    pub fn entry(&self) -> Option<&str> {
        text(&self.trailers, "chapar-entry")
    }

    /// What `chapar-fields` names as withheld.
    pub fn withheld(&self) -> Vec<String> {
        let fields = text(&self.trailers, "chapar-fields").unwrap_or_default();
        let withheld = fields.split_once(";withheld=").map(|(_, withheld)| withheld).unwrap_or_default();
        withheld.split(',').map(str::to_owned).collect()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Refusal {
    fn decode(trailers: &HeaderMap) -> Self {
        let status = tonic::Status::from_header_map(trailers).expect("a status");
        let details: ErrorDetails = status.get_error_details();
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        Self {
            code: i32::from(status.code()),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            localized: details.localized_message().map(|localized| localized.message.clone()),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            pushback_ms: text(trailers, "grpc-retry-pushback-ms").and_then(|wait| wait.parse().ok()),
            help: details.help().and_then(|help| help.links.first()).map(|link| link.url.clone()),
            violations: violations
                .into_iter()
                .map(|v| Violation { field: v.field, rule: v.description })
                .collect(),
            entry: text(trailers, "chapar-entry").map(str::to_owned),
        }
    }
}

/// A page over plain HTTP/1.1.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    plain("GET", address, path, &format!("host: {address}\r\n")).await
}

/// Has something done at an admin page, with the token of a gateway's state folder.
pub(crate) async fn post(address: SocketAddr, path: &str, state: &Path) -> String {
    let token = std::fs::read_to_string(state.join("admin.token")).expect("the token");
    plain("POST", address, path, &format!("host: {address}\r\nauthorization: Bearer {}\r\n", token.trim()))
        .await
}

/// Any request with any headers, each with its line end; the body of the answer.
pub(crate) async fn plain(method: &str, address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the admin listener");
    let request =
        format!("{method} {path} HTTP/1.1\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// The same with the status line and headers, where there may be nobody.
pub(crate) async fn try_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What a TLS client without a certificate is told.
pub(crate) async fn without_certificate(address: SocketAddr, ca: &Path) -> String {
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject as _;
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).expect("ca.crt")).expect("a root");
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.expect("the gateway");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let mut stream = match tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    match stream.read(&mut [0; 64]).await {
        Ok(read) => format!("{read} bytes and no alert"),
        Err(error) => error.to_string(),
    }
}
