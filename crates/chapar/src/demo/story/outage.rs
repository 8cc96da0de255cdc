//! Step 5 stops one agency's adapter. Questions to that agency are refused with a clear reason, and all
//! others are answered. Then the adapter is started again.

use std::time::{Duration, Instant};

use serde_json::json;

use super::caller::Caller;
use super::lookup::{self, Found, QUESTIONS};
use super::{Outcome, StepReport, show};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;

/// The agency that goes down.
const DOWN: &str = "health";
/// What its callers are told.
const EXPECTED: &str = "ADAPTER_UNAVAILABLE";
/// How long it may take until the bus uses it again.
const BACK_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn step(bus: &mut Bus, counter: &Caller, applicant: &Sample) -> Outcome {
    bus.stop_adapter(DOWN).await.map_err(|failure| failure.report.to_string())?;
    let found = lookup::ask_all(bus, counter, applicant).await;
    // The adapter is started again before its absence is judged, so that a failed step does not leave it
    // stopped.
    let restarted = bus.start_adapter(DOWN).await.map_err(|failure| failure.report.to_string());
    let (answered, reason) = judge(&found?)?;
    restarted?;

    let started = Instant::now();
    let back = loop {
        // Asked again until it works: the adapter joins the gateway by itself, after a pause of its back-off.
        let found = lookup::ask_all(bus, counter, applicant).await?;
        let refused =
            found.iter().find_map(|found| found.result.as_ref().err().map(|refused| (found, refused)));
        match refused {
            None => break started.elapsed(),
            Some((found, refused)) if started.elapsed() > BACK_WITHIN => {
                return Err(format!(
                    "{} is still refused after {}: {refused}",
                    found.question.method,
                    show::span(BACK_WITHIN)
                ));
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    Ok(StepReport {
        outcome: format!(
            "{answered} answered without it, 1 refused with {EXPECTED}; back after {}",
            show::span(back)
        ),
        lines: vec![format!("{DOWN}: {reason}")],
        detail: json!({
            "down": DOWN, "reason": EXPECTED, "answered": answered, "refused": 1, "back_after_ms": show::millis(back),
        }),
    })
}

/// How many were answered, and what the one refusal says.
fn judge(found: &[Found]) -> Result<(usize, String), String> {
    let mut message = None;
    for Found { question, result, .. } in found {
        match (result, question.register == DOWN) {
            (Ok(_), false) => {}
            (Ok(_), true) => {
                return Err(format!("{} was answered while its adapter was down", question.method));
            }
            (Err(refused), true) if refused.reason == EXPECTED => message = Some(refused.message.clone()),
            (Err(refused), _) => return Err(format!("{} was refused: {refused}", question.method)),
        }
    }
    let message = message.ok_or("nothing was asked of the agency that is down")?;
    Ok((QUESTIONS.len() - 1, message))
}
