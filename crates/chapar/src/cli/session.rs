//! A connection to a gateway under one identity, and what the CLI asks of it: descriptors by reflection,
//! calls whose messages stay bytes, and the bus's own service `chapar.meta.v1.Meta`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_model::MethodPath;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::bytes_codec::BytesCodec;
use super::connect::{ConnectArgs, Target};
use super::exchange::{Answers, CallError, Metadata, decode, late, refused, unreachable};
use super::rights::{Right, Rights};
use super::{Exit, Failure, answer, names, reflect};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const META: &str = "chapar.meta.v1.Meta";
/// A gateway answers about itself within this.
const META_TIMEOUT: Duration = Duration::from_secs(10);
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

    /// The descriptors of the descriptors' file, if one is named.
    pub(super) fn fallback(&self) -> Result<Option<DescriptorPool>, Failure> {
        self.fallback.as_deref().map(reflect::pool_of_file).transpose()
    }

    /// The method that `typed` means: among those that the bus shows, then among those of the descriptors'
    /// file.
    pub(super) async fn method(&mut self, typed: &str) -> Result<Method, Failure> {
        let shown = self.pool().await?;
        let why = match find(&shown, typed)? {
            Ok(method) => return Ok(method),
            Err(why) => why,
        };
        if let Some(pool) = self.fallback()?
            && let Ok(method) = find(&pool, typed)?
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
        let path = http::uri::PathAndQuery::try_from(format!("/{path}")).map_err(|_| {
            CallError::Failed(Failure::usage("this is not a method path: give `SERVICE/METHOD`"))
        })?;
        let mut request = Request::new(tokio_stream::once(Bytes::from(message)));
        request.set_timeout(metadata.timeout);
        metadata.write(request.metadata_mut()).map_err(CallError::Failed)?;
        // As a stream also where one message is meant: so headers, message and trailers can be read one by
        // one.
        let deadline = Instant::now() + metadata.timeout;
        match client.streaming(request, path, BytesCodec).await {
            Ok(response) => Ok(Answers::new(response, &self.gateway, metadata.timeout)),
            // tonic's own servers say CANCELLED when the caller's deadline passes; the caller did not cancel.
            Err(status) if status.code() == Code::Cancelled && Instant::now() >= deadline => Err(late(None)),
            Err(status) => Err(refused(&self.gateway, &status, None)),
        }
    }

    /// What this identity may call.
    pub(super) async fn rights(&mut self) -> Result<Vec<Right>, Failure> {
        let answer = self.ask("AllowedMethods", |_| {}).await?;
        let rights: Rights =
            serde_json::from_value(answer::disclosed_fields(&answer, &[])?).map_err(|error| {
                Failure::new(Exit::Finding, format_args!("the gateway's list cannot be read: {error}"))
            })?;
        Ok(rights.methods)
    }

    /// How this identity's grants stand with the gateway: `{"grants": […]}`.
    pub(super) async fn limits(&mut self) -> Result<serde_json::Value, Failure> {
        answer::disclosed_fields(&self.ask("MyLimits", |_| {}).await?, &[])
    }

    /// Whom the gateway takes this identity for.
    pub(super) async fn whoami(&mut self) -> Result<serde_json::Value, Failure> {
        answer::set_fields(&self.ask("WhoAmI", |_| {}).await?)
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
    async fn ask(
        &mut self,
        method: &str,
        fill: impl FnOnce(&mut DynamicMessage),
    ) -> Result<DynamicMessage, Failure> {
        let lacks = || Failure::new(Exit::Finding, format_args!("the gateway has no {META}/{method}"));
        // The path is found by reflection, so that an older gateway without the method gives a clear error.
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
            // The end is awaited too, because a refusal may follow a message.
            answers.ending().await?;
            Ok(first)
        };
        match asked.await {
            Ok(Some(bytes)) => decode(&descriptor, bytes),
            Ok(None) => Err(lacks()),
            Err(CallError::Refused(refusal)) => {
                Err(Failure::new(Exit::Refused(refusal.number), refusal.text()))
            }
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

/// Outer error: the name is not a path. Inner: nothing fits, and why.
fn find(pool: &DescriptorPool, typed: &str) -> Result<Result<Method, String>, Failure> {
    let methods: Vec<MethodDescriptor> =
        pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let path =
        |method: &MethodDescriptor| format!("{}/{}", method.parent_service().full_name(), method.name());
    let known: Vec<String> = methods.iter().map(path).collect();
    let name = match names::resolve(typed, &known) {
        Ok(name) => name,
        Err(why) => return Ok(Err(why)),
    };
    let parsed =
        name.parse().map_err(|_| Failure::new(Exit::Finding, format_args!("`{name}` is no method path")))?;
    Ok(Ok(Method { path: parsed, descriptor: methods.into_iter().find(|method| path(method) == name) }))
}

fn endpoint(target: &Target) -> Result<Endpoint, Failure> {
    let read = |file: &PathBuf| {
        std::fs::read(file)
            .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", file.display())))
    };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&target.ca)?))
        .identity(Identity::from_pem(read(&target.cert)?, read(&target.key)?))
        .domain_name(&target.server_name);
    let wrong = |error: tonic::transport::Error| Failure::error(Exit::Finding, error);
    let endpoint = Endpoint::from_shared(format!("https://{}", target.gateway)).map_err(wrong)?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).tls_config(tls).map_err(wrong)?.tcp_nodelay(true))
}
