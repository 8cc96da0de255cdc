//! `watch` compares every method with its live database again and again, and opens and closes methods and
//! their health by what it finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::published::PublishedMethod;
use crate::service::Calls;

/// Time between two comparisons while all is well. Each prepares every statement and runs it once.
const COMPARE_INTERVAL: Duration = Duration::from_secs(60);
/// Time between two comparisons while a method is closed, so that it opens soon after it fits again.
const EVERY_WHILE_CLOSED: Duration = Duration::from_secs(5);
/// Shortest time between two comparisons, however many calls meet a changed schema.
const MIN_COMPARE_INTERVAL: Duration = Duration::from_secs(1);

/// Compares until `ended`.
pub(crate) async fn watch(calls: Calls, health: Arc<Health>, ended: CancellationToken) {
    let watching = async {
        let mut every =
            tokio::time::interval_at(tokio::time::Instant::now() + COMPARE_INTERVAL, COMPARE_INTERVAL);
        // After a comparison that took long the next tick is a whole interval later.
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut patience = MIN_COMPARE_INTERVAL;
        loop {
            let is_any_closed = !calls.methods().iter().all(|method| method.is_open());
            let (which, is_called_for) = tokio::select! {
                _ = every.tick() => (Which::All, false),
                () = tokio::time::sleep(EVERY_WHILE_CLOSED), if is_any_closed => (Which::Closed, false),
                // A call that meets a changed schema brings the next comparison forward.
                () = calls.drift() => {
                    tokio::time::sleep(patience).await;
                    (Which::All, true)
                }
            };
            let calls = calls.clone();
            let health = Arc::clone(&health);
            let runtime = Handle::current();
            // A comparison may block, and calls, connections and the end of the adapter must not wait for it.
            let looking =
                tokio::task::spawn_blocking(move || runtime.block_on(look(&calls, &health, which))).await;
            // Calls can meet what no comparison finds, such as another contract at the gateway: they must not
            // make the adapter run every statement again and again.
            patience = match looking {
                Ok(false) if is_called_for => (patience * 2).min(COMPARE_INTERVAL),
                _ => MIN_COMPARE_INTERVAL,
            };
        }
    };
    ended.run_until_cancelled(watching).await;
}

/// Which methods are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    All,
    Closed,
}

/// Compares methods once. Returns whether one was opened or closed.
pub(crate) async fn look(calls: &Calls, health: &Health, which: Which) -> bool {
    let mut has_changed = false;
    let methods = calls.methods();
    for method in methods.iter().filter(|method| which == Which::All || !method.is_open()) {
        // One after the other, so that a comparison takes at most one connection more.
        has_changed |= method.look().await;
    }
    if has_changed {
        // A reload meanwhile has brought other methods; those that are served now count.
        health.serves(|| statuses(&calls.methods())).await;
    }
    has_changed
}

/// Which services and methods are served, by the names that `grpc.health.v1` is asked with:
/// `PACKAGE.Service`, which is served while any of its methods is, and `PACKAGE.Service/Method`.
pub(crate) fn statuses(methods: &[Arc<PublishedMethod>]) -> BTreeMap<String, bool> {
    let mut statuses = BTreeMap::new();
    for method in methods {
        let is_open = method.is_open();
        statuses.insert(method.path().to_string(), is_open);
        *statuses.entry(method.path().service().to_owned()).or_insert(false) |= is_open;
    }
    statuses
}
