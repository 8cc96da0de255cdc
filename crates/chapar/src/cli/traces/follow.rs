//! `chapar traces --follow` shows calls as they end: it asks every gateway once a second for its newest ones,
//! and shows those that it has not shown.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chapar_client::{CallSummary, TraceFilter};
use chapar_operator::{Answer, Bus};

use crate::exit::{Exit, Failure, Outcome};
use crate::{out, signal};

/// Time between two questions to the gateways.
const EVERY: Duration = Duration::from_secs(1);
/// Calls that a gateway is asked for at once: the most that it answers.
const MOST: u32 = 500;

/// Shows calls that begin to be kept after this moment, for `how_long` or until SIGINT or SIGTERM.
pub(super) async fn run(
    bus: &Bus,
    filter: TraceFilter,
    how_long: Duration,
    show: impl Fn(&str, &CallSummary),
) -> Outcome {
    let stop = signal::stop()?;
    let filter = TraceFilter { limit: MOST, ..filter };
    let until = Instant::now().checked_add(how_long).ok_or_else(|| Failure::usage("`--for` is too long"))?;
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let mut silent = HashSet::new();
    while Instant::now() < until && !stop.is_cancelled() {
        let answers = bus.traces(&filter).await;
        let mut fresh = Vec::new();
        for Answer { gateway, answer } in &answers {
            match answer {
                Ok(list) => {
                    silent.remove(gateway);
                    // What a gateway has at its first answer has ended before, and is not shown.
                    let new = seen.get(gateway).map(|seen| seen.new_of(&list.calls)).unwrap_or_default();
                    if !new.is_empty()
                        && new.len() == list.calls.len()
                        && seen.get(gateway).is_some_and(Seen::had_any)
                    {
                        out::say(format_args!(
                            "{gateway}: more calls in a second than it keeps or than {MOST}; some are not shown, narrow the filter"
                        ));
                    }
                    fresh.extend(new.into_iter().map(|call| (gateway.as_str(), call)));
                    seen.insert(gateway.clone(), Seen::of(&list.calls));
                }
                // Once for each time that it goes silent. What it had shown is known when it is back.
                Err(error) => {
                    if silent.insert(gateway.clone()) {
                        out::say(error);
                    }
                }
            }
        }
        fresh.sort_by_key(|(_, call)| end_us(call));
        fresh.into_iter().for_each(|(gateway, call)| show(gateway, call));
        stop.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
    Ok(if silent.is_empty() { Exit::Ok } else { Exit::Unreachable })
}

/// How long before the newest known call another one may have ended and still be new, in microseconds: calls
/// are kept when their spans end, which may be in another order. An older one was pushed out and has come
/// back into the list.
const LATE_US: u64 = 10_000_000;

/// What a gateway's last answer held.
struct Seen {
    calls: HashSet<String>,
    newest_us: u64,
}

impl Seen {
    fn of(calls: &[CallSummary]) -> Self {
        Self {
            calls: calls.iter().map(|call| call.call_id.clone()).collect(),
            newest_us: calls.iter().map(end_us).max().unwrap_or_default(),
        }
    }

    fn had_any(&self) -> bool {
        !self.calls.is_empty()
    }

    fn new_of<'a>(&self, calls: &'a [CallSummary]) -> Vec<&'a CallSummary> {
        let is_late = |call: &CallSummary| end_us(call).saturating_add(LATE_US) < self.newest_us;
        calls.iter().filter(|call| !self.calls.contains(&call.call_id) && !is_late(call)).collect()
    }
}

fn end_us(call: &CallSummary) -> u64 {
    call.start_us.saturating_add(call.duration_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, start_us: u64) -> CallSummary {
        CallSummary { call_id: id.to_owned(), start_us, ..Default::default() }
    }

    #[test]
    fn a_call_is_new_if_it_was_not_seen_and_is_not_one_that_came_back() {
        let seen = Seen::of(&[call("a", 60_000_000), call("b", 70_000_000)]);
        let now =
            [call("c", 71_000_000), call("b", 70_000_000), call("late", 65_000_000), call("old", 5_000_000)];
        let new: Vec<&str> = seen.new_of(&now).into_iter().map(|call| call.call_id.as_str()).collect();
        assert_eq!(new, ["c", "late"]);
        assert_eq!(Seen::of(&[]).new_of(&now).len(), 4, "all are new to who has seen none");
    }
}
