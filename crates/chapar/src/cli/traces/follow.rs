//! `chapar traces --follow` shows calls as they end: it asks every gateway once a second for its newest ones,
//! and shows those that it has not shown.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chapar_client::{CallSummary, TraceFilter};
use chapar_operator::{Bus, newest};

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
    // What is there at the beginning has ended before, and is not shown.
    let mut shown: Option<HashSet<String>> = None;
    let mut silent = HashSet::new();
    while Instant::now() < until && !stop.is_cancelled() {
        let answers = bus.traces(&filter).await;
        let mut now = HashSet::new();
        for (gateway, call) in newest(&answers, usize::MAX).into_iter().rev() {
            let is_new = shown.as_ref().is_some_and(|shown| !shown.contains(&call.call_id));
            if is_new {
                show(gateway, call);
            }
            now.insert(call.call_id.clone());
        }
        for answer in &answers {
            match &answer.answer {
                Ok(list) => {
                    silent.remove(&answer.gateway);
                    let is_full = list.calls.len() == MOST as usize;
                    let all_new = |shown: &HashSet<String>| {
                        list.calls.iter().all(|call| !shown.contains(&call.call_id))
                    };
                    if is_full && shown.as_ref().is_some_and(all_new) {
                        out::say(format_args!(
                            "{}: more than {MOST} calls in a second; some are not shown, narrow the filter",
                            answer.gateway
                        ));
                    }
                }
                // Told once for each time that it goes silent. What it kept is known when it is back.
                Err(error) => {
                    if silent.insert(answer.gateway.clone()) {
                        out::say(error);
                    }
                    now.extend(shown.iter().flatten().cloned());
                }
            }
        }
        shown = Some(now);
        stop.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
    Ok(if silent.is_empty() { Exit::Ok } else { Exit::Unreachable })
}
