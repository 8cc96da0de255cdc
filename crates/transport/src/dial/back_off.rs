//! `BackOff` is exponential backoff with jitter after failed connects (default 50 ms to 5 s). It keeps the
//! last error to report meanwhile.

use tokio::time::Instant;

use super::{Settings, jitter};

#[derive(Default)]
pub(super) struct BackOff {
    /// Failed connects since the last answer.
    failures: u32,
    until: Option<Instant>,
    problem: String,
}

impl BackOff {
    /// Returns the last problem during a pause; `None` if a connect may be tried.
    pub(super) fn resting(&self) -> Option<&str> {
        self.until.is_some_and(|until| Instant::now() < until).then_some(self.problem.as_str())
    }

    /// Counts a failure: the next pause is twice as long, at most `back_off_most`, times a random factor from
    /// 0.5 to 1 (jitter).
    pub(super) fn failed(&mut self, settings: &Settings, problem: String) {
        // The shift is capped at 16, because a shift by 32 would overflow. The longest pause is reached long
        // before.
        let doubled = settings.back_off.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.until =
            Some(Instant::now() + doubled.min(settings.back_off_most).mul_f64(jitter::half_to_one()));
        self.problem = problem;
    }

    /// Forgets the failures: the endpoint has answered.
    pub(super) fn answered(&mut self) {
        if self.failures > 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn left(back_off: &BackOff) -> Duration {
        back_off.until.unwrap() - Instant::now()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_an_answer_ends_them() {
        let settings = Settings::default();
        let mut back_off = BackOff::default();
        assert_eq!(back_off.resting(), None);
        back_off.failed(&settings, "first".to_owned());
        assert!(left(&back_off) <= settings.back_off);
        assert_eq!(back_off.resting(), Some("first"));
        for _ in 0..100 {
            back_off.failed(&settings, "later".to_owned());
        }
        assert!(left(&back_off) <= settings.back_off_most && left(&back_off) > settings.back_off_most / 3);
        back_off.answered();
        assert_eq!(back_off.resting(), None);
    }
}
