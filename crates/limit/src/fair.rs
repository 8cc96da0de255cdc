//! `Fair` is fair queueing of calls over callers, by deficit round robin (Shreedhar and Varghese, SIGCOMM
//! 1995). The cost of a call is the time for which it holds its permit, so callers share the provider's time
//! and not the number of calls: a caller whose calls take ten times as long gets a tenth as many. The cost is
//! known only afterwards, so a call is first charged a moving average, and [`Fair::settle`] corrects that.
//!
//! It is pure: it reads no clock, takes no lock and wakes no one. How many calls may run at once is decided
//! by the user of [`Fair::take`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Maximum charge of a call and maximum debt of a caller, in quanta. It bounds how long a caller pays for one
/// long call, and how many rounds [`Fair::take`] needs to find a turn.
const MAX_CHARGE_QUANTA: i64 = 64;
/// Divisor of the moving averages: each measurement moves the average by an eighth of the difference, the
/// weight of TCP's smoothed round-trip time (RFC 6298 §2).
const EWMA_DIVISOR: i64 = 8;
/// Maximum duration of a call that is counted, in nanoseconds (1 h). It keeps the sums far from an overflow
/// of `i64`.
const MAX_CHARGE_NS: i64 = 3_600_000_000_000;

/// `Bounds` limits the number of waiting calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Calls of one caller.
    pub each: usize,
    /// Calls of all callers.
    pub total: usize,
}

/// `Fair` has a queue (line) of waiting calls `T` for each caller `K`. A caller takes memory only while a
/// call of it waits or runs.
#[derive(Debug)]
pub struct Fair<K, T> {
    bounds: Bounds,
    lines: HashMap<K, CallerQueue<T>>,
    /// Callers with a waiting call, the next one first.
    round: VecDeque<K>,
    /// True if the first caller of the round has had its quantum.
    visited: bool,
    waiting: usize,
    last: Ticket,
    /// Quantum: the time in nanoseconds that each caller may spend per round. It is the moving average of how
    /// long a call holds its permit, and 0 until one is measured.
    quantum: i64,
}

#[derive(Debug)]
struct CallerQueue<T> {
    calls: VecDeque<(Ticket, T)>,
    /// Deficit counter: nanoseconds that the caller may spend. It is negative after calls that took longer
    /// than they were charged for.
    credit: i64,
    /// Moving average of how long the caller's calls take, in nanoseconds; `None` until one is measured.
    cost: Option<i64>,
    /// Number of calls that had their turn and are not settled.
    running: usize,
}

/// Names one waiting call, for [`Fair::cancel`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ticket(u64);

/// What a call was charged when it got its turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charge(i64);

/// A call that waits now.
#[derive(Debug)]
pub struct Waiting<T> {
    /// Its name.
    pub ticket: Ticket,
    /// The newest call of the longest line, which had to make room; it waits no more.
    pub displaced: Option<T>,
}

/// A call whose turn has come.
#[derive(Debug)]
pub struct Turn<K, T> {
    /// Whose it is.
    pub caller: K,
    /// The call.
    pub call: T,
    /// For [`Fair::settle`].
    pub charge: Charge,
}

impl<K: Clone + Eq + Hash, T> Fair<K, T> {
    /// Makes an empty queue. With bounds of 0 no call can wait.
    pub fn new(bounds: Bounds) -> Self {
        let lines = HashMap::new();
        let round = VecDeque::new();
        Self { bounds, lines, round, visited: false, waiting: 0, last: Ticket::default(), quantum: 0 }
    }

    /// Sets the bounds. Calls that wait go on waiting.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a call at the end of its caller's line. If all lines together are full, the longest line gives up
    /// its newest call for a caller with a shorter line, so that the caller that causes the backlog bears it.
    ///
    /// # Errors
    /// The call, if its caller has as many waiting as it may, or no line is longer than its own would be.
    pub fn push(&mut self, caller: &K, call: T) -> Result<Waiting<T>, T> {
        let own = self.lines.get(caller).map_or(0, |line| line.calls.len());
        if own >= self.bounds.each {
            return Err(call);
        }
        let mut displaced = None;
        if self.waiting >= self.bounds.total {
            let longest = self.lines.iter().max_by_key(|(_, line)| line.calls.len());
            // A caller with a line as long as the longest is itself the backlog, so nothing is displaced for
            // it.
            let Some(longest) = longest.filter(|(_, line)| line.calls.len() > own + 1) else {
                return Err(call);
            };
            let longest = longest.0.clone();
            // More than one waits there, so the line stays.
            displaced =
                self.lines.get_mut(&longest).and_then(|line| line.calls.pop_back()).map(|(_, call)| call);
            self.waiting -= usize::from(displaced.is_some());
        }
        self.last.0 += 1;
        let ticket = self.last;
        let line = self.lines.entry(caller.clone()).or_default();
        if line.calls.is_empty() {
            self.round.push_back(caller.clone());
        }
        line.calls.push_back((ticket, call));
        self.waiting += 1;
        Ok(Waiting { ticket, displaced })
    }

    /// Takes the call whose turn it is; `None` if no call waits.
    pub fn take(&mut self) -> Option<Turn<K, T>> {
        let quantum = self.quantum.max(1);
        loop {
            let caller = self.round.front()?;
            // A caller is in the round as long as a call of it waits.
            let line = self.lines.get_mut(caller)?;
            if !self.visited {
                self.visited = true;
                // The debt is bounded when the quantum has shrunk since, so that a caller is not shut out for
                // many rounds.
                line.credit = line.credit.max(-MAX_CHARGE_QUANTA * quantum) + quantum;
            }
            // A caller of which nothing is known is charged the mean of all, and `settle` corrects it.
            let cost = line.cost.map_or(quantum, |cost| cost.min(MAX_CHARGE_QUANTA * quantum));
            if line.credit >= cost {
                let (_, call) = line.calls.pop_front()?;
                line.credit -= cost;
                line.running += 1;
                self.waiting -= 1;
                let caller = caller.clone();
                let charge = Charge(cost);
                if line.calls.is_empty() {
                    self.leave_round(0);
                    self.remove_if_idle(&caller);
                }
                return Some(Turn { caller, call, charge });
            }
            // The credit stays, so that a caller whose calls are long gathers it over several rounds (deficit
            // round robin).
            self.round.rotate_left(1);
            self.visited = false;
        }
    }

    /// Takes a call out of its line. Returns `None` if it waits no more.
    pub fn cancel(&mut self, caller: &K, ticket: Ticket) -> Option<T> {
        let line = self.lines.get_mut(caller)?;
        let place = line.calls.iter().position(|(own, _)| *own == ticket)?;
        let (_, call) = line.calls.remove(place)?;
        self.waiting -= 1;
        if line.calls.is_empty() {
            if let Some(place) = self.round.iter().position(|other| other == caller) {
                self.leave_round(place);
            }
            self.remove_if_idle(caller);
        }
        Some(call)
    }

    /// Settles a call that had its turn and has given its permit back after `took`: the difference to its
    /// charge is added to the caller's credit.
    pub fn settle(&mut self, caller: &K, charge: Charge, took: Duration) {
        let took = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX).clamp(1, MAX_CHARGE_NS);
        // The first measurement is taken whole: a mean that began at zero would be far too low for many
        // calls.
        self.quantum = if self.quantum == 0 { took } else { moving_average(self.quantum, took) };
        if let Some(line) = self.lines.get_mut(caller) {
            line.running = line.running.saturating_sub(1);
            line.cost = Some(line.cost.map_or(took, |cost| moving_average(cost, took)));
            let most = MAX_CHARGE_QUANTA * self.quantum;
            // Clamped on both sides, so that one very long call is not paid for without end.
            line.credit = (line.credit + charge.0 - took).clamp(-most, most);
            self.remove_if_idle(caller);
        }
    }

    /// Estimates how long one more call of `caller` would wait if `places` calls may run at once, from the
    /// moving average of all calls. It is zero until a call is measured.
    pub fn expected(&self, caller: &K, places: u32) -> Duration {
        let own = self.lines.get(caller).map_or(0, |line| line.calls.len());
        // One round for each of its own, of as many as have a line; and no more than wait in all.
        let ahead = ((own + 1) * (self.round.len() + usize::from(own == 0))).min(self.waiting + 1);
        let nanos = u64::try_from(self.quantum).unwrap_or(0).saturating_mul(ahead as u64);
        Duration::from_nanos(nanos / u64::from(places.max(1)))
    }

    fn leave_round(&mut self, place: usize) {
        self.round.remove(place);
        self.visited &= place > 0;
    }

    /// Removes a caller without waiting or running calls. Its positive credit ends with its line, so that
    /// idle callers cannot save up a burst; its debt ends only with its last running call.
    fn remove_if_idle(&mut self, caller: &K) {
        let Some(line) = self.lines.get_mut(caller).filter(|line| line.calls.is_empty()) else { return };
        line.credit = line.credit.min(0);
        if line.running == 0 {
            self.lines.remove(caller);
        }
    }
}

impl<T> Default for CallerQueue<T> {
    fn default() -> Self {
        Self { calls: VecDeque::new(), credit: 0, cost: None, running: 0 }
    }
}

/// Moves an average toward a measurement. Both are above zero, and so is the result.
fn moving_average(from: i64, to: i64) -> i64 {
    from + (to - from) / EWMA_DIVISOR
}

#[cfg(test)]
mod tests;
