//! Tests that what was acknowledged survives `kill -9`. The long run is a command of its own
//! (`tests/README.md`).

use std::time::Duration;

use chapar_tests::fleet::kills::{Plan, run};

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_when_the_gateway_is_killed() {
    let report = run(&Plan { cycles: 6, callers: 8, under_load: Duration::from_millis(100) }).await;
    assert!(
        report.acknowledged > 100 && report.receipts > 0,
        "{} calls were acknowledged",
        report.acknowledged
    );
    assert_eq!((report.lost, report.contradicted), (0, 0));
    assert!(report.checkpoints >= 6 && report.entries >= report.acknowledged as u64);
}
