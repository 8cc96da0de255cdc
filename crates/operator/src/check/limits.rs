//! Checks of limits: whether they are shared as configured, and which quotas are near their end.

use chapar_client::{GrantStatus, LimitStatus, Status};

use super::CheckId::{LimitsLeft, LimitsShared};
use super::Checks;

pub(super) fn check(checks: &mut Checks, gateway: &str, status: &Status) {
    match &status.shared_limits {
        Some(shared) if shared.is_up => {
            checks.good(LimitsShared, gateway, format!("shared among {} gateways", shared.gateways));
        }
        Some(shared) => checks.warn(
            LimitsShared,
            gateway,
            format!("Redis does not answer: this gateway admits 1/{} of each rate", shared.gateways),
            "start Redis, or look at the way to it; the gateway goes back to shared limits by itself",
        ),
        None => {}
    }
    let near: Vec<(&GrantStatus, &LimitStatus)> = status
        .grants
        .iter()
        .flat_map(|grant| grant.limits.iter().map(move |limit| (grant, limit)))
        .filter(|(_, limit)| is_quota(limit) && limit.left.saturating_mul(10) < limit.most)
        .collect();
    if near.is_empty() {
        checks.good(LimitsLeft, gateway, "every quota has a tenth or more left");
    }
    for (grant, limit) in near {
        checks.warn(
            LimitsLeft,
            &format!("{} at {gateway}", grant.id),
            format!("{} of {} left ({})", limit.left, limit.most, limit.limit),
            format!(
                "ask {} whether its work explains the use; a higher quota is a change of the registry",
                grant.to
            ),
        );
    }
}

/// A quota is spent over an hour or a day. A rate and concurrency come back within seconds, and being near
/// them is no finding.
fn is_quota(limit: &LimitStatus) -> bool {
    limit.kind == "daily" || limit.kind.starts_with("subjects")
}
