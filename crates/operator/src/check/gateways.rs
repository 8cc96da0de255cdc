//! Checks of the gateways themselves: whether each answers, takes calls, and has this machine's time.

use std::collections::BTreeSet;

use chapar_client::CallError;
use jiff::Timestamp;

use super::CheckId::{GatewayClock, GatewayReachable, GatewayReady, GatewayVersion};
use super::{Checks, seen};
use crate::bus::{Answer, Seen};

/// Clock difference in milliseconds from which the check warns. Validity of certificates and grants, request
/// ids and the times in records go by the gateway's clock.
const CLOCK_WARNING_MS: i64 = 2_000;
/// Clock difference in milliseconds from which the check fails: revocation lists are taken with 5 minutes of
/// skew, and quotas change their day by it.
const CLOCK_FAILURE_MS: i64 = 60_000;

pub(super) fn check(checks: &mut Checks, answers: &[Answer<Seen>]) {
    for Answer { gateway, answer } in answers {
        match answer {
            Ok(seen) => {
                checks.good(GatewayReachable, gateway, format!("answers in {} ms", seen.took.as_millis()));
                ready(checks, gateway, seen);
                clock(checks, gateway, seen);
            }
            Err(error) => checks.fail(GatewayReachable, gateway, error.to_string(), advice(gateway, error)),
        }
    }
    let versions: BTreeSet<&str> = seen(answers).map(|(_, seen)| seen.status.version.as_str()).collect();
    let list = versions.iter().copied().collect::<Vec<_>>().join(", ");
    match versions.len() {
        0 => {}
        1 => checks.good(GatewayVersion, "all gateways", list),
        _ => checks.warn(
            GatewayVersion,
            "all gateways",
            format!("different versions run: {list}"),
            "finish the upgrade: install one version on all gateways and restart them one after the other",
        ),
    }
}

fn ready(checks: &mut Checks, gateway: &str, seen: &Seen) {
    if seen.status.is_ready {
        checks.good(GatewayReady, gateway, "takes calls");
    } else {
        let why = seen.status.not_ready.as_str();
        let fix = match why {
            "stopping" => "it was told to stop; start it again if that was not meant",
            _ if why.contains("adapters") => {
                "start the adapters that dial, or look in their logs why they are turned away"
            }
            _ => "make room on the evidence log's disk, or replace the disk; the gateway's log has the error",
        };
        checks.fail(GatewayReady, gateway, format!("takes no calls: {why}"), fix);
    }
}

fn clock(checks: &mut Checks, gateway: &str, seen: &Seen) {
    let now = Timestamp::from_millisecond(seen.status.now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let ahead = now.as_millisecond().saturating_sub(seen.at.as_millisecond());
    // The answer may have been given at any time between question and answer.
    let unsure = i64::try_from(seen.took.as_millis()).unwrap_or(i64::MAX) / 2;
    let apart = ahead.abs().saturating_sub(unsure);
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let text = format!("{:.1} s {direction} this machine", ahead.unsigned_abs() as f64 / 1e3);
    let fix = "synchronise the clocks of both machines (`timedatectl set-ntp true`)";
    if apart >= CLOCK_FAILURE_MS {
        checks.fail(GatewayClock, gateway, text, fix);
    } else if apart >= CLOCK_WARNING_MS {
        checks.warn(GatewayClock, gateway, text, fix);
    } else {
        checks.good(GatewayClock, gateway, "has this machine's time");
    }
}

/// What to do about a gateway that does not answer.
fn advice(gateway: &str, error: &CallError) -> String {
    match error {
        CallError::Refused(refusal) if refusal.reason == "NOT_GRANTED" => {
            "give this identity the role `viewer` by `[[operator]]` in the registry's bus.toml".to_owned()
        }
        CallError::Refused(refusal) if refusal.reason == "RATE_LIMITED" => {
            "ask again in some seconds: this identity, or a console under it, has asked too much".to_owned()
        }
        CallError::Refused(_) => "see the page of the reason in docs/errors".to_owned(),
        _ => format!(
            "if nothing listens there, start the gateway; else see by `chapar doctor connect --gateway {gateway}` with \
             your other options where the way to it ends"
        ),
    }
}
