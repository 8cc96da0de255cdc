//! This module asks the gateway what it knows of this caller (`chapar.meta.v1.Meta`).

use std::time::Duration;

use bytes::Bytes;
use chapar_evidence::Receipt;
use prost::Message;

pub use pb::{
    AllowedMethod, GetContractResponse as PublishedContract, GrantUsage, KnownMethod, KnownService,
    LimitUsage, WhoAmIResponse as WhoAmI,
};

use crate::call::{CallMetadata, CallSpec};
use crate::client::Client;
use crate::error::CallError;

/// Generated from `proto/chapar/meta/v1/meta.proto`.
#[expect(missing_docs, unreachable_pub, reason = "generated; documented in the proto file")]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/chapar.meta.v1.rs"));
}

/// Timeout of calls to the gateway's own services, which wait for no agency.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

impl Client {
    /// The identity under which the gateway knows this caller.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn who_am_i(&self) -> Result<WhoAmI, CallError> {
        self.ask("WhoAmI", &pb::WhoAmIRequest {}).await
    }

    /// What this caller may call now, one entry for each right.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn allowed_methods(&self) -> Result<Vec<AllowedMethod>, CallError> {
        let answer: pb::AllowedMethodsResponse =
            self.ask("AllowedMethods", &pb::AllowedMethodsRequest {}).await?;
        Ok(answer.methods)
    }

    /// The bus's directory: every service that is not hidden from this caller, callable or not.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn directory(&self) -> Result<Vec<KnownService>, CallError> {
        let answer: pb::ListServicesResponse = self.ask("ListServices", &pb::ListServicesRequest {}).await?;
        Ok(answer.services)
    }

    /// The contract of a service of the directory, in the bytes that it was published in.
    ///
    /// # Errors
    /// As [`Client::call`]; NOT_FOUND also for a service that is hidden from this caller.
    pub async fn get_contract(&self, service: &str) -> Result<PublishedContract, CallError> {
        self.ask("GetContract", &pb::GetContractRequest { service: service.to_owned() }).await
    }

    /// Current use of the limits of this caller's grants, at the gateway that answers.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn limits(&self) -> Result<Vec<GrantUsage>, CallError> {
        let answer: pb::MyLimitsResponse = self.ask("MyLimits", &pb::MyLimitsRequest {}).await?;
        Ok(answer.grants)
    }

    /// The receipt of one of this caller's calls, named by its entry ([`crate::Ending::entry`]). It is read,
    /// not yet verified: `chapar_evidence::verify::receipt` does that, with the log's public key.
    ///
    /// # Errors
    /// As [`Client::call`]; NOT_FOUND also for an entry of others.
    pub async fn receipt(&self, entry: &str) -> Result<Receipt, CallError> {
        let request = pb::GetReceiptRequest { entry: entry.to_owned() };
        let answer: pb::GetReceiptResponse = self.ask("GetReceipt", &request).await?;
        Receipt::from_bytes(&answer.receipt).map_err(|error| self.garbled(error))
    }

    async fn ask<A: Message + Default>(&self, method: &str, request: &impl Message) -> Result<A, CallError> {
        self.ask_own(&format!("chapar.meta.v1.Meta/{method}"), request).await
    }

    /// Calls a unary method of the gateway's own services.
    pub(crate) async fn ask_own<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<A, CallError> {
        let method = method.parse().map_err(|error| self.garbled(error))?;
        // The gateway's own services need no purpose, case or clerk.
        let metadata = CallMetadata { timeout: Some(TIMEOUT), ..CallMetadata::default() };
        let answer = self.call(&CallSpec { method, metadata }, Bytes::from(request.encode_to_vec())).await?;
        let message = answer.message().ok_or_else(|| self.garbled("an answer without a message"))?;
        A::decode(message.clone()).map_err(|error| self.garbled(error))
    }
}
