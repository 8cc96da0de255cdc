//! Descriptors from `grpc.reflection.v1`, kept as the bytes that the server sent, so that Chapar's options
//! survive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Ask;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Said;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::{Exit, Failure};

/// More files than any bus has; a server that keeps naming new ones is not followed for ever.
const MOST_FILES: usize = 4096;

/// Why there are no descriptors.
pub(super) enum Error {
    /// The server refused, or is gone.
    Status(Box<Status>),
    /// What it sent makes no sense.
    Descriptors(String),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Everything that the server shows.
pub(super) async fn pool(channel: Channel) -> Result<DescriptorPool, Error> {
    let (asking, asked) = mpsc::channel(1);
    // The first question waits in the channel: a server may send its headers only after it.
    ask(&asking, Ask::ListServices(String::new())).await?;
    let mut client = ServerReflectionClient::new(channel).max_decoding_message_size(16 << 20);
    let mut answers = client.server_reflection_info(ReceiverStream::new(asked)).await?.into_inner();
    let services = match answer(&mut answers).await? {
        Said::ListServicesResponse(list) => list.service,
        other => return Err(unexpected(&other)),
    };
    let mut files = Files::default();
    for service in services {
        ask(&asking, Ask::FileContainingSymbol(service.name)).await?;
        files.add(answer(&mut answers).await?)?;
    }
    while let Some(missing) = files.missing() {
        ask(&asking, Ask::FileByFilename(missing)).await?;
        files.add(answer(&mut answers).await?)?;
    }
    files.pool()
}

/// The descriptors of a file: a `FileDescriptorSet` as `protoc --descriptor_set_out` writes it.
pub(super) fn pool_of_file(file: &Path) -> Result<DescriptorPool, Failure> {
    let failure =
        |why: &dyn std::fmt::Display| Failure::new(Exit::Finding, format_args!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| failure(&error))?;
    let set = prost_types::FileDescriptorSet::decode(bytes.as_slice()).map_err(|error| failure(&error))?;
    refuse_editions(set.file.iter()).map_err(|why| failure(&why))?;
    DescriptorPool::decode(bytes.as_slice()).map_err(|error| failure(&error))
}

async fn ask(asking: &mpsc::Sender<ServerReflectionRequest>, question: Ask) -> Result<(), Error> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    asking.send(request).await.map_err(|_| Error::Descriptors("the gateway ended the reflection".to_owned()))
}

async fn answer(answers: &mut Streaming<ServerReflectionResponse>) -> Result<Said, Error> {
    let response = answers.message().await?;
    let said = response.and_then(|response| response.message_response);
    said.ok_or_else(|| Error::Descriptors("the gateway ended the reflection".to_owned()))
}

fn unexpected(said: &Said) -> Error {
    let why = match said {
        Said::ErrorResponse(error) => error.error_message.as_str(),
        _ => "an answer to another question",
    };
    Error::Descriptors(format!("reflection: {why}"))
}

/// Files by name: their bytes, and what they import.
#[derive(Default)]
struct Files {
    bytes: BTreeMap<String, Vec<u8>>,
    imports: BTreeMap<String, Vec<String>>,
}

impl Files {
    fn add(&mut self, said: Said) -> Result<(), Error> {
        let Said::FileDescriptorResponse(files) = said else { return Err(unexpected(&said)) };
        for bytes in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(bytes.as_slice())
                .map_err(|error| Error::Descriptors(format!("reflection: {error}")))?;
            refuse_editions(std::iter::once(&file)).map_err(Error::Descriptors)?;
            self.imports.insert(file.name().to_owned(), file.dependency.clone());
            self.bytes.insert(file.name().to_owned(), bytes);
        }
        if self.bytes.len() > MOST_FILES {
            return Err(Error::Descriptors("reflection: too many files".to_owned()));
        }
        Ok(())
    }

    fn missing(&self) -> Option<String> {
        self.imports.values().flatten().find(|name| !self.bytes.contains_key(*name)).cloned()
    }

    /// Every file after those that it imports.
    fn pool(self) -> Result<DescriptorPool, Error> {
        let mut pool = DescriptorPool::new();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        while done.len() < self.bytes.len() {
            let ready = |name: &&String| {
                let imports = self.imports.get(*name);
                !done.contains(name.as_str())
                    && imports.is_none_or(|all| all.iter().all(|one| done.contains(one.as_str())))
            };
            let Some(name) = self.bytes.keys().find(ready) else {
                return Err(Error::Descriptors("reflection: files import each other in a circle".to_owned()));
            };
            if let Some(bytes) = self.bytes.get(name) {
                let added = pool.decode_file_descriptor_proto(bytes.as_slice());
                added.map_err(|error| Error::Descriptors(format!("reflection: {error}")))?;
            }
            done.insert(name);
        }
        Ok(pool)
    }
}

/// prost-reflect cannot read editions, and must not try (docs/decisions/0003).
fn refuse_editions<'a>(mut files: impl Iterator<Item = &'a FileDescriptorProto>) -> Result<(), String> {
    match files.find(|file| !matches!(file.syntax(), "" | "proto2" | "proto3")) {
        Some(file) => Err(format!("{} uses editions, which are not supported", file.name())),
        None => Ok(()),
    }
}
