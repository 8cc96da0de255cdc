//! This module asks several methods in one call (`chapar.inquiry.v1.Inquiry`).

use prost::Message;

pub use pb::{
    AskPart, AskProcedureRequest, Name, PartAnswer, PartEnd, PartRefusal, Procedure, ProcedureInput,
    ProcedurePart, ask_part, part_answer,
};
use pb::{AskRequest, ListProceduresRequest};

use crate::answer::Messages;
use crate::call::{CallMetadata, CallSpec};
use crate::client::Client;
use crate::error::CallError;
use crate::meta::TIMEOUT;

/// Generated from `proto/chapar/inquiry/v1/inquiry.proto`.
#[expect(missing_docs, unreachable_pub, reason = "generated; documented in the proto file")]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/chapar.inquiry.v1.rs"));
}

/// The answers of an inquiry, as they come.
pub struct Parts(Messages);

impl Parts {
    /// The next message or end of a part; nothing once all parts have ended.
    ///
    /// # Errors
    /// As [`Messages::next`].
    pub async fn next(&mut self) -> Result<Option<PartAnswer>, CallError> {
        let Some(message) = self.0.next().await? else { return Ok(None) };
        PartAnswer::decode(message).map(Some).map_err(|_| self.0.garbled("a part that cannot be read"))
    }
}

impl Client {
    /// The procedures that this caller may ask, by id.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn procedures(&self) -> Result<Vec<Procedure>, CallError> {
        let metadata = CallMetadata { timeout: Some(TIMEOUT), ..CallMetadata::default() };
        let call = self.inquiry("ListProcedures", metadata)?;
        let request = ListProceduresRequest {}.encode_to_vec();
        let answer = self.call(&call, request.into()).await?;
        let message = answer.message().ok_or_else(|| self.garbled("an answer without a message"))?;
        let listed =
            pb::ListProceduresResponse::decode(message.clone()).map_err(|error| self.garbled(error))?;
        Ok(listed.procedures)
    }

    /// Asks several methods at once. Each part has an end of its own; the inquiry's status is OK although one
    /// was refused.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn ask_parts(&self, parts: Vec<AskPart>, metadata: CallMetadata) -> Result<Parts, CallError> {
        let request = AskRequest { parts }.encode_to_vec();
        let call = self.inquiry("Ask", metadata)?;
        self.call_streaming(&call, request.into()).await.map(Parts)
    }

    /// Asks a procedure of the registry about one citizen. Its purpose, and whose right is used, are the
    /// procedure's.
    ///
    /// # Errors
    /// As [`Client::call`]; `PROCEDURE_UNKNOWN` also for a procedure of others.
    pub async fn ask_procedure(
        &self,
        request: AskProcedureRequest,
        metadata: CallMetadata,
    ) -> Result<Parts, CallError> {
        let call = self.inquiry("AskProcedure", metadata)?;
        self.call_streaming(&call, request.encode_to_vec().into()).await.map(Parts)
    }

    fn inquiry(&self, method: &str, metadata: CallMetadata) -> Result<CallSpec, CallError> {
        let method = format!("chapar.inquiry.v1.Inquiry/{method}");
        let method = method.parse().map_err(|error| self.garbled(error))?;
        Ok(CallSpec { method, metadata })
    }
}
