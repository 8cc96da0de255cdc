//! `LogBudget` bounds the lines of one kind that go into a log, so that whoever brings about an event at any
//! rate does not fill the disk by its lines. It reads no clock.

use std::time::{Duration, Instant};

/// Lines of one kind in one second.
const LINES_PER_SECOND: u32 = 10;

/// `LogBudget` counts the lines of one kind in this second, and the events that got none.
#[derive(Clone, Debug, Default)]
pub struct LogBudget {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogBudget {
    /// Counts an event. Returns `None` if it must not be logged, else the number of events without a line
    /// since the last line.
    pub fn line(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_events_in_a_second_ten_get_a_line_and_the_next_line_says_how_many_got_none() {
        let mut budget = LogBudget::default();
        let began = Instant::now();
        let lines = (0..100).filter(|_| budget.line(began).is_some()).count();
        assert_eq!(lines, 10);
        let later = began + Duration::from_secs(1);
        assert_eq!([budget.line(later), budget.line(later)], [Some(90), Some(0)]);
    }
}
