//! `QuotaHistory` counts into quotas what the evidence log has of today: the log is durable, so quotas outlive a restart
//! and a kill without a store of their own. A call counts if a provider may have been asked, which its record tells.

use std::sync::atomic::{AtomicBool, Ordering};

use chapar_evidence::{Kind, Log, Record};
use chapar_limit::{QuotaCall, QuotaKeeper};
use chapar_model::{GrantId, Reason};

use crate::attempts::MAX_FREE_ATTEMPTS;

/// How far back records are read: a day, and what a call and a clock may be apart.
const BACK_MS: u64 = 26 * 3_600_000;

/// Refusals of a call before a provider was asked, although its request was read.
const BEFORE_THE_PROVIDER: [Reason; 8] = [
    Reason::Cardinality,
    Reason::DailyQuotaSpent,
    Reason::DecompressionFailed,
    Reason::NestingTooDeep,
    Reason::Overloaded,
    Reason::RequestIdConflict,
    Reason::RequestMalformed,
    Reason::SubjectQuotaSpent,
];

/// The log that quotas are counted from.
pub(crate) struct QuotaHistory {
    log: Log,
    /// Entries that were there when the process began; the calls of later ones were counted when they were made.
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

    /// Counts into `quotas` what was recorded of the last day and is not counted yet, as against those in force
    /// `before`. Reads the log, and so blocks; does nothing if no grant has quotas that are new.
    ///
    /// # Errors
    /// If the log cannot be read: quotas that may be too high must not come into force.
    pub(crate) fn count(
        &self,
        quotas: &QuotaKeeper,
        before: Option<&QuotaKeeper>,
        now_ms: u64,
    ) -> Result<(), chapar_evidence::Error> {
        let is_first = quotas.is_bounded() && !self.is_counted.load(Ordering::Relaxed);
        let counts_more = before.is_some_and(|before| quotas.counts_more_than(before));
        if !is_first && !counts_more {
            return Ok(());
        }
        self.log.recent(now_ms.saturating_sub(BACK_MS), &mut |index, record| {
            let Ok(grant) = record.grant.parse::<GrantId>() else { return };
            if is_counted(record) {
                let call = QuotaCall {
                    grant: &grant,
                    caller: &record.caller,
                    clerk: &record.clerk,
                    subject: &record.subject_pseudonym,
                    at_ms: record.time_unix_ms,
                };
                quotas.recorded(&call, is_first && index < self.before);
            }
        })?;
        if is_first {
            self.is_counted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Whether the call of a record counts. Where that cannot be told, it does: a quota is never too high.
fn is_counted(record: &Record) -> bool {
    // Further attempts of one disclosure are free, up to a number.
    if (2..=MAX_FREE_ATTEMPTS).contains(&record.attempt) {
        return false;
    }
    match record.kind() {
        Kind::Unary | Kind::Open => true,
        // A folded refusal stands for calls that reached no provider.
        Kind::Refusal if record.count > 1 || record.request_commitment.is_empty() => false,
        Kind::Refusal => !record.outcome.parse().is_ok_and(|reason| BEFORE_THE_PROVIDER.contains(&reason)),
        // A stream counts at its opening.
        Kind::Close | Kind::Lost | Kind::Unspecified => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, outcome: &str) -> Record {
        let (outcome, request_commitment) = (outcome.to_owned(), vec![1; 32]);
        Record { kind: kind.into(), outcome, request_commitment, ..Record::default() }
    }

    #[test]
    fn a_call_counts_if_a_provider_may_have_been_asked() {
        for (kind, outcome, counts) in [
            (Kind::Unary, "OK", true),
            (Kind::Open, "OK", true),
            (Kind::Close, "OK", false),
            (Kind::Lost, "", false),
            (Kind::Refusal, "RECORD_NOT_FOUND", true),
            (Kind::Refusal, "DEADLINE_EXCEEDED", true),
            (Kind::Refusal, "FIELD_INVALID", true),
            (Kind::Refusal, "a word that nobody knows", true),
            (Kind::Refusal, "DAILY_QUOTA_SPENT", false),
            (Kind::Refusal, "SUBJECT_QUOTA_SPENT", false),
            (Kind::Refusal, "REQUEST_MALFORMED", false),
        ] {
            assert_eq!(is_counted(&record(kind, outcome)), counts, "{kind:?} {outcome}");
        }
        let unread = Record { request_commitment: Vec::new(), ..record(Kind::Refusal, "RATE_LIMITED") };
        assert!(!is_counted(&unread));
        let folded = Record { count: 9, ..record(Kind::Refusal, "RECORD_NOT_FOUND") };
        assert!(!is_counted(&folded));
    }

    #[test]
    fn further_attempts_of_one_disclosure_are_free_up_to_a_number() {
        let counted = |attempt| is_counted(&Record { attempt, ..record(Kind::Unary, "OK") });
        assert_eq!(
            (0..=7).map(counted).collect::<Vec<_>>(),
            [true, true, false, false, false, false, true, true]
        );
    }
}
