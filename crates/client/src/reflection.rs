//! This module reads descriptors from `grpc.reflection.v1`. It keeps the bytes that the server sent, so that
//! Chapar's options survive.

mod files;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Ask;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Said;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::call::CallMetadata;
use crate::client::Client;
use crate::error::CallError;
use crate::meta::TIMEOUT;
use files::Files;

impl Client {
    /// Full names of the services that the gateway shows to this caller.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn list_services(&self) -> Result<Vec<String>, CallError> {
        let said = self.reflect(vec![Ask::ListServices(String::new())]).await?;
        match said.into_iter().next() {
            Some(Said::ListServicesResponse(list)) => {
                Ok(list.service.into_iter().map(|one| one.name).collect())
            }
            other => Err(self.unexpected(other.as_ref())),
        }
    }

    /// The descriptors of a service and of all that it imports.
    ///
    /// # Errors
    /// As [`Client::call`]; [`CallError::Garbled`] also for a service that the gateway does not show.
    pub async fn descriptors(&self, service: &str) -> Result<DescriptorPool, CallError> {
        self.descriptors_of(vec![service.to_owned()]).await
    }

    /// The descriptors of everything that the gateway shows to this caller.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn all_descriptors(&self) -> Result<DescriptorPool, CallError> {
        let services = self.list_services().await?;
        self.descriptors_of(services).await
    }

    async fn descriptors_of(&self, services: Vec<String>) -> Result<DescriptorPool, CallError> {
        let mut files = Files::default();
        let mut asks: Vec<Ask> = services.into_iter().map(Ask::FileContainingSymbol).collect();
        // A server need not send imports together with a file, so they are asked for in rounds.
        while !asks.is_empty() {
            for said in self.reflect(asks).await? {
                let Said::FileDescriptorResponse(found) = said else {
                    return Err(self.unexpected(Some(&said)));
                };
                files.add(found.file_descriptor_proto).map_err(|problem| self.garbled(problem))?;
            }
            let missing = files.ask_for_missing().map_err(|problem| self.garbled(problem))?;
            asks = missing.into_iter().map(Ask::FileByFilename).collect();
        }
        files.pool().map_err(|problem| self.garbled(problem))
    }

    /// Sends all questions in one stream, and reads one answer for each.
    async fn reflect(&self, asks: Vec<Ask>) -> Result<Vec<Said>, CallError> {
        let many = asks.len();
        let mut body = BytesMut::new();
        for ask in asks {
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
            body.extend_from_slice(&chapar_transport::frame::encode(Bytes::from(request.encode_to_vec())));
        }
        let method = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo".parse();
        let method = method.map_err(|error| self.garbled(error))?;
        let headers = CallMetadata { timeout: Some(TIMEOUT), ..CallMetadata::default() }.headers()?;
        let messages = self.exchange(&method, headers, body.freeze(), Some(TIMEOUT)).await?;
        let answer = messages.answer().await?;
        let said = answer.messages.into_iter().map(|message| {
            let response = ServerReflectionResponse::decode(message).map_err(|error| self.garbled(error))?;
            response.message_response.ok_or_else(|| self.unexpected(None))
        });
        let said: Vec<Said> = said.collect::<Result<_, _>>()?;
        // Each question has one answer. With fewer, services would be left out in silence.
        if said.len() == many { Ok(said) } else { Err(self.unexpected(None)) }
    }

    fn unexpected(&self, said: Option<&Said>) -> CallError {
        match said {
            Some(Said::ErrorResponse(error)) => {
                self.garbled(format_args!("reflection: {}", error.error_message))
            }
            _ => self.garbled("reflection: an answer to another question"),
        }
    }
}
