//! A connection to a gateway under one identity, and what the CLI asks of it: descriptors by reflection, calls whose messages
//! stay bytes, and the bus's own service `chapar.meta.v1.Meta`.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use chapar_model::{CaseNumber, ClerkId, MemberId, MethodPath, Purpose, header};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status, Streaming};

use super::bytes_codec::BytesCodec;
use super::connect::{ConnectArgs, Target};
use super::refusal::Refusal;
use super::rights::{Right, Rights};
use super::{Exit, Failure, answer, names, reflect};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const META: &str = "chapar.meta.v1.Meta";
/// A gateway answers about itself within this.
const META_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than the gateway the caller waits for the rest of an answer.
const LATE: Duration = Duration::from_millis(500);
/// The largest message that any gateway lets through.
const LARGEST: usize = 16 << 20;

/// An open connection.
pub(super) struct Session {
    channel: Channel,
    gateway: String,
    seen: Option<DescriptorPool>,
    fallback: Option<PathBuf>,
}

/// A method as the caller typed it, resolved.
pub(super) struct Method {
    pub(super) path: MethodPath,
    /// `None` if neither the bus nor a file shows it: then the bus will say why.
    pub(super) descriptor: Option<MethodDescriptor>,
}

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
    until: tokio::time::Instant,
}

/// What the end of an answer says.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) call_id: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) disclosed: Vec<String>,
    pub(super) withheld: Vec<String>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// A usage failure; else as [`Session::connect`].
    pub(super) async fn open(args: &ConnectArgs) -> Result<Self, Failure> {
        Self::connect(args.target()?).await
    }

    /// Connects to a known gateway.
    ///
    /// # Errors
    /// A file that cannot be read, or [`Exit::Unreachable`].
    pub(super) async fn connect(target: Target) -> Result<Self, Failure> {
        let endpoint = endpoint(&target)?;
        let channel = endpoint.connect().await.map_err(|error| unreachable(&target.gateway, &error))?;
        Ok(Self { channel, gateway: target.gateway, seen: None, fallback: target.descriptors })
    }

    /// The descriptors of everything that the bus shows to this identity.
    pub(super) async fn pool(&mut self) -> Result<DescriptorPool, Failure> {
        if let Some(pool) = &self.seen {
            return Ok(pool.clone());
        }
        let pool = reflect::pool(self.channel.clone()).await.map_err(|error| match error {
            reflect::Error::Status(status) => self.failure(&status),
            reflect::Error::Descriptors(why) => Failure::new(Exit::Finding, why),
        })?;
        self.seen = Some(pool.clone());
        Ok(pool)
    }

    /// The method that `typed` means: among those that the bus shows, then among those of the descriptors' file.
    pub(super) async fn method(&mut self, typed: &str) -> Result<Method, Failure> {
        let shown = self.pool().await?;
        let why = match find(&shown, typed)? {
            Ok(method) => return Ok(method),
            Err(why) => why,
        };
        if let Some(file) = &self.fallback
            && let Ok(method) = find(&reflect::pool_of_file(file)?, typed)?
        {
            return Ok(method);
        }
        match typed.parse() {
            Ok(path) => Ok(Method { path, descriptor: None }),
            Err(_) => Err(Failure::usage(why)),
        }
    }

    /// Makes a call; the answer's messages follow.
    pub(super) async fn call(
        &mut self,
        path: &MethodPath,
        message: Vec<u8>,
        metadata: &Metadata,
    ) -> Result<Answers, CallError> {
        let mut client = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        client.ready().await.map_err(|error| CallError::Failed(unreachable(&self.gateway, &error)))?;
        let path = http::uri::PathAndQuery::try_from(format!("/{path}"))
            .map_err(|_| CallError::Failed(Failure::usage("that is no method")))?;
        let mut request = Request::new(tokio_stream::once(Bytes::from(message)));
        request.set_timeout(metadata.timeout);
        metadata.write(request.metadata_mut()).map_err(CallError::Failed)?;
        // As a stream also where one message is meant: so headers, message and trailers can be read one by one.
        let until = tokio::time::Instant::now() + metadata.timeout + LATE;
        match client.streaming(request, path, BytesCodec).await {
            Ok(response) => {
                let call_id = text(response.metadata(), header::CALL_ID);
                Ok(Answers { stream: response.into_inner(), gateway: self.gateway.clone(), call_id, until })
            }
            Err(status) => Err(refused(&self.gateway, &status, None)),
        }
    }

    /// What this identity may call.
    pub(super) async fn rights(&mut self) -> Result<Vec<Right>, Failure> {
        let answer = self.ask("ListMethods", |_| {}).await?;
        let rights: Rights = serde_json::from_value(answer::disclosed_fields(&answer, &[]))
            .map_err(|error| Failure::new(Exit::Finding, format_args!("the gateway's list cannot be read: {error}")))?;
        Ok(rights.methods)
    }

    /// Whom the gateway takes this identity for.
    pub(super) async fn whoami(&mut self) -> Result<serde_json::Value, Failure> {
        Ok(answer::set_fields(&self.ask("WhoAmI", |_| {}).await?))
    }

    /// The receipt of an entry, as a file's bytes.
    pub(super) async fn receipt(&mut self, entry: &str) -> Result<Bytes, Failure> {
        let set = |request: &mut DynamicMessage| {
            let value = prost_reflect::Value::String(entry.to_owned());
            let _none_if_older = request.try_set_field_by_name("entry", value);
        };
        let answer = self.ask("GetReceipt", set).await?;
        let receipt = answer.get_field_by_name("receipt").and_then(|value| value.as_bytes().cloned());
        receipt.ok_or_else(|| Failure::new(Exit::Finding, "the gateway's answer holds no receipt"))
    }

    /// One question to the bus itself.
    async fn ask(&mut self, method: &str, fill: impl FnOnce(&mut DynamicMessage)) -> Result<DynamicMessage, Failure> {
        let lacks = || Failure::new(Exit::Finding, format_args!("the gateway has no {META}/{method}"));
        let pool = self.pool().await?;
        let service = pool.get_service_by_name(META).ok_or_else(lacks)?;
        let descriptor = service.methods().find(|known| known.name() == method).ok_or_else(lacks)?;
        let path: MethodPath = format!("{META}/{method}").parse().map_err(|_| lacks())?;
        let mut request = DynamicMessage::new(descriptor.input());
        fill(&mut request);
        let metadata = Metadata { timeout: META_TIMEOUT, ..Metadata::default() };
        let asked = async {
            let mut answers = self.call(&path, request.encode_to_vec(), &metadata).await?;
            let first = answers.next().await?;
            answers.ending().await?;
            Ok(first)
        };
        match asked.await {
            Ok(Some(bytes)) => decode(&descriptor, bytes),
            Ok(None) => Err(lacks()),
            Err(CallError::Refused(refusal)) => Err(Failure::new(Exit::Refused(refusal.number), refusal.text())),
            Err(CallError::Failed(failure)) => Err(failure),
        }
    }

    fn failure(&self, status: &Status) -> Failure {
        match refused(&self.gateway, status, None) {
            CallError::Refused(refusal) => Failure::new(Exit::Refused(refusal.number), refusal.text()),
            CallError::Failed(failure) => failure,
        }
    }
}

impl Answers {
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
    fn write(&self, to: &mut MetadataMap) -> Result<(), Failure> {
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
    let unlike = |_| Failure::new(Exit::Finding, format_args!("the answer is no {}", method.output().full_name()));
    DynamicMessage::decode(method.output(), bytes).map_err(unlike)
}

/// Outer error: the name is not a path. Inner: nothing fits, and why.
fn find(pool: &DescriptorPool, typed: &str) -> Result<Result<Method, String>, Failure> {
    let methods: Vec<MethodDescriptor> =
        pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let path = |method: &MethodDescriptor| format!("{}/{}", method.parent_service().full_name(), method.name());
    let known: Vec<String> = methods.iter().map(path).collect();
    let name = match names::resolve(typed, &known) {
        Ok(name) => name,
        Err(why) => return Ok(Err(why)),
    };
    let parsed = name.parse().map_err(|_| Failure::new(Exit::Finding, format_args!("`{name}` is no method path")))?;
    Ok(Ok(Method { path: parsed, descriptor: methods.into_iter().find(|method| path(method) == name) }))
}

fn endpoint(target: &Target) -> Result<Endpoint, Failure> {
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", file.display())))
    };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&target.ca)?))
        .identity(Identity::from_pem(read(&target.cert)?, read(&target.key)?))
        .domain_name(&target.server_name);
    let wrong = |error: tonic::transport::Error| Failure::error(Exit::Finding, error);
    let endpoint = Endpoint::from_shared(format!("https://{}", target.gateway)).map_err(wrong)?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).tls_config(tls).map_err(wrong)?.tcp_nodelay(true))
}

/// A status from the wire is a refusal. One that this end made up because the connection broke is not, but for the
/// deadline, which both ends keep.
fn refused(gateway: &str, status: &Status, call_id: Option<String>) -> CallError {
    let Some(source) = std::error::Error::source(status) else {
        return CallError::Refused(Box::new(Refusal::from_status(status, call_id)));
    };
    if chain(source).any(|cause| cause.is::<tonic::TimeoutExpired>()) {
        return late(call_id);
    }
    CallError::Failed(unreachable(gateway, source))
}

fn late(call_id: Option<String>) -> CallError {
    let late = Status::deadline_exceeded("no answer within the time that --timeout gives");
    CallError::Refused(Box::new(Refusal::from_status(&late, call_id)))
}

/// An error and its causes.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The whole chain of causes in one sentence; tonic's own first words say nothing.
fn unreachable(gateway: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut causes: Vec<String> = Vec::new();
    for cause in chain(error) {
        let words = cause.to_string();
        if words != "transport error" && causes.last() != Some(&words) {
            causes.push(words);
        }
    }
    Failure::new(Exit::Unreachable, format_args!("cannot reach the gateway at {gateway}: {}", causes.join(": ")))
}

pub(super) fn text(metadata: &MetadataMap, name: &str) -> Option<String> {
    metadata.get(name)?.to_str().ok().map(str::to_owned)
}
