//! This module waits for the adapters that dial: the gateway is ready once each service that only they can
//! answer has one, or after 10 s.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::pipeline::Policy;

/// Maximum time for which a gateway reports that it is not ready because adapters have not joined. It is
/// bounded, so that an agency whose adapter is down does not hold up the others.
const ADAPTERS_WAIT: Duration = Duration::from_secs(10);
/// Maximum time for which the gateway does not accept callers, so that another process on the shared port
/// takes them. It is shorter, because there may be no other process.
const OPENS_WITHIN: Duration = Duration::from_secs(3);
/// Interval at which the adapters are checked.
const ADAPTERS_LOOK: Duration = Duration::from_millis(20);

/// `Joining` reports whether the adapters that dial have joined.
#[derive(Clone)]
pub(super) struct Joining {
    pub(super) done: CancellationToken,
    /// Cancelled when the gateway accepts callers.
    pub(super) open: CancellationToken,
}

impl Joining {
    /// Waits for an adapter of each service that only adapters who dial can answer, for a bounded time: an
    /// agency whose adapter is away must not hold up the others.
    pub(super) async fn wait(self, policy: Arc<ArcSwap<Policy>>, ended: CancellationToken) {
        let open = self.open.clone();
        let opening = async move {
            tokio::time::sleep(OPENS_WITHIN).await;
            open.cancel();
        };
        tokio::spawn(ended.clone().run_until_cancelled_owned(opening));
        let all_there = async {
            while policy.load().upstreams.waits_for_adapters() {
                tokio::time::sleep(ADAPTERS_LOOK).await;
            }
        };
        if let Some(Err(_)) = ended.run_until_cancelled(tokio::time::timeout(ADAPTERS_WAIT, all_there)).await
        {
            tracing::warn!(
                "the gateway is ready, although no adapter has joined for some services: calls to them are \
                 refused until one joins"
            );
        }
        self.open.cancel();
        self.done.cancel();
    }
}
