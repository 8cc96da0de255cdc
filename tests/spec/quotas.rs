//! Quotas of a grant: calls in a day, and different citizens in an hour and in a day.

use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Caller, Joiner, Refusal};

/// Ids of further citizens that pass their format's check; the register knows none of them.
const OTHERS: [&str; 3] = ["0011223340", "0123456789", "0765432102"];

async fn ask(caller: &Caller, citizen: &str) -> Result<(), Refusal> {
    match caller.get_person(citizen).send().await {
        Ok(_) => Ok(()),
        // A citizen who is not there was asked for all the same.
        Err(refusal) if refusal.reason == "RECORD_NOT_FOUND" => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// How many of so many calls are let through.
async fn admitted(caller: &Caller, calls: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..calls {
        admitted += usize::from(ask(caller, ZAHRA).await.is_ok());
    }
    admitted
}

#[tokio::test]
async fn a_grants_calls_of_a_day_are_exactly_its_quota_and_begin_anew_after_midnight_in_tehran() {
    let bus = Bus::builder().grant_limit("{ daily = 5 }").at("2026-11-23T08:00:00Z").start().await;
    let welfare = bus.welfare().await;
    assert_eq!(admitted(&welfare, 8).await, 5);

    let refused = ask(&welfare, ZAHRA).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (8, "DAILY_QUOTA_SPENT"));
    let wait = refused.retry_after.expect("RetryInfo");
    // From 11:30 until midnight.
    assert!(
        wait <= Duration::from_secs(12 * 3600 + 1800) && wait > Duration::from_secs(12 * 3600),
        "{wait:?}"
    );
    let limits = welfare.limits().await;
    let daily = &limits[0].limits[0];
    assert_eq!((daily.kind.as_str(), daily.used, daily.left), ("daily", 5, 0));
    assert_eq!(daily.refused, 4);

    bus.set_clock("2026-11-23T20:30:00Z");
    assert_eq!(admitted(&welfare, 8).await, 5);
    bus.set_clock("2026-11-23T20:20:00Z");
    assert_eq!(admitted(&welfare, 1).await, 0, "a clock that is set back gives no new quota");
}

#[tokio::test]
async fn different_citizens_are_counted_and_the_same_one_may_be_asked_for_again() {
    let bus = Bus::builder().grant_limit("{ subjects = { day = 2 } }").start().await;
    let welfare = bus.welfare().await;
    for citizen in [ZAHRA, OTHERS[0], ZAHRA, OTHERS[0]] {
        ask(&welfare, citizen).await.unwrap();
    }
    let refused = ask(&welfare, OTHERS[1]).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (8, "SUBJECT_QUOTA_SPENT"));
    assert!(refused.retry_after.is_some());
    ask(&welfare, ZAHRA).await.unwrap();
    // Neither the refusal nor its record holds anybody's id.
    assert!(!format!("{refused:?}").contains(OTHERS[1]));
}

#[tokio::test]
async fn a_clerk_has_a_quota_of_its_own_by_its_name_in_any_case() {
    let limit = "{ subjects = { day = 100 }, clerk_subjects = { hour = 1 } }\nrequires = [\"clerk\"]";
    let bus = Bus::builder().grant_limit(limit).start().await;
    let welfare = bus.welfare().await;
    let of = async |clerk: &str, citizen: &str| {
        let refused = welfare.get_person(citizen).clerk(clerk).send().await.err();
        refused.filter(|refused| refused.reason != "RECORD_NOT_FOUND").map(|refused| refused.reason)
    };
    assert_eq!(of("z.karimi", ZAHRA).await, None);
    assert_eq!(of("Z.Karimi", OTHERS[0]).await.as_deref(), Some("SUBJECT_QUOTA_SPENT"));
    assert_eq!(of("m.karimi", OTHERS[0]).await, None);
}

#[tokio::test]
async fn a_restart_gives_nobody_a_new_quota() {
    let limit = "{ daily = 6, subjects = { day = 3 } }";
    let mut bus = Bus::builder().grant_limit(limit).start().await;
    let welfare = bus.welfare().await;
    for citizen in [ZAHRA, OTHERS[0], ZAHRA] {
        ask(&welfare, citizen).await.unwrap();
    }
    bus.restart_gateway().await;
    let welfare = bus.welfare().await;
    ask(&welfare, OTHERS[1]).await.unwrap();
    assert_eq!(ask(&welfare, OTHERS[2]).await.unwrap_err().reason, "SUBJECT_QUOTA_SPENT");
    assert_eq!(admitted(&welfare, 5).await, 2);
    bus.restart_gateway().await;
    assert_eq!(ask(&bus.welfare().await, ZAHRA).await.unwrap_err().reason, "DAILY_QUOTA_SPENT");
}

#[tokio::test]
async fn a_quota_that_comes_by_a_reload_counts_what_was_before_it() {
    let bus = Bus::builder().grant_limit("{ concurrent = 16 }").start().await;
    let welfare = bus.welfare().await;
    for citizen in [ZAHRA, OTHERS[0], OTHERS[0]] {
        ask(&welfare, citizen).await.unwrap();
    }
    let bounded = "limit    = { daily = 4, subjects = { day = 2 } }";
    bus.edit_registry("gov/civil-registry.toml", |text| {
        text.replace("limit    = { concurrent = 16 }", bounded)
    });
    assert!(bus.reload().await.contains("reloaded"));
    assert_eq!(ask(&welfare, OTHERS[1]).await.unwrap_err().reason, "SUBJECT_QUOTA_SPENT");
    assert_eq!(admitted(&welfare, 3).await, 1);
    assert_eq!(ask(&welfare, ZAHRA).await.unwrap_err().reason, "DAILY_QUOTA_SPENT");
}

#[tokio::test]
async fn what_is_refused_before_a_provider_is_asked_counts_for_no_quota() {
    let bus = Bus::builder().grant_limit("{ daily = 2, rate = \"1/h\", burst = 3 }").start().await;
    let welfare = bus.welfare().await;
    // No national id: refused on its format, after a token of the rate.
    assert_eq!(ask(&welfare, "1111111111").await.unwrap_err().reason, "FIELD_INVALID");
    assert_eq!(admitted(&welfare, 2).await, 2);
    assert_eq!(ask(&welfare, ZAHRA).await.unwrap_err().reason, "RATE_LIMITED");
}

#[tokio::test]
async fn several_gateways_admit_no_more_than_a_quota_together() {
    let bus = || Bus::builder().grant_limit("{ daily = 5 }").setting("replicas = 2").start();
    let gateways = [bus().await, bus().await];
    let mut total = 0;
    for gateway in &gateways {
        total += admitted(&gateway.welfare().await, 5).await;
    }
    assert_eq!(total, 4, "two of each");
}

#[tokio::test]
async fn a_request_id_is_no_way_around_a_quota() {
    let bus = Bus::builder().grant_limit("{ subjects = { day = 1 } }").start().await;
    let welfare = bus.welfare().await;
    ask(&welfare, ZAHRA).await.unwrap();
    for attempt in 0..4 {
        let id = "01900000-0000-7000-8000-000000000001";
        let again = welfare.get_person(OTHERS[0]).header("chapar-request-id", id).send().await;
        assert_eq!(again.unwrap_err().reason, "SUBJECT_QUOTA_SPENT", "{attempt}");
    }
    assert!(bus.records().await.iter().all(|record| !record.provider_asked));
}

#[tokio::test]
async fn each_attempt_of_one_call_is_a_call_of_the_day_also_after_a_restart() {
    let mut bus = Bus::builder().grant_limit("{ daily = 3 }").start().await;
    let welfare = bus.welfare().await;
    let id = "01900000-0000-7000-8000-000000000001";
    for _ in 0..2 {
        welfare.get_person(ZAHRA).header("chapar-request-id", id).send().await.unwrap();
    }
    bus.restart_gateway().await;
    assert_eq!(admitted(&bus.welfare().await, 3).await, 1);
}

#[tokio::test]
async fn a_provider_that_is_not_there_spends_nobodys_day() {
    let mut bus = Bus::builder().grant_limit("{ daily = 2 }").joining().start().await;
    let welfare = bus.welfare().await;
    for _ in 0..4 {
        let refused = welfare.get_person(ZAHRA).header("grpc-timeout", "300m").send().await.unwrap_err();
        assert_ne!(refused.reason, "DAILY_QUOTA_SPENT");
    }
    // After a restart, too: the records say that nobody was asked.
    bus.restart_gateway().await;
    let address = bus.address();
    let _adapter = Joiner::start(&bus, address).await;
    assert_eq!(admitted(&bus.welfare().await, 4).await, 2);
}

#[tokio::test]
async fn a_record_that_is_not_there_was_asked_for_also_after_a_restart() {
    let mut bus = Bus::builder().grant_limit("{ daily = 2, subjects = { day = 2 } }").start().await;
    ask(&bus.welfare().await, OTHERS[0]).await.unwrap();
    assert!(bus.records().await.iter().any(|record| record.provider_asked));
    bus.restart_gateway().await;
    assert_eq!(admitted(&bus.welfare().await, 3).await, 1);
}

#[tokio::test]
async fn a_reload_for_one_grant_leaves_the_counts_of_another_as_they_are() {
    let bus = Bus::builder().grant_limit("{ subjects = { hour = 1 } }").start().await;
    let welfare = bus.welfare().await;
    ask(&welfare, ZAHRA).await.unwrap();
    bus.edit_registry("gov/civil-registry.toml", |text| {
        text.replace(
            "basis    = \"Test decree 2\"",
            "limit    = { subjects = { day = 9 } }\nbasis    = \"Test decree 2\"",
        )
    });
    assert!(bus.reload().await.contains("reloaded"));
    assert_eq!(ask(&welfare, OTHERS[0]).await.unwrap_err().reason, "SUBJECT_QUOTA_SPENT");
    ask(&welfare, ZAHRA).await.unwrap();
}
