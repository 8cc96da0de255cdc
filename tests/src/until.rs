//! This module waits for what a test cannot be told of: it looks again and again, and says what did not come
//! and how things stood.

use std::time::Duration;

/// Pause between two looks.
const EVERY: Duration = Duration::from_millis(20);

/// Waits until `state` holds.
///
/// # Panics
/// If it does not within `limit`, with `what` was waited for and `detail` of how it stands then.
pub async fn until(
    what: &str,
    limit: Duration,
    mut state: impl AsyncFnMut() -> bool,
    detail: impl Fn() -> String,
) {
    until_some(what, limit, async || state().await.then_some(()), detail).await;
}

/// Waits until `poll` gives something.
///
/// # Panics
/// If it does not within `limit`, with `what` was waited for and `detail` of how it stands then.
pub async fn until_some<T>(
    what: &str,
    limit: Duration,
    mut poll: impl AsyncFnMut() -> Option<T>,
    detail: impl Fn() -> String,
) -> T {
    let polling = async {
        loop {
            if let Some(found) = poll().await {
                return found;
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    match tokio::time::timeout(limit, polling).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {limit:?}\n{}", detail()),
    }
}
