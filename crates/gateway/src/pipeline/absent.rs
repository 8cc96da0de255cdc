//! This module hides, under a grant that is narrowed to rows, whether a record is outside the granted rows or
//! does not exist. Both cases get the same status at the same moment: databases answer them some 10 µs apart,
//! so the answer goes out a fixed time after the request was read, whenever the provider answered in between.

use std::time::{Duration, Instant};

use chapar_model::{Code, Reason};

use super::messages::{Minimised, MinimisedAnswer};
use crate::refusal::Refusal;

/// Such answers go out this long after the request was read, or a multiple of it where the provider took
/// longer. Providers answer well within it (1 to 3 ms), and a person does not notice it.
const INTERVAL: Duration = Duration::from_millis(20);

/// Gives both cases the same status at the same moment. `read_at`: when the request had been read, which its
/// caller cannot shift against the answer.
pub(super) async fn cover(
    answered: Result<Minimised, Refusal>,
    read_at: Instant,
    deadline: Instant,
) -> Result<Minimised, Refusal> {
    let answered = match answered {
        // An agency's own server says that there is none; the gateway says it of one that is outside the
        // rows.
        Err(refusal) if refusal.provider_code() == Some(Code::NotFound as u8) => {
            Err(Reason::RecordNotFound.into())
        }
        // Such a server may say NOT_FOUND of a stream too, where the gateway drops rows and leaves an empty
        // one.
        Ok(minimised) if minimised.is_empty_stream_of_own_server() => Err(Reason::RecordNotFound.into()),
        answered => answered,
    };
    let is_empty = match &answered {
        Err(refusal) => refusal.reason() == Reason::RecordNotFound,
        Ok(minimised) => match &minimised.answer {
            MinimisedAnswer::Unary(only, _) => only.bytes.is_empty(),
            MinimisedAnswer::Stream(messages) => messages.is_empty(),
        },
    };
    if is_empty {
        let Some(at) = release_at(read_at, Instant::now(), deadline) else {
            // The caller set a deadline that leaves no moment which does not tell how long the provider took.
            tokio::time::sleep_until(deadline.into()).await;
            return Err(Reason::DeadlineExceeded.into());
        };
        tokio::time::sleep_until(at.into()).await;
    }
    answered
}

/// Returns the next multiple of [`INTERVAL`] after `read_at`, or three quarters of a shorter deadline, so
/// that the record can still be written. Neither depends on the provider. `None` if both have passed.
fn release_at(read_at: Instant, now: Instant, deadline: Instant) -> Option<Instant> {
    let intervals = now.saturating_duration_since(read_at).as_nanos() / INTERVAL.as_nanos() + 1;
    let next = read_at + INTERVAL.saturating_mul(u32::try_from(intervals).unwrap_or(u32::MAX));
    let last = read_at + deadline.saturating_duration_since(read_at) * 3 / 4;
    (now < last).then(|| next.min(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_moment_of_the_answer_does_not_tell_when_the_provider_answered() {
        let read_at = Instant::now();
        let deadline = read_at + 1000 * MS;
        for took in [Duration::ZERO, MS, MS + MS / 100, 19 * MS] {
            assert_eq!(release_at(read_at, read_at + took, deadline), Some(read_at + INTERVAL), "{took:?}");
        }
        assert_eq!(release_at(read_at, read_at + 21 * MS, deadline), Some(read_at + 2 * INTERVAL));
        assert_eq!(release_at(read_at, read_at + 745 * MS, deadline), Some(read_at + 750 * MS));
        for took in [Duration::ZERO, MS, 2 * MS] {
            let released = release_at(read_at, read_at + took, read_at + 8 * MS);
            assert_eq!(released, Some(read_at + 6 * MS), "{took:?}");
        }
        for (took, deadline) in [(25 * MS, 30 * MS), (760 * MS, 1000 * MS)] {
            assert_eq!(release_at(read_at, read_at + took, read_at + deadline), None, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_not_there_waits_and_another_refusal_does_not() {
        let began = tokio::time::Instant::now();
        let deadline = began.into_std() + Duration::from_secs(1);
        cover(Err(Reason::ContractViolation.into()), began.into_std(), deadline).await.err();
        assert_eq!(began.elapsed(), Duration::ZERO);
        cover(Err(Reason::RecordNotFound.into()), began.into_std(), deadline).await.err();
        assert!(began.elapsed() >= INTERVAL, "{:?}", began.elapsed());
        let passed = began.into_std();
        let refusal = cover(Err(Reason::RecordNotFound.into()), passed, passed).await.err().unwrap();
        assert_eq!(refusal.reason(), Reason::DeadlineExceeded);
    }
}
