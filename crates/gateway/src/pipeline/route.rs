//! The step *route* finds the registered method by `:path`, byte for byte; all later steps use that one
//! value. A method that is hidden from the caller is answered as unknown, before the metadata is parsed.

use std::sync::Arc;

use chapar_model::Reason;
use chapar_registry::{MethodEntry, Registry};

use super::call::Call;
use super::record::OpenRecord;
use crate::refusal::Refusal;

/// `Routed` is a call of a registered method.
pub(super) struct Routed {
    pub(super) call: Call,
    pub(super) entry: Arc<MethodEntry>,
}

pub(super) fn route(registry: &Registry, call: Call, record: &mut OpenRecord) -> Result<Routed, Refusal> {
    // The caller is part of the lookup: a method that is hidden from it must give the same answer as one that
    // does not exist.
    let found = call.path.strip_prefix('/').and_then(|path| registry.method_for(&call.caller.id, path));
    let Some(entry) = found.map(Arc::clone) else {
        return Err(Reason::MethodUnknown.into());
    };
    // A stream reserves its second slot in the log here, before anything is sent on its behalf.
    record.method(&entry)?;
    Ok(Routed { call, entry })
}
