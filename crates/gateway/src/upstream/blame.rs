//! `Blame` says who caused the end of an exchange, for the circuit breaker: provider, caller or nobody. What
//! a caller causes (a message that is too large, a short deadline, a broken stream) must not open the
//! breaker.

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

/// gRPC's UNAVAILABLE.
const UNAVAILABLE: u8 = 14;

impl Blame {
    /// Judges an exchange by the refusal that it ended with.
    pub(crate) fn of(refusal: &Refusal) -> Self {
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
            | Reason::RequestMalformed => Self::Caller,
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
        let of = |reason: Reason| Blame::of(&Refusal::from(reason));
        for reason in
            [Reason::AdapterUnavailable, Reason::SourceDown, Reason::SourceTimeout, Reason::ContractViolation]
        {
            assert_eq!(of(reason), Blame::Provider, "{reason}");
        }
        for reason in
            [Reason::MessageTooLarge, Reason::DeadlineExceeded, Reason::Cancelled, Reason::RequestMalformed]
        {
            assert_eq!(of(reason), Blame::Caller, "{reason}");
        }
        for reason in [Reason::SourceBusy, Reason::RecordNotFound, Reason::TooManyRows, Reason::SchemaDrift] {
            assert_eq!(of(reason), Blame::Nobody, "{reason}");
        }
        let status =
            |code| Blame::of(&Refusal::provider(ProviderStatus { code, ..ProviderStatus::default() }));
        assert_eq!([status(14), status(5), status(13)], [Blame::Provider, Blame::Nobody, Blame::Nobody]);
    }
}
