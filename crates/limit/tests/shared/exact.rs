//! While Redis answers, gateways admit together what one would admit alone.

use std::time::{Duration, Instant};

use chapar_test_servers::Redis;

use crate::replica::{Replica, hammered, limits, prefix, server};

/// Time after which tokens that nobody used have gone back.
const SETTLED: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread")]
async fn gateways_admit_one_burst_together_whoever_is_asked() {
    for shares in [[40, 0, 0], [20, 20, 0], [1, 38, 1], [14, 13, 13]] {
        let replicas: [Replica; 3] =
            Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 40)).await;
        for (replica, calls) in replicas.iter().zip(shares) {
            for _ in 0..calls {
                assert!(replica.admits().await, "{shares:?}");
            }
            tokio::time::sleep(SETTLED).await;
        }
        for replica in &replicas {
            assert!(!replica.admits().await, "{shares:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_come_at_the_same_time_are_admitted_no_more_than_the_burst() {
    let replicas: [Replica; 4] =
        Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 100)).await;
    let mut calls = tokio::task::JoinSet::new();
    for at in 0..800 {
        let replica = &replicas[at % 4];
        let (limiter, grant) = (std::sync::Arc::clone(&replica.limiter), replica.grant.clone());
        calls.spawn(async move { limiter.admit(&grant).await.is_ok() });
    }
    let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept_by_all_together() {
    let replicas: [Replica; 2] =
        Replica::patient(Redis::shared().port(), &prefix(), limits("200/s", 20)).await;
    let began = Instant::now();
    let (admitted, _) = hammered(&replicas, Duration::from_millis(1), Duration::from_secs(3)).await;
    let allowed = 20.0 + 200.0 * began.elapsed().as_secs_f64();
    assert!(f64::from(admitted) <= allowed, "{admitted} of {allowed}");
    assert!(f64::from(admitted) >= 0.8 * allowed, "{admitted} of {allowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_steady_state_calls_find_their_tokens_here() {
    let replica = Replica::start(server(Redis::shared().port()), &prefix(), limits("4000/s", 4000), 1).await;
    // The first lease tells the speed.
    hammered(std::slice::from_ref(&replica), Duration::from_millis(1), Duration::from_millis(500)).await;
    let before = replica.shared.usage();
    let mut calls = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        assert!(replica.admits().await);
        calls += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let after = replica.shared.usage();
    let commands = after.commands.0 - before.commands.0;
    assert!(commands * 4 < calls, "{commands} commands for {calls} calls");
    let waits = after.waits - before.waits;
    assert!(waits * 100 < calls, "{waits} of {calls} calls waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_told_when_the_next_one_passes() {
    let replicas: [Replica; 2] =
        Replica::patient(Redis::shared().port(), &prefix(), limits("30/min", 1)).await;
    assert!(replicas[0].admits().await);
    let wait = replicas[1].refusal().await;
    assert!(wait > Duration::from_millis(100) && wait <= Duration::from_secs(2), "{wait:?}");
    tokio::time::sleep(wait).await;
    assert!(replicas[1].admits().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_gives_its_tokens_back_and_is_no_longer_counted() {
    let [first, second] = Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 40)).await;
    // It has leased more than it used.
    for _ in 0..10 {
        assert!(first.admits().await);
    }
    first.stop().await;
    for call in 0..30 {
        assert!(second.admits().await, "{call}");
    }
    assert!(!second.admits().await);
    second.becomes(true, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_is_no_longer_counted_after_some_seconds() {
    let [first, second] = Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 40)).await;
    drop(first);
    second.becomes(true, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_fills_the_bucket_for_all() {
    let [first, second] = Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 5)).await;
    while first.admits().await {}
    assert_eq!(first.limiter.reset(&first.grant).await, Some(true));
    let mut admitted = 0;
    for _ in 0..20 {
        admitted += u32::from(second.admits().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(admitted, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_of_calls_keeps_no_tokens_from_the_others() {
    let [first, second] = Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 40)).await;
    // A peak, for which some are leased ahead, and then a call now and then.
    for _ in 0..15 {
        assert!(first.admits().await);
    }
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(90)).await;
        assert!(first.admits().await);
    }
    let trickle = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(90)).await;
            first.admits().await;
        }
    });
    let mut admitted = 0;
    while second.admits().await {
        admitted += 1;
    }
    trickle.abort();
    assert!(admitted >= 15, "{admitted} of the 19 that are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_tell_nobodys_name_and_expire_by_themselves() {
    let prefix = prefix();
    let replica = Replica::start(server(Redis::shared().port()), &prefix, limits("1/min", 5), 1).await;
    assert!(replica.admits().await);
    let keys = Redis::shared().ask(&format!("KEYS {prefix}:*"));
    assert_eq!(keys.lines().count(), 2, "{keys}");
    assert!(!keys.contains("welfare"), "{keys}");
    for key in keys.lines() {
        let left: i64 = Redis::shared().ask(&format!("PTTL {key}")).parse().unwrap();
        assert!(left > 0 && left <= 600_000, "{key}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_told_of_all_gateways_together() {
    let [first, second] = Replica::patient(Redis::shared().port(), &prefix(), limits("1/d", 40)).await;
    for _ in 0..30 {
        assert!(first.admits().await);
    }
    tokio::time::sleep(SETTLED).await;
    assert!(second.admits().await);
    tokio::time::sleep(SETTLED).await;
    let usage = second.limiter.usage(&second.grant).unwrap();
    assert_eq!((usage.limits[0].most, usage.limits[0].left), (40, 9));
}
