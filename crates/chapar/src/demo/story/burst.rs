//! Step 4 makes more calls at once than the grant allows.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::caller::{Answer, Asked, Caller, Refused};
use super::{Outcome, StepReport, show};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;
use crate::demo::files::{LIMITED_BURST, LIMITED_GRANT, LIMITED_RATE};

/// Calls made: well over the burst.
const CALLS: usize = 100;
/// How often a call is made again that the gateway shed, and after what time if it does not say.
const MOST_SHED: usize = 20;
const AGAIN: Duration = Duration::from_millis(100);
/// Calls at once, fewer than the grant's limit of concurrent calls.
const AT_ONCE: usize = 20;

/// Calls again that a busy machine's gateway sheds before it looks at the limit, when it says so.
async fn ask(bus: &Bus, welfare: &Caller, asked: &Asked<'_>) -> Result<Answer, Refused> {
    for _ in 0..MOST_SHED {
        match welfare.ask(bus.contract("civil"), asked).await {
            Err(refused) if refused.reason == "OVERLOADED" => {
                tokio::time::sleep(refused.retry_after.unwrap_or(AGAIN)).await;
            }
            other => return other,
        }
    }
    welfare.ask(bus.contract("civil"), asked).await
}

/// The burst is answered and what the rate adds while it lasts; all others are refused, each told when to
/// come back.
pub(super) async fn step(bus: &Bus, welfare: &Caller, applicant: &Sample) -> Outcome {
    let fields = [("national_id", applicant.national_id.as_str())];
    let asked = Asked {
        method: "civil.v1.CivilRegistry/GetPerson",
        fields: &fields,
        purpose: "benefit.eligibility",
        on_behalf_of: None,
    };
    let started = Instant::now();
    // Lanes keep the calls in flight under the limit of concurrent calls, so that the rate alone refuses.
    let lanes = (0..AT_ONCE).map(|_| async {
        let mut results = Vec::new();
        for _ in 0..CALLS / AT_ONCE {
            results.push(ask(bus, welfare, &asked).await);
        }
        results
    });
    let results: Vec<_> = join_all(lanes).await.into_iter().flatten().collect();
    let took = started.elapsed();
    let answered = results.iter().filter(|result| result.is_ok()).count();
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    // Any other refusal would mean that something else than the limit was tested.
    if let Some(other) = refused.iter().find(|refused| refused.reason != "RATE_LIMITED") {
        return Err(format!("one was refused otherwise: {other}"));
    }
    let waits: Vec<Duration> = refused.iter().filter_map(|refused| refused.retry_after).collect();
    let longest = waits.iter().max().copied().unwrap_or_default();
    // The rate goes on filling the bucket while the burst lasts, so a slow machine may see more answers.
    let added = (took.as_secs_f64() * f64::from(LIMITED_RATE)).ceil() as usize;
    let most = LIMITED_BURST as usize + added + 1;
    if refused.is_empty() || answered > most || answered == 0 {
        return Err(format!(
            "{answered} of {CALLS} were answered in {}, and at most {most} may",
            show::span(took)
        ));
    }
    if waits.len() != refused.len() || longest.is_zero() {
        return Err("a refusal did not say when to come back".to_owned());
    }
    Ok(StepReport {
        outcome: format!("{answered} of {CALLS} answered, {} refused with RATE_LIMITED", refused.len()),
        lines: vec![
            format!("{LIMITED_GRANT} allows {LIMITED_RATE} a second and {LIMITED_BURST} at once"),
            format!("come back in {} at the latest", show::span(longest)),
        ],
        detail: json!({
            "calls": CALLS, "answered": answered, "refused": refused.len(), "reason": "RATE_LIMITED",
            "retry_after_ms": show::millis(longest),
        }),
    })
}
