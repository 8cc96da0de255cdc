//! The step *quota* takes a call of its grant's quotas: calls in a day, and different citizens in an hour and
//! a day. It comes after *read*, because only the request names the citizen, and before anything is sent to
//! the provider. Each attempt of a call counts by itself: an id must be no way around a quota.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chapar_limit::{Kind, QuotaCall, QuotaKeeper, QuotaTaken, Spent};
use chapar_model::Reason;

use super::read::Read;
use super::record::OpenRecord;
use crate::refusal::Refusal;

/// `WithinQuota` is a call within its grant's quotas, of which a provider may be asked.
pub(super) struct WithinQuota {
    pub(super) read: Read,
    /// To be set before the provider is asked. If it never is, the call goes back to the quota.
    pub(super) was_asked: Arc<AtomicBool>,
    pub(super) _taken: QuotaTaken,
}

pub(super) fn quota(quotas: &QuotaKeeper, read: Read, record: &OpenRecord) -> Result<WithinQuota, Refusal> {
    let head = &read.head;
    let grant = &head.permit.grant.id;
    let call = QuotaCall {
        grant,
        caller: head.caller.id.as_str(),
        clerk: head.metadata.clerk.as_ref().map_or("", |clerk| clerk.as_str()),
        subject: record.pseudonym(),
        // The record's own time, by which a restart counts it again.
        at_ms: record.time_unix_ms(),
    };
    let was_asked = Arc::clone(record.was_asked());
    let taken = quotas.take(&call, &was_asked).map_err(|Spent { kind, limit, retry_after }| {
        let reason = match kind {
            Kind::SubjectsHour | Kind::SubjectsDay => Reason::SubjectQuotaSpent,
            _ => Reason::DailyQuotaSpent,
        };
        Refusal::from(reason).retry_after(retry_after).quota(grant.as_str(), limit)
    })?;
    Ok(WithinQuota { read, was_asked, _taken: taken })
}
