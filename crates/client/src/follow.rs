//! This module follows a gateway's evidence log (`chapar.evidence.v1.Follow`). What comes is as the gateway
//! says, and not verified.

use crate::client::Client;
use crate::error::CallError;

pub use pb::GetCheckpointResponse as LogCheckpoints;

/// Generated from `proto/chapar/evidence/v1/follow.proto`.
#[expect(missing_docs, unreachable_pub, reason = "generated; documented in the proto file")]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/chapar.evidence.v1.rs"));
}

impl Client {
    /// The newest checkpoints of the log of the gateway that answers.
    ///
    /// # Errors
    /// As [`Client::call`]; `NOT_GRANTED` if the registry gives this identity no role `auditor`.
    pub async fn log_checkpoints(&self) -> Result<LogCheckpoints, CallError> {
        self.ask_own("chapar.evidence.v1.Follow/GetCheckpoint", &pb::GetCheckpointRequest {}).await
    }

    /// Encoded entries from the index `start` on, of those that the newest checkpoint covers: 1 MiB at most,
    /// or one entry; none where it covers no more.
    ///
    /// # Errors
    /// As [`Client::log_checkpoints`].
    pub async fn log_entries(&self, start: u64) -> Result<Vec<Vec<u8>>, CallError> {
        let request = pb::ReadEntriesRequest { start };
        let answer: pb::ReadEntriesResponse =
            self.ask_own("chapar.evidence.v1.Follow/ReadEntries", &request).await?;
        Ok(answer.entries)
    }
}
