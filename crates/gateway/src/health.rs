//! `grpc.health.v1` of the gateway: of each registered service, whether it has an adapter that can be reached; of the gateway
//! itself (the empty name), whether it takes calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_evidence::{Condition, Log};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus::{NotServing, Serving};
use tonic_health::server::HealthReporter;

use crate::policy::Policy;

/// Keeps the health up to date until `stop`, and then says that the gateway takes no more.
/// While the evidence log takes no records, no call can be answered, and the gateway says so.
pub(crate) async fn watch(policy: Arc<ArcSwap<Policy>>, log: Log, health: HealthReporter, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let mut told = HashSet::new();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let policy = policy.load_full();
        let Some(now) = stop.run_until_cancelled(policy.upstreams.health()).await else { break };
        let registered: HashSet<String> = now.iter().map(|(service, _)| (*service).to_owned()).collect();
        for (service, up) in now {
            health.set_service_status(service, if up { Serving } else { NotServing }).await;
        }
        for gone in told.difference(&registered) {
            health.clone().clear_service_status(gone).await;
        }
        told = registered;
        let takes_calls = log.condition() == Condition::Ready;
        health.set_service_status("", if takes_calls { Serving } else { NotServing }).await;
    }
    for service in &told {
        health.set_service_status(service, NotServing).await;
    }
    health.set_service_status("", NotServing).await;
}
