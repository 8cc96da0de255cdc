//! This module hides, under a grant that is narrowed to rows, whether a record is outside the granted rows or
//! does not exist. Both cases get the same status. A random wait of up to 10 ms covers the timing side
//! channel: databases answer the two cases some 10 µs apart, which then takes hundreds of thousands of calls,
//! within the caller's rate limit, to measure.

use std::time::{Duration, Instant};

use chapar_model::{Code, Reason};

use super::messages::{Answer, Minimised};
use crate::refusal::Refusal;

/// Maximum random wait; its mean is half of it (5 ms).
const MAX_WAIT: Duration = Duration::from_millis(10);

/// Gives both cases the same status after a random wait.
pub(super) async fn cover(
    answered: Result<Minimised, Refusal>,
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
            Answer::Unary(only, _) => only.bytes.is_empty(),
            Answer::Stream(messages) => messages.is_empty(),
        },
    };
    if is_empty {
        // The wait takes at most half of the time that is left, so that it never causes `DEADLINE_EXCEEDED`,
        // which would reveal the case.
        tokio::time::sleep(wait().min(deadline.saturating_duration_since(Instant::now()) / 2)).await;
    }
    answered
}

/// Returns a random wait of up to [`MAX_WAIT`], uniformly distributed, from a source that no caller can
/// predict.
fn wait() -> Duration {
    let mut random = [0; 4];
    // If the random source fails, the longest wait is used: a constant wait hides nothing, but the call goes
    // on.
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => MAX_WAIT.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)),
        Err(_) => MAX_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_the_whole_length() {
        let waits: Vec<Duration> = (0..2_000).map(|_| wait()).collect();
        for tenth in 0..10 {
            let range = MAX_WAIT * tenth / 10..=MAX_WAIT * (tenth + 1) / 10;
            let share = waits.iter().filter(|wait| range.contains(*wait)).count();
            assert!((120..=280).contains(&share), "{share} of 2,000 in {range:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_not_there_waits_and_another_refusal_does_not() {
        let began = tokio::time::Instant::now();
        let deadline = Instant::now() + Duration::from_secs(1);
        for _ in 0..20 {
            cover(Err(Reason::ContractViolation.into()), deadline).await.err();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            cover(Err(Reason::RecordNotFound.into()), deadline).await.err();
        }
        assert!(began.elapsed() > Duration::from_millis(20), "{:?}", began.elapsed());
    }
}
