//! Tests of a grant's rate, burst and concurrency.

use std::time::Duration;

use chapar_tests::Bus;
use chapar_tests::people::ZAHRA;

#[tokio::test]
async fn a_burst_is_answered_up_to_its_size_and_the_rest_told_when_to_retry() {
    // One token a minute, so that none comes back while the test runs.
    let bus = Bus::builder().grant_limit("{ rate = \"1/min\", burst = 5, concurrent = 16 }").start().await;
    let welfare = bus.welfare().await;

    let mut answered = 0;
    let mut refused = Vec::new();
    for _ in 0..9 {
        match welfare.get_person(ZAHRA).send().await {
            Ok(_) => answered += 1,
            Err(refusal) => refused.push(refusal),
        }
    }

    assert_eq!(answered, 5);
    assert_eq!(refused.len(), 4);
    for refusal in refused {
        assert_eq!((refusal.code, refusal.reason.as_str()), (8, "RATE_LIMITED"));
        let wait = refusal.retry_after.expect("RetryInfo");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(60), "{wait:?}");
    }
}

#[tokio::test]
async fn one_grants_flood_leaves_another_grant_alone() {
    let bus = Bus::builder().grant_limit("{ rate = \"1/min\", burst = 1, concurrent = 16 }").start().await;
    let welfare = bus.welfare().await;
    let counter = bus.caller("office/khorramabad-12/counter").await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap_err().reason, "RATE_LIMITED");

    let other = counter.get_person(ZAHRA).purpose("loan.farm").on_behalf_of("com/agri-bank").send().await;

    assert!(other.is_ok());
}

#[tokio::test]
async fn a_caller_sees_how_its_own_grants_stand_and_an_operator_begins_them_anew() {
    let bus = Bus::builder().grant_limit("{ rate = \"1/h\", burst = 3, concurrent = 16 }").start().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller("com/agri-bank/loans").await;
    for _ in 0..5 {
        welfare.get_person(ZAHRA).send().await.ok();
    }

    let stands = welfare.limits().await;
    let own: Vec<_> = stands.iter().map(|usage| usage.grant.as_str()).collect();
    let person = &stands[0];
    let limits: Vec<_> =
        person.limits.iter().map(|limit| (limit.kind.as_str(), limit.used, limit.left)).collect();

    assert_eq!(own, ["welfare-getperson", "welfare-listchildren"]);
    assert_eq!((person.admitted, person.refused, person.limits[0].refused), (3, 2, 2));
    assert_eq!(limits, [("rate", 3, 0), ("concurrent", 0, 16)]);
    assert!(bank.limits().await.iter().all(|usage| usage.grant.starts_with("bank-") && usage.admitted == 0));
    assert!(bus.reset_limits("welfare-getperson").await.contains("reset"));
    assert!(bus.reset_limits("no-such-grant").await.contains("no such grant"));
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());
    assert_eq!(welfare.limits().await[0].admitted, 1);
}
