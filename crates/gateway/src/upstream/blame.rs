//! `Blame` says who caused the end of an exchange: provider, caller or nobody. Circuit breakers, retries and
//! metrics take only that, so that what a caller causes (a message that is too large, a short deadline, a
//! broken stream) is never held against a provider.

use chapar_model::Reason;

use crate::refusal::Refusal;

/// Who brought about the end of an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Blame {
    /// The provider broke off, did not answer in the time that the contract gives it, or said that it is in
    /// trouble.
    Provider,
    /// The caller, or a limit that the caller's request or answer is over.
    Caller,
    /// Nobody: the provider works. It answered, be it with a refusal, or that it is busy: busy is not broken.
    Nobody,
}

/// How an exchange ended.
pub(crate) enum ExchangeEnd<'a> {
    /// With a whole answer.
    Answered,
    /// With a refusal, of the provider's choice or of this gateway's.
    Refused(&'a Refusal),
    /// The connection or stream failed before an answer. `was_stopped`: this side had ended the request, and
    /// the stream with it.
    Broken { was_stopped: bool },
    /// Whoever waited for it is gone. `is_late`: not before the provider's time was over.
    Abandoned { is_late: bool },
}

/// gRPC's UNAVAILABLE.
const UNAVAILABLE: u8 = 14;

impl Blame {
    pub(crate) fn of(end: &ExchangeEnd<'_>) -> Self {
        match end {
            ExchangeEnd::Answered => Self::Nobody,
            ExchangeEnd::Refused(refusal) => Self::of_refusal(refusal),
            ExchangeEnd::Broken { was_stopped: false } | ExchangeEnd::Abandoned { is_late: true } => {
                Self::Provider
            }
            ExchangeEnd::Broken { was_stopped: true } | ExchangeEnd::Abandoned { is_late: false } => {
                Self::Caller
            }
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal.reason() {
            Reason::ProviderStatus if refusal.provider_code() == Some(UNAVAILABLE) => Self::Provider,
            Reason::AdapterUnavailable
            | Reason::ContractViolation
            | Reason::SourceDown
            | Reason::SourceTimeout => Self::Provider,
            Reason::Cancelled
            | Reason::Cardinality
            | Reason::DeadlineExceeded
            | Reason::DecompressionFailed
            | Reason::FieldInvalid
            | Reason::FrameMalformed
            | Reason::MessageTooLarge
            | Reason::NestingTooDeep
            | Reason::PageTokenInvalid
            | Reason::RequestMalformed => Self::Caller,
            // Every other refusal is one of a provider that works: no record, a busy source, a table that
            // has changed. Another endpoint would answer the same.
            _ => Self::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::ProviderStatus;

    #[test]
    fn a_provider_is_blamed_for_its_own_trouble_only() {
        let of = |reason: Reason| Blame::of(&ExchangeEnd::Refused(&Refusal::from(reason)));
        for reason in
            [Reason::AdapterUnavailable, Reason::SourceDown, Reason::SourceTimeout, Reason::ContractViolation]
        {
            assert_eq!(of(reason), Blame::Provider, "{reason}");
        }
        for reason in [
            Reason::MessageTooLarge,
            Reason::PageTokenInvalid,
            Reason::DeadlineExceeded,
            Reason::Cancelled,
            Reason::RequestMalformed,
            Reason::FrameMalformed,
        ] {
            assert_eq!(of(reason), Blame::Caller, "{reason}");
        }
        for reason in [Reason::SourceBusy, Reason::RecordNotFound, Reason::TooManyRows, Reason::SchemaDrift] {
            assert_eq!(of(reason), Blame::Nobody, "{reason}");
        }
        let status = |code| {
            Blame::of(&ExchangeEnd::Refused(&Refusal::provider(ProviderStatus {
                code,
                ..ProviderStatus::default()
            })))
        };
        assert_eq!([status(14), status(5), status(13)], [Blame::Provider, Blame::Nobody, Blame::Nobody]);
    }

    #[test]
    fn a_provider_is_blamed_for_a_stream_that_broke_unless_this_side_ended_it() {
        assert_eq!(Blame::of(&ExchangeEnd::Broken { was_stopped: false }), Blame::Provider);
        assert_eq!(Blame::of(&ExchangeEnd::Broken { was_stopped: true }), Blame::Caller);
        assert_eq!(Blame::of(&ExchangeEnd::Abandoned { is_late: true }), Blame::Provider);
        assert_eq!(Blame::of(&ExchangeEnd::Abandoned { is_late: false }), Blame::Caller);
        assert_eq!(Blame::of(&ExchangeEnd::Answered), Blame::Nobody);
    }
}
