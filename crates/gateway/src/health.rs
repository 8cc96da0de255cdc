//! This module keeps the status that `grpc.health.v1` serves: a registered service is up while one endpoint
//! is connected and reports that it serves, and the gateway (the empty name) while it takes calls. Who sees
//! which service is decided in `own`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_evidence::{Condition, Log};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus::{NotServing, Serving};
use tonic_health::server::HealthReporter;

use crate::pipeline::Policy;

/// Keeps the health up to date until `stop`, and then reports that the gateway does not serve. It also
/// reports this while the evidence log takes no records, or adapters that dial are awaited (until `joined`),
/// because no call can be answered then.
pub(crate) async fn watch(
    policy: Arc<ArcSwap<Policy>>,
    log: Log,
    health: HealthReporter,
    joined: CancellationToken,
    stop: CancellationToken,
) {
    // While connections are open, health is out of date for 250 ms at most.
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let mut told = HashSet::new();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let policy = policy.load_full();
        // The stop is also watched here, because connecting to endpoints takes up to the connect timeout.
        let Some(now) = stop.run_until_cancelled(policy.upstreams.health()).await else { break };
        let registered: HashSet<String> = now.iter().map(|(service, _)| (*service).to_owned()).collect();
        for (service, up) in now {
            health.set_service_status(service, if up { Serving } else { NotServing }).await;
        }
        // A service that left the registry must become unknown. Its last status would otherwise stay for
        // ever.
        for gone in told.difference(&registered) {
            health.clone().clear_service_status(gone).await;
        }
        told = registered;
        let takes_calls = log.condition() == Condition::Ready && joined.is_cancelled();
        health.set_service_status("", if takes_calls { Serving } else { NotServing }).await;
    }
    for service in &told {
        health.set_service_status(service, NotServing).await;
    }
    health.set_service_status("", NotServing).await;
}
