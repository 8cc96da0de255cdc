//! While Redis fails each gateway goes on with its own share: nobody waits for Redis, nobody is admitted much more than
//! the limit, and all is shared again once it answers.

use std::time::{Duration, Instant};

use chapar_test_servers::Redis;

use crate::replica::{Replica, hammered, limits, prefix};

const BURST: u32 = 20;
const RATE: u32 = 100;

/// What two gateways admit while a fault lasts, and after it, is bounded on both sides.
async fn bounded(fault: &str, redis: &Redis, begin: impl Fn(&Redis), end: impl Fn(&Redis)) {
    let replicas: [Replica; 2] =
        Replica::several(redis.port(), &prefix(), limits(&format!("{RATE}/s"), BURST)).await;
    let began = Instant::now();
    let (mut admitted, _) = hammered(&replicas, Duration::from_millis(2), Duration::from_millis(500)).await;

    begin(redis);
    let (more, longest) = hammered(&replicas, Duration::from_millis(2), Duration::from_secs(2)).await;
    admitted += more;
    // 5 ms, and what a machine with other work adds to that.
    assert!(longest < Duration::from_millis(100), "{fault}: a call waited {longest:?}");

    end(redis);
    for replica in &replicas {
        replica.becomes(true, 2).await;
    }
    let (more, _) = hammered(&replicas, Duration::from_millis(2), Duration::from_millis(500)).await;
    admitted += more;
    let limit = f64::from(RATE) * began.elapsed().as_secs_f64();
    let most = 1.05 * limit + 2.0 * f64::from(BURST);
    assert!(f64::from(admitted) <= most, "{fault}: {admitted} and at most {most}");
    assert!(f64::from(admitted) >= 0.45 * limit, "{fault}: {admitted} of {limit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() {
    bounded("killed", &Redis::start(), Redis::kill, Redis::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standing_still() {
    bounded("standing still", &Redis::start(), Redis::stop_the_world, Redis::go_on).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed() {
    let flush = |redis: &Redis| {
        redis.ask("FLUSHALL");
    };
    bounded("flushed", &Redis::start(), flush, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_scripts() {
    let flush = |redis: &Redis| {
        redis.ask("SCRIPT FLUSH SYNC");
    };
    bounded("scripts flushed", &Redis::start(), flush, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only() {
    let begin = |redis: &Redis| {
        redis.ask("REPLICAOF 127.0.0.1 1");
    };
    let end = |redis: &Redis| {
        redis.ask("REPLICAOF NO ONE");
    };
    bounded("read-only", &Redis::start(), begin, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full() {
    let begin = |redis: &Redis| {
        redis.ask("CONFIG SET maxmemory 1");
    };
    let end = |redis: &Redis| {
        redis.ask("CONFIG SET maxmemory 0");
    };
    bounded("full", &Redis::start(), begin, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_of_another_type() {
    let begin = |redis: &Redis| {
        for key in redis.ask("KEYS *").lines() {
            redis.ask(&format!("DEL {key}"));
            redis.ask(&format!("LPUSH {key} a"));
        }
    };
    bounded("wrong types", &Redis::start(), begin, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_values_that_are_no_numbers() {
    let begin = |redis: &Redis| {
        for (key, value) in redis.ask("KEYS *rate*").lines().zip(["nan"].iter().cycle()) {
            redis.ask(&format!("SET {key} {value}"));
        }
    };
    bounded("no numbers", &Redis::start(), begin, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standstill_is_noticed_within_a_quarter_of_a_second_and_after_that_no_call_waits() {
    let redis = Redis::start();
    let replicas: [Replica; 1] = Replica::several(redis.port(), &prefix(), limits("10/s", 5)).await;
    redis.stop_the_world();
    let began = Instant::now();
    while replicas[0].shared.usage().is_up {
        replicas[0].admits().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(began.elapsed() < Duration::from_secs(5), "it is not noticed");
    }
    let noticed = began.elapsed();
    let (_, longest) = hammered(&replicas, Duration::from_millis(1), Duration::from_millis(300)).await;
    redis.go_on();
    assert!(noticed < Duration::from_millis(500), "{noticed:?}");
    assert!(longest < Duration::from_millis(50), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_redis_under_load_gives_nobody_a_new_burst() {
    let redis = Redis::start();
    let replicas: [Replica; 2] = Replica::several(redis.port(), &prefix(), limits("1/h", 40)).await;
    let (admitted, _) = hammered(&replicas, Duration::from_millis(1), Duration::from_millis(600)).await;
    assert!(admitted >= 40, "{admitted}");
    redis.kill();
    // What one of them was admitted more than its share, the other may still admit.
    let (more, _) = hammered(&replicas, Duration::from_millis(1), Duration::from_millis(600)).await;
    assert!(more <= 10, "{more}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_admitted_without_redis_is_charged_when_it_is_back() {
    let redis = Redis::start();
    let replicas: [Replica; 2] = Replica::several(redis.port(), &prefix(), limits("1/h", 40)).await;
    redis.stop_the_world();
    // Each call that Redis does not answer is one of the own shares.
    let (admitted, _) = hammered(&replicas, Duration::from_millis(1), Duration::from_millis(600)).await;
    assert_eq!(admitted, 40, "the shares of both");
    redis.go_on();
    for replica in &replicas {
        replica.becomes(true, 2).await;
    }
    // The first question of each after that tells what it admitted.
    for replica in &replicas {
        replica.admits().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (more, _) = hammered(&replicas, Duration::from_millis(1), Duration::from_millis(600)).await;
    assert!(more <= 2, "{more}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_without_redis_has_the_whole_limit_or_its_part_of_the_least_number() {
    let replica = Replica::alone(crate::replica::server(1), &prefix(), limits("1/h", 40));
    let mut admitted = 0;
    while replica.admits().await {
        admitted += 1;
    }
    assert_eq!(admitted, 40);
}
