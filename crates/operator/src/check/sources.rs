//! Checks of the services: whether each can be reached from each gateway, and whether circuit breakers are
//! open.

use super::CheckId::{ServiceBreaker, ServiceUp};
use super::{Checks, seen};
use crate::bus::{Answer, Seen};

pub(super) fn check(checks: &mut Checks, answers: &[Answer<Seen>]) {
    for (gateway, seen) in seen(answers) {
        for service in &seen.status.services {
            let of = format!("{} at {gateway}", service.name);
            match service.up {
                0 => checks.fail(
                    ServiceUp,
                    &of,
                    format!("no endpoint of {} serves", service.provider),
                    format!(
                        "ask {} whether its adapter runs and what its log says; calls are refused as ADAPTER_UNAVAILABLE",
                        service.provider
                    ),
                ),
                1 => checks.good(ServiceUp, &of, "1 endpoint serves"),
                up => checks.good(ServiceUp, &of, format!("{up} endpoints serve")),
            }
            if service.ejected > 0 {
                checks.warn(
                    ServiceBreaker,
                    &of,
                    format!("{} of its endpoints have an open circuit breaker of some caller", service.ejected),
                    "look at its refused and slow calls (`chapar traces --outcome refused`): a breaker opens after failures \
                     and closes by itself",
                );
            }
        }
        if !seen.status.services.is_empty() && seen.status.services.iter().all(|service| service.ejected == 0)
        {
            checks.good(ServiceBreaker, gateway, "no circuit breaker is open");
        }
    }
}
