//! `watch` compares every method with its live database again and again, and opens and closes methods and
//! their health by what it finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::published::PublishedMethod;
use crate::service::Calls;

/// Time between two comparisons while all is well. Each prepares every statement and runs it once.
const EVERY: Duration = Duration::from_secs(60);
/// Time between two comparisons while a method is closed, so that it opens soon after it fits again.
const EVERY_WHILE_CLOSED: Duration = Duration::from_secs(5);
/// Shortest time between two comparisons, however many calls meet a changed schema.
const SHORTEST: Duration = Duration::from_secs(1);

/// Compares until `ended`.
pub(crate) async fn watch(calls: Calls, health: Arc<Health>, ended: CancellationToken) {
    let watching = async {
        loop {
            let all_open = calls.methods().iter().all(|method| method.is_open());
            let pause = if all_open { EVERY } else { EVERY_WHILE_CLOSED };
            // A call that meets a changed schema brings the next comparison forward.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = calls.drift() => tokio::time::sleep(SHORTEST).await,
            }
            look(&calls, &health).await;
        }
    };
    ended.run_until_cancelled(watching).await;
}

/// Compares every method once.
pub(crate) async fn look(calls: &Calls, health: &Health) {
    let methods = calls.methods();
    let mut has_changed = false;
    for method in &methods {
        // One after the other, so that a comparison takes at most one connection more.
        has_changed |= method.look().await;
    }
    // A reload meanwhile has brought other methods, and told their health itself.
    let are_same = calls.methods().iter().zip(&methods).all(|(now, then)| Arc::ptr_eq(now, then));
    if has_changed && are_same {
        health.serves(&statuses(&methods)).await;
    }
}

/// Which services and methods are served, by the names that `grpc.health.v1` is asked with: `PACKAGE.Service`,
/// which is served while any of its methods is, and `PACKAGE.Service/Method`.
pub(crate) fn statuses(methods: &[Arc<PublishedMethod>]) -> BTreeMap<String, bool> {
    let mut statuses = BTreeMap::new();
    for method in methods {
        let is_open = method.is_open();
        statuses.insert(method.path().to_string(), is_open);
        *statuses.entry(method.path().service().to_owned()).or_insert(false) |= is_open;
    }
    statuses
}
