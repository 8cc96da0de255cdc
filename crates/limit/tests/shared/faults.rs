//! While Redis fails each gateway goes on with its own share: nobody waits for Redis, nobody is admitted much
//! more than the limit, and all is shared again once it answers.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use chapar_limit::SharedSettings;
use chapar_model::Limits;
use chapar_test_servers::Redis;

use crate::replica::{Replica, hammered, limits, prefix};

const BURST: u32 = 20;
const RATE: u32 = 100;

/// What two gateways admit before, during and after a fault is bounded on both sides.
async fn bounded(fault: &str, redis: &Redis, begin: impl Fn(&Redis), end: impl Fn(&Redis)) {
    let replicas: [Replica; 2] =
        Replica::several(redis.port(), &prefix(), limits(&format!("{RATE}/s"), BURST)).await;
    let mut sum = Sum::default();
    sum.hammer(&replicas, Duration::from_millis(500)).await;

    begin(redis);
    sum.hammer(&replicas, Duration::from_secs(2)).await;
    // 5 ms, and what a machine with other work adds to that.
    assert!(sum.longest < Duration::from_millis(100), "{fault}: a call waited {:?}", sum.longest);

    end(redis);
    for replica in &replicas {
        replica.becomes(true, 2).await;
    }
    sum.hammer(&replicas, Duration::from_millis(500)).await;
    let limit = f64::from(RATE) * sum.time.as_secs_f64();
    // One burst more for the pause in which buckets fill.
    let most = 1.05 * limit + 3.0 * f64::from(BURST);
    assert!(f64::from(sum.admitted) <= most, "{fault}: {} and at most {most}", sum.admitted);
    assert!(f64::from(sum.admitted) >= 0.45 * limit, "{fault}: {} of {limit}", sum.admitted);
}

/// Calls in several spans of time.
#[derive(Default)]
struct Sum {
    admitted: u32,
    time: Duration,
    longest: Duration,
}

impl Sum {
    async fn hammer(&mut self, replicas: &[Replica], length: Duration) {
        let began = Instant::now();
        let (admitted, longest) = hammered(replicas, Duration::from_millis(2), length).await;
        self.admitted += admitted;
        self.time += began.elapsed();
        self.longest = self.longest.max(longest);
    }
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
async fn a_standstill_is_noticed_soon_and_after_that_no_call_waits() {
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
async fn a_gateway_that_starts_without_redis_has_its_part_of_the_least_number() {
    for (least, share) in [(1, 40), (2, 20), (4, 10)] {
        let least_replicas = NonZeroU32::new(least).unwrap();
        let settings = SharedSettings { prefix: prefix(), least_replicas, ..SharedSettings::default() };
        let replica = Replica::with(crate::replica::server(1), settings, limits("1/h", 40));
        let mut admitted = 0;
        while replica.admits().await {
            admitted += 1;
        }
        assert_eq!(admitted, share);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_begins_anew_makes_no_gateway_think_that_it_is_alone() {
    let redis = Redis::start();
    let replicas: [Replica; 2] = Replica::several(redis.port(), &prefix(), limits("1/h", 40)).await;
    // The other one is gone, and Redis knows of nobody when it comes back.
    let [first, second] = replicas;
    drop(second);
    redis.restart();
    while first.shared.usage().commands.1 == 0 {
        first.admits().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.becomes(true, 2).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(first.shared.usage().replicas, 2, "for as long as a gateway is counted");
    redis.kill();
    let (admitted, _) =
        hammered(std::slice::from_ref(&first), Duration::from_millis(1), Duration::from_millis(500)).await;
    assert!(admitted <= 25, "{admitted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_place_spend_nothing_of_the_own_share() {
    let redis = Redis::start();
    let limits = Limits { concurrent: NonZeroU32::new(1), ..limits("1/h", 40) };
    let [replica] = Replica::several(redis.port(), &prefix(), limits).await;
    let held = replica.limiter.admit(&replica.grant).await.unwrap();
    for _ in 0..200 {
        assert!(!replica.admits().await);
    }
    drop(held);
    redis.kill();
    let (admitted, _) =
        hammered(std::slice::from_ref(&replica), Duration::from_millis(1), Duration::from_millis(500)).await;
    assert!(admitted >= 35, "{admitted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_redis_is_too_slow_for_is_charged_for_what_it_admits() {
    let redis = Redis::start();
    let [first, second] = Replica::several(redis.port(), &prefix(), limits("1/h", 40)).await;
    // All that the bucket has, and then what a gateway without an answer admits of its share.
    let mut admitted = 0;
    for _ in 0..60 {
        admitted += u32::from(first.admits().await);
    }
    assert!(admitted >= 40, "{admitted}");
    redis.stop_the_world();
    let (of_share, _) =
        hammered(std::slice::from_ref(&second), Duration::from_millis(1), Duration::from_millis(300)).await;
    assert_eq!(of_share, 20);
    redis.go_on();
    first.becomes(true, 2).await;
    second.becomes(true, 2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let wait = first.refusal().await;
    assert!(wait > Duration::from_secs(2 * 3600), "what was admitted is a debt: {wait:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stayed_below_its_rate_is_charged_nothing_for_the_time_without_redis() {
    let redis = Redis::start();
    let replicas: [Replica; 2] = Replica::several(redis.port(), &prefix(), limits("100/s", 10)).await;
    redis.stop_the_world();
    // 25 calls a second at one of two, whose share is 50.
    let mut admitted = 0;
    for _ in 0..50 {
        admitted += u32::from(replicas[0].admits().await);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(admitted, 50);
    redis.go_on();
    for replica in &replicas {
        replica.becomes(true, 2).await;
    }
    for call in 0..20 {
        assert!(replicas[0].admits().await, "{call}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}
