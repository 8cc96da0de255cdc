//! The steps of `demo --redis`: one limit at all gateways, what they do without Redis, and a grant that is
//! suspended at all of them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::caller::{Asked, Caller, Refused};
use super::{Outcome, StepReport, show};
use crate::demo::bus::Bus;
use crate::demo::data::Sample;
use crate::demo::files::{LIMITED_BURST, LIMITED_GRANT, LIMITED_RATE};

/// Calls at each gateway, one after the other: all together well over the burst.
const CALLS: usize = 80;
/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(2);
/// How long a change may take until all gateways know it.
const WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// What a round of calls came to.
#[derive(Default)]
struct Round {
    answered: usize,
    refused: usize,
    longest: Duration,
}

async fn ask(bus: &Bus, caller: &Caller, applicant: &Sample) -> Result<(), Refused> {
    let fields = [("national_id", applicant.national_id.as_str())];
    let method = "civil.v1.CivilRegistry/GetPerson";
    let purpose = "benefit.eligibility";
    let asked = Asked { method, fields: &fields, purpose, on_behalf_of: None };
    caller.ask(bus.contract("civil"), &asked).await.map(drop)
}

impl Round {
    /// One call, which is answered or over the rate.
    async fn call(&mut self, bus: &Bus, caller: &Caller, applicant: &Sample) -> Result<(), String> {
        let started = Instant::now();
        match ask(bus, caller, applicant).await {
            Ok(()) => self.answered += 1,
            Err(refused) if refused.reason == "RATE_LIMITED" => self.refused += 1,
            // A busy machine's gateway sheds before it looks at the limit.
            Err(refused) if refused.reason == "OVERLOADED" => {}
            Err(other) => return Err(format!("one was refused otherwise: {other}")),
        }
        self.longest = self.longest.max(started.elapsed());
        Ok(())
    }
}

fn at_most(took: Duration) -> usize {
    LIMITED_BURST as usize + (took.as_secs_f64() * f64::from(LIMITED_RATE)).ceil() as usize
}

/// All gateways together answer one burst and what the rate adds.
pub(super) async fn limit(bus: &Bus, welfare: &[Caller], applicant: &Sample) -> Outcome {
    shared(bus, "limits are not shared").await?;
    let started = Instant::now();
    let mut round = Round::default();
    for _ in 0..CALLS {
        for caller in welfare {
            round.call(bus, caller, applicant).await?;
        }
    }
    let took = started.elapsed();
    let gateways = welfare.len();
    let most = at_most(took);
    let Round { answered, refused, .. } = round;
    if answered == 0 || refused == 0 || answered > most {
        return Err(format!("{answered} were answered in {}, and at most {most} may", show::span(took)));
    }
    Ok(StepReport {
        outcome: format!(
            "{answered} answered at {gateways} gateways together, {refused} refused with RATE_LIMITED"
        ),
        lines: vec![format!(
            "{LIMITED_GRANT} allows {LIMITED_RATE} a second and {LIMITED_BURST} at once, whichever gateway is asked"
        )],
        detail: json!({ "gateways": gateways, "answered": answered, "refused": refused, "most": most }),
    })
}

/// Without Redis calls go on, each gateway within its share, and all is shared again when it is back.
pub(super) async fn outage(bus: &Bus, welfare: &[Caller], applicant: &Sample) -> Outcome {
    let Some(redis) = bus.redis() else { return Err("there is no Redis".to_owned()) };
    redis.close();
    let started = Instant::now();
    let mut round = Round::default();
    let mut calls = Ok(());
    while calls.is_ok() && started.elapsed() < AWAY {
        for caller in welfare {
            calls = calls.and(round.call(bus, caller, applicant).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let was_shared = bus.shares_limits();
    // It is given back before anything is judged, so that a failed step does not leave it away.
    redis.open();
    calls?;
    let took = started.elapsed();
    let most = at_most(started.elapsed());
    let Round { answered, longest, .. } = round;
    if was_shared || answered == 0 || answered > most {
        return Err(format!(
            "{answered} were answered in {} without Redis, and at most {most} may",
            show::span(took)
        ));
    }
    let back = Instant::now();
    shared(bus, "limits are not shared again").await?;
    Ok(StepReport {
        outcome: format!(
            "{answered} answered in {} without Redis, the slowest in {}; shared again after {}",
            show::span(took),
            show::span(longest),
            show::span(back.elapsed())
        ),
        lines: vec![format!("each gateway goes on with its part of the limit, 1 of {}", welfare.len())],
        detail: json!({ "answered": answered, "longest_ms": show::millis(longest), "back_after_ms": show::millis(back.elapsed()) }),
    })
}

/// Waits until each gateway shares its limits with all others.
async fn shared(bus: &Bus, otherwise: &str) -> Result<(), String> {
    let started = Instant::now();
    while !bus.shares_limits() {
        if started.elapsed() > WITHIN {
            let within = show::span(WITHIN);
            return Err(format!("{otherwise} after {within}: is there a Redis, and does it let anyone in?"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A suspended grant is refused at every gateway, and granted again when the suspension is taken away.
pub(super) async fn suspended(bus: &Bus, welfare: &[Caller], applicant: &Sample) -> Outcome {
    let file = bus.suspend(LIMITED_GRANT).map_err(|failure| failure.report.to_string())?;
    let refused = all(bus, welfare, applicant, true).await;
    let lifted = std::fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()));
    let refused = refused?;
    lifted?;
    let granted = all(bus, welfare, applicant, false).await?;
    Ok(StepReport {
        outcome: format!(
            "refused with SUSPENDED at {} gateways after {}, and no longer {} after it was lifted",
            welfare.len(),
            show::span(refused),
            show::span(granted)
        ),
        lines: vec![format!("{LIMITED_GRANT} in suspensions.toml, as `chapar registry suspend` writes it")],
        detail: json!({ "refused_after_ms": show::millis(refused), "granted_after_ms": show::millis(granted) }),
    })
}

/// The time until all gateways refuse as suspended, or none does.
async fn all(bus: &Bus, welfare: &[Caller], applicant: &Sample, suspended: bool) -> Result<Duration, String> {
    let started = Instant::now();
    for caller in welfare {
        loop {
            let refused = ask(bus, caller, applicant).await.err();
            if refused.is_some_and(|refused| refused.reason == "SUSPENDED") == suspended {
                break;
            }
            if started.elapsed() > WITHIN {
                return Err(format!("a gateway does not know of the change after {}", show::span(WITHIN)));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(started.elapsed())
}
