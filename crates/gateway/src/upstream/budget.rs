//! `Budget` is the retry budget of one service: a token bucket that gains a fifth of a retry with each call
//! and holds at most 10. It is bounded because retries multiply the load of a provider in trouble.

use parking_lot::Mutex;

/// Tokens that a call adds, in hundredths of a retry: retries may add a fifth to the load.
const TOKENS_PER_CALL: u32 = 20;
/// Tokens that one retry costs.
const TOKENS_PER_RETRY: u32 = 100;
/// Maximum number of saved tokens: ten retries, so that a quiet service can still retry and a busy one cannot
/// save up a storm.
const MAX_SAVED: u32 = 10 * TOKENS_PER_RETRY;

/// The budget of one service. Full when new.
pub(super) struct Budget(Mutex<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(MAX_SAVED))
    }
}

impl Budget {
    /// A call was made for the first time.
    pub(super) fn earn(&self) {
        let mut saved = self.0.lock();
        *saved = (*saved + TOKENS_PER_CALL).min(MAX_SAVED);
    }

    /// Takes what one retry costs, if there is as much.
    pub(super) fn spend(&self) -> bool {
        // Checked and spent under one lock, so that two retries cannot spend the same token.
        let mut saved = self.0.lock();
        let enough = *saved >= TOKENS_PER_RETRY;
        if enough {
            *saved -= TOKENS_PER_RETRY;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_fifth_of_calls_is_retried_beyond_what_was_saved() {
        let budget = Budget::default();
        let mut retried = 0;
        for _ in 0..1_000 {
            budget.earn();
            retried += usize::from(budget.spend());
        }
        assert!((200..=210).contains(&retried), "{retried}");
    }

    #[test]
    fn quiet_times_save_ten_and_no_more() {
        let budget = Budget::default();
        (0..1_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
