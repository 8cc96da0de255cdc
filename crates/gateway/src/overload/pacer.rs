//! `Pacer` is a token bucket for callers that are far over their share of calls. Its rate follows the mean
//! queue delay in ticks of 10 ms: additive increase, multiplicative decrease (AIMD; Chiu and Jain, "Analysis
//! of the Increase and Decrease Algorithms", Computer Networks and ISDN Systems 17, 1989).

use std::time::{Duration, Instant};

/// Interval after which the pace is adjusted. 10 ms is short enough that a caller's excess is held back
/// before the calls of others have waited for more than some milliseconds.
const TICK: Duration = Duration::from_millis(10);
/// Mean queue delay of a tick above which the pace is decreased. 700 µs is a little more than the mean of a
/// thread that keeps up with its calls.
const BUSY_DELAY: Duration = Duration::from_micros(700);
/// Mean number of waiting calls below which the pace is not decreased. With fewer, the delay does not come
/// from a queue of calls, so holding calls back would not shorten it.
const MIN_WAITING: u32 = 2;
/// Minimum pace, in calls per tick of 10 ms (100 calls a second on this thread), so that a paced caller is
/// never shut out.
const MIN_PACE: f64 = 1.0;
/// Factor of the first decrease, which sets the pace. It takes off more than `DECREASE` (30 % and not 5 %),
/// because it starts from the rate of unpaced calls, which is already more than the thread can serve.
const FIRST_DECREASE: f64 = 0.7;
/// Factor by which the pace is decreased after each further busy tick: 5 % less.
const DECREASE: f64 = 0.95;
/// Factor by which the pace is increased after each tick that is not busy: 5 % more.
const INCREASE: f64 = 1.05;
/// Calls per tick that each increase adds. They let a pace near `MIN_PACE` recover in some ticks;
/// multiplication alone would take far longer.
const INCREASE_CALLS_PER_TICK: f64 = 0.2;
/// Number of calls below which a tick is not judged. The delay of a few calls may come from the scheduler of
/// the operating system and not from load.
const MIN_CALLS: u32 = 8;
/// Time without a judged tick after which pacing ends. After 200 ms (20 ticks) with few calls the overload
/// that the pace was set against is over.
const PACE_LIFETIME: Duration = Duration::from_millis(200);

/// `Pacer` limits the rate at which one thread admits calls of callers that are far over their share.
pub(super) struct Pacer {
    /// Admission rate in calls per tick. `None` means that calls are not paced.
    pace: Option<f64>,
    /// Tokens in the bucket, in calls.
    saved: f64,
    /// Time up to which tokens were added to `saved`.
    since: Instant,
    /// End of the current tick.
    ends: Instant,
    /// End of the last tick that was judged.
    told: Instant,
    /// Calls that `try_pass` admitted in this tick.
    passed: u32,
    /// Calls of all callers in this tick.
    calls: u32,
    /// Sum of the queue delays of those calls.
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

    /// Takes the queue delay of one call of any caller, and adjusts the pace when a tick has ended.
    pub(super) fn observe(&mut self, queue_delay: Duration, now: Instant) {
        if now >= self.ends {
            // A tick with few calls is not judged, so the pace stays as it was.
            if self.calls >= MIN_CALLS {
                self.adjust(now);
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

    fn adjust(&mut self, now: Instant) {
        // The mean number of waiting calls is their rate times their delay (Little's law), so it is the sum
        // of the delays over the tick. If it is below `MIN_WAITING`, calls are not what keeps the thread
        // busy, and holding them back would not make it faster.
        let wait = self.queue_delay > TICK * MIN_WAITING;
        let is_busy = wait && self.queue_delay / self.calls > BUSY_DELAY;
        self.pace = match self.pace {
            None if is_busy => {
                (self.saved, self.since) = (0.0, now);
                Some((f64::from(self.passed) * FIRST_DECREASE).max(MIN_PACE))
            }
            None => None,
            // The decrease starts from what really passed: a pace above the demand limits nothing, and
            // lowering it would have no effect.
            Some(pace) if is_busy => Some((pace.min(f64::from(self.passed)) * DECREASE).max(MIN_PACE)),
            Some(pace) => Some(pace * INCREASE + INCREASE_CALLS_PER_TICK),
        };
    }

    /// Takes a token for one call. Returns false if the call must wait.
    pub(super) fn try_pass(&mut self, now: Instant) -> bool {
        if let Some(pace) = self.pace {
            let earned = pace * now.saturating_duration_since(self.since).as_secs_f64() / TICK.as_secs_f64();
            self.since = now;
            // At most the tokens of a quarter of a tick, and one more, are saved, so that a paced caller
            // cannot send a burst after a pause.
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
