//! Checks of the policy: whether all gateways have the same registry in force, and what of it ends soon.

use std::collections::BTreeSet;

use super::CheckId::{RegistryEndings, RegistryInForce};
use super::{Checks, seen};
use crate::bus::{Answer, Seen};

/// Days before an end from which the check warns.
const ENDING_DAYS: i32 = 14;
/// Days after an end for which the check warns.
const ENDED_DAYS: i32 = 7;

/// Whether gateways have different registries in force.
pub(super) fn differ(answers: &[Answer<Seen>]) -> bool {
    digests(answers).len() > 1
}

fn digests(answers: &[Answer<Seen>]) -> BTreeSet<&str> {
    seen(answers).map(|(_, seen)| seen.status.registry_digest.as_str()).collect()
}

pub(super) fn check(checks: &mut Checks, answers: &[Answer<Seen>]) {
    let digests = digests(answers);
    // 12 digits tell generations apart, and fit a line.
    let short = |digest: &str| digest.chars().take("sha256:".len() + 12).collect::<String>();
    if digests.len() > 1 {
        let of_each = seen(answers)
            .map(|(gateway, seen)| format!("{gateway}: {}", short(&seen.status.registry_digest)));
        let text =
            format!("gateways decide by different registries: {}", of_each.collect::<Vec<_>>().join(", "));
        let fix = "bring the same registry to each gateway; one that refused a reload says why in its log";
        checks.fail(RegistryInForce, "all gateways", text, fix);
    } else if let Some((_, one)) = seen(answers).next() {
        let tests = one.status.registry_tests;
        let text = format!("{}, {tests} tests hold", short(&one.status.registry_digest));
        checks.good(RegistryInForce, "all gateways", text);
    }
    // The same registry ends the same way everywhere.
    let Some((_, first)) = seen(answers).next() else { return };
    let near = |days: i32| (-ENDED_DAYS..=ENDING_DAYS).contains(&days);
    let mut ending = first.status.endings.iter().filter(|ending| near(ending.days_left)).peekable();
    if ending.peek().is_none() {
        checks.good(RegistryEndings, "registry", format!("nothing ends within {ENDING_DAYS} days"));
    }
    for ending in ending {
        let when = match ending.days_left {
            ..0 => format!("ended on {}", ending.until),
            0 => "ends today".to_owned(),
            1 => "ends tomorrow".to_owned(),
            days => format!("ends in {days} days, on {}", ending.until),
        };
        let text = format!("{when} ({})", ending.whom);
        checks.warn(
            RegistryEndings,
            &ending.what,
            text,
            "agree on a new term and change the registry, or let it end",
        );
    }
}
