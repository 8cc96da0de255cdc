//! `QuotaHistory` counts into quotas what the evidence log has of today: the log is durable, so quotas
//! outlive a restart and a kill without a store of their own. A call counts if a provider may have been
//! asked, as its record tells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chapar_evidence::{Kind, Log, Record};
use chapar_limit::{QuotaCall, QuotaKeeper};
use chapar_model::GrantId;

/// How far back records are read: a day, and what a call and a clock may be apart.
const BACK_MS: u64 = 26 * 3_600_000;

/// The log that quotas are counted from.
pub(crate) struct QuotaHistory {
    log: Log,
    /// Entries that were there when the process began; the calls of later ones were counted when they were
    /// made.
    before: u64,
    /// Whether those were counted.
    is_counted: AtomicBool,
}

impl QuotaHistory {
    /// The history of a log in which this process has recorded no call yet.
    pub(crate) async fn new(log: Log) -> Self {
        let before = log.size().await;
        Self { log, before, is_counted: AtomicBool::default() }
    }

    /// Counts into `quotas` what was recorded of the last day and is not counted yet, as against those in
    /// force `before`. Reads the log, and so blocks; does nothing if no grant has quotas that are new.
    ///
    /// # Errors
    /// If the log cannot be read: quotas that may be too high must not come into force. Nothing is counted
    /// then.
    pub(crate) fn count(
        &self,
        quotas: &mut QuotaKeeper,
        before: Option<&QuotaKeeper>,
        now_ms: u64,
    ) -> Result<(), chapar_evidence::Error> {
        let is_first = quotas.is_bounded() && !self.is_counted.load(Ordering::Relaxed);
        let counts_more = before.is_some_and(|before| quotas.counts_more_than(before));
        if !is_first && !counts_more {
            return Ok(());
        }
        let began = Instant::now();
        let mut records = 0_u64;
        // Counted apart and added at the end, so that an error in between leaves no part of it.
        let mut earlier = quotas.unused();
        let mut later = quotas.unused();
        self.log.recent(now_ms.saturating_sub(BACK_MS), &mut |index, record| {
            records += 1;
            let Ok(grant) = record.grant.parse::<GrantId>() else { return };
            if is_counted(record) {
                let call = QuotaCall {
                    grant: &grant,
                    caller: &record.caller,
                    clerk: &record.clerk,
                    subject: &record.subject_pseudonym,
                    at_ms: record.time_unix_ms,
                };
                let into = if index < self.before { &mut earlier } else { &mut later };
                into.recorded(&call, now_ms);
            }
        })?;
        quotas.absorb(earlier, is_first);
        quotas.absorb(later, false);
        if is_first {
            self.is_counted.store(true, Ordering::Relaxed);
        }
        tracing::info!(records, took = ?began.elapsed(), "quotas are counted from the evidence log");
        Ok(())
    }
}

/// Whether the call of a record counts, as it did when it was made.
fn is_counted(record: &Record) -> bool {
    match record.kind() {
        Kind::Unary | Kind::Open => true,
        Kind::Refusal => record.provider_asked,
        // A stream counts at its opening.
        Kind::Close | Kind::Lost | Kind::Unspecified => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_if_a_provider_may_have_been_asked() {
        for (kind, provider_asked, counts) in [
            (Kind::Unary, false, true),
            (Kind::Open, false, true),
            (Kind::Close, false, false),
            (Kind::Lost, false, false),
            (Kind::Refusal, false, false),
            (Kind::Refusal, true, true),
        ] {
            let record = Record { kind: kind.into(), provider_asked, ..Record::default() };
            assert_eq!(is_counted(&record), counts, "{kind:?} {provider_asked}");
        }
    }
}
