//! Token bucket for callers far over their share of calls. Its rate follows the mean queue delay in ticks of
//! 10 ms (AIMD).

use std::time::{Duration, Instant};

/// How often the pace is judged: often enough that what a caller brings too much is held back before the
/// others' calls have waited for some milliseconds.
const TICK: Duration = Duration::from_millis(10);
/// While the mean queue delay is longer, the pace falls: a little more than what a thread that keeps up has.
const BUSY_DELAY: Duration = Duration::from_micros(700);
/// While fewer calls wait in the mean, the pace does not fall.
const MIN_WAITING: u32 = 2;
/// The lowest pace, in calls per tick: no one is shut out.
const MIN_PACE: f64 = 1.0;
/// Fewer calls in a tick tell nothing: the delay of one or two may be the system's doing.
const MIN_CALLS: u32 = 8;
/// After so long without a tick that tells anything the pace is over: what it was set against is no more.
const PACE_LIFETIME: Duration = Duration::from_millis(200);

/// At what rate calls of callers that have far more than their share are let in.
pub(super) struct Pacer {
    /// Calls per tick. Nothing: as they come.
    pace: Option<f64>,
    saved: f64,
    since: Instant,
    ends: Instant,
    /// When a tick last told something.
    told: Instant,
    passed: u32,
    calls: u32,
    queue_delay: Duration,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pace: None,
            saved: 0.0,
            since: now,
            ends: now + TICK,
            told: now,
            passed: 0,
            calls: 0,
            queue_delay: Duration::ZERO,
        }
    }

    /// A call has come, after lying for `queue_delay`, of whomever it is.
    pub(super) fn look(&mut self, queue_delay: Duration, now: Instant) {
        if now >= self.ends {
            // A tick with few calls is not judged, so the pace stays as it was.
            if self.calls >= MIN_CALLS {
                self.judge(now);
                self.told = self.ends;
            }
            // Without this a pace would stay for ever once calls are too few to judge.
            if now.saturating_duration_since(self.told) > PACE_LIFETIME {
                self.pace = None;
            }
            (self.ends, self.passed, self.calls, self.queue_delay) = (now + TICK, 0, 0, Duration::ZERO);
        }
        self.calls += 1;
        self.queue_delay += queue_delay;
    }

    fn judge(&mut self, now: Instant) {
        // How many calls wait is their rate times their delay (Little's law). Where that is hardly one, it is
        // not calls that keep the thread, and holding them back would not make it faster.
        let wait = self.queue_delay > TICK * MIN_WAITING;
        let is_busy = wait && self.queue_delay / self.calls > BUSY_DELAY;
        self.pace = match self.pace {
            None if is_busy => {
                (self.saved, self.since) = (0.0, now);
                Some((f64::from(self.passed) * 0.7).max(MIN_PACE))
            }
            None => None,
            // The pace starts from what really passed: a pace above the demand limits nothing, and lowering
            // it would have no effect.
            Some(pace) if is_busy => Some((pace.min(f64::from(self.passed)) * 0.95).max(MIN_PACE)),
            // The constant lets a pace near `MIN_PACE` recover in some ticks. Multiplication alone would take
            // far longer.
            Some(pace) => Some(pace * 1.05 + 0.2),
        };
    }

    /// Whether one more call may be let in now.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        if let Some(pace) = self.pace {
            let earned = pace * now.saturating_duration_since(self.since).as_secs_f64() / TICK.as_secs_f64();
            self.since = now;
            // What is not used within a tick is lost: a pace is no burst.
            self.saved = (self.saved + earned).min(pace / 4.0 + 1.0);
            if self.saved < 1.0 {
                return false;
            }
            self.saved -= 1.0;
        }
        self.passed += 1;
        true
    }
}
