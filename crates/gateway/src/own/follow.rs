//! `chapar.evidence.v1.Follow` gives this gateway's evidence log to auditors: checkpoints, and the entries
//! under them. Each method is for callers with the role `auditor`.

use std::sync::Arc;

use chapar_evidence::{Error, Log};
use chapar_model::Clock;
use chapar_registry::{Registry, Role};
use tonic::{Request, Response, Status};

use super::caller::check_role;

/// Generated from `proto/chapar/evidence/v1/follow.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub(crate) mod pb {
    tonic::include_proto!("chapar.evidence.v1");
}

/// The descriptors of the service, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/follow.binpb"));

/// Maximum size in bytes of the entries in an answer: some 3,000 records.
const MAX_ENTRIES: usize = 1 << 20;

/// Answers from the log, by the roles of one generation of the registry.
pub(crate) struct Follow {
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
}

#[tonic::async_trait]
impl pb::follow_server::Follow for Follow {
    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::GetCheckpointResponse>, Status> {
        check_role(&request, &self.registry, Role::Auditor, self.clock.now())?;
        let note = |signed: Option<chapar_evidence::SignedCheckpoint>| signed.map(|(_, note)| note);
        // The newest is read last, so that it is never the older one of the two.
        let cosigned = note(self.log.cosigned()).unwrap_or_default();
        let checkpoint = note(self.log.published()).unwrap_or_default();
        Ok(Response::new(pb::GetCheckpointResponse { checkpoint, cosigned }))
    }

    async fn read_entries(
        &self,
        request: Request<pb::ReadEntriesRequest>,
    ) -> Result<Response<pb::ReadEntriesResponse>, Status> {
        check_role(&request, &self.registry, Role::Auditor, self.clock.now())?;
        let start = request.get_ref().start;
        let entries = self.log.entries(start, MAX_ENTRIES).await.map_err(|error| unreadable(&error))?;
        Ok(Response::new(pb::ReadEntriesResponse { entries }))
    }
}

/// The error itself names a file of this machine, so it goes to the log only.
fn unreadable(error: &Error) -> Status {
    tracing::error!(%error, "an auditor's question to the evidence log failed");
    Status::unavailable("the evidence log cannot be read")
}
