//! Gateways that share their limits through Redis.

use std::time::Duration;

use chapar_test_servers::Redis;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, until};

/// Two gateways that know each other, each with an adapter and a registry of its own.
async fn two(redis: &Redis, prefix: &str, limit: &'static str) -> [Bus; 2] {
    let bus = || Bus::builder().grant_limit(limit).redis(redis.port(), prefix);
    let gateways = [bus().start().await, bus().start().await];
    for gateway in &gateways {
        becomes(gateway, "chapar_limits_gateways 2").await;
    }
    gateways
}

/// Waits until a line is among the metrics.
async fn becomes(gateway: &Bus, line: &str) {
    let told = async || gateway.admin("/metrics").await.lines().any(|one| one == line);
    until(line, Duration::from_secs(20), told, String::new).await;
}

async fn answered(gateways: &[Bus], calls: usize) -> usize {
    let mut answered = 0;
    for _ in 0..calls {
        for gateway in gateways {
            answered += usize::from(gateway.welfare().await.get_person(ZAHRA).send().await.is_ok());
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn one_grants_burst_is_one_at_all_gateways_together() {
    let gateways = two(Redis::shared(), "together", "{ rate = \"1/h\", burst = 10, concurrent = 16 }").await;

    // A call that Redis does not answer in 5 ms, because this machine has other work, is one of a share.
    let answered_together = answered(&gateways, 10).await;
    assert!((10..=14).contains(&answered_together), "{answered_together}");

    let refused = gateways[0].welfare().await.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (8, "RATE_LIMITED"));
    let wait = refused.retry_after.expect("RetryInfo");
    assert!(wait > Duration::from_secs(60) && wait <= Duration::from_secs(6 * 3600), "{wait:?}");
    let limits = gateways[1].welfare().await.limits().await;
    let rate = &limits[0].limits[0];
    assert_eq!((rate.kind.as_str(), rate.used, rate.left), ("rate", 10, 0), "of both together");

    assert!(gateways[0].reset_limits("welfare-getperson").await.contains("reset"));
    until(
        "the other gateway admits again",
        Duration::from_secs(5),
        async || answered(&gateways[1..], 1).await == 1,
        String::new,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_calls_go_on_within_each_gateways_share_and_all_is_shared_again_when_it_is_back() {
    let redis = Redis::start();
    let gateways = two(&redis, "apart", "{ rate = \"1/h\", burst = 10, concurrent = 16 }").await;
    for gateway in &gateways {
        becomes(gateway, "chapar_limits_shared 1").await;
    }

    redis.kill();

    assert_eq!(answered(&gateways, 10).await, 10, "five of each");
    for gateway in &gateways {
        becomes(gateway, "chapar_limits_shared 0").await;
    }
    redis.restart();
    for gateway in &gateways {
        becomes(gateway, "chapar_limits_shared 1").await;
        becomes(gateway, "chapar_limits_gateways 2").await;
    }
    assert!(answered(&gateways, 5).await <= 2, "what was admitted meanwhile is charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_without_its_redis() {
    // Nobody listens at port 1.
    let bus = Bus::builder().redis(1, "alone").start().await;
    assert!(bus.welfare().await.get_person(ZAHRA).send().await.is_ok());
    becomes(&bus, "chapar_limits_shared 0").await;
    let metrics = bus.admin("/metrics").await;
    assert!(metrics.lines().any(|line| line == "chapar_limits_own_share_total 1"), "{metrics}");
}
