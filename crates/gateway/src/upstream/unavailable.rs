//! This module makes the refusals of calls that no provider took: no endpoint can be asked, or the connection
//! to it failed.

use chapar_model::Reason;
use chapar_transport::dial::DialError;

use crate::refusal::{PROVIDER_RETRY, Refusal};

/// No endpoint can be asked.
pub(super) fn down(detail: impl Into<String>) -> Refusal {
    Refusal::from(Reason::AdapterUnavailable).retry_after(PROVIDER_RETRY).with_detail(detail)
}

/// The connection to an endpoint did not take the call, or broke.
pub(super) fn refused(error: &DialError) -> Refusal {
    let reason = match error {
        DialError::Full { own: true, .. } => Reason::ConcurrencyLimited,
        DialError::Full { own: false, .. } => Reason::SourceBusy,
        DialError::Broken { .. } | DialError::Unreachable { .. } => Reason::AdapterUnavailable,
    };
    Refusal::from(reason).retry_after(PROVIDER_RETRY).with_detail(error.to_string())
}
