//! Whose fault a failed call is: no caller takes an agency away from the others, and a provider that is in
//! trouble is left alone.

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus};

const CIVIL: &str = "gov/civil-registry.toml";

fn unlimited(text: String) -> String {
    text.replace("limit    = { rate = \"20/s\", burst = 40, concurrent = 16 }\n", "")
}

async fn ejections(bus: &Bus) -> u64 {
    let page = bus.admin("/metrics").await;
    let line = page.lines().find_map(|line| {
        line.strip_prefix("chapar_upstream_ejections_total{service=\"civil.v1.CivilRegistry\"} ")
    });
    line.expect("the figure is shown").parse().expect("a number")
}

#[tokio::test]
async fn requests_that_are_too_large_for_the_adapter_are_their_callers_to_hear_and_cost_no_one_else() {
    let bus = Bus::builder().edit(CIVIL, unlimited).start().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller("com/agri-bank/loans").await;
    let padded =
        [&[0x0a, 10][..], ZAHRA.as_bytes(), &[0x7a, 0x80, 0x80, 0x08], &vec![b'x'; 128 << 10]].concat();
    for _ in 0..30 {
        let refused = welfare.get_person("").raw(padded.clone()).send().await.unwrap_err();
        assert_eq!(refused.reason, "MESSAGE_TOO_LARGE");
        bank.get_person(ZAHRA).without_purpose().purpose("loan.farm").send().await.unwrap();
    }
    assert_eq!(ejections(&bus).await, 0);
}

#[tokio::test]
async fn only_what_a_provider_says_of_trouble_of_its_own_takes_it_away_whoever_calls() {
    for (code, reason, is_trouble) in [
        (14, "SOURCE_DOWN", true),
        (4, "SOURCE_TIMEOUT", true),
        (14, "SOURCE_BUSY", false),
        (8, "MESSAGE_TOO_LARGE", false),
        (4, "DEADLINE_EXCEEDED", false),
        (5, "RECORD_NOT_FOUND", false),
        (3, "FIELD_INVALID", false),
    ] {
        let bus =
            Bus::builder().agency(Agency::refusing_as(code, reason)).edit(CIVIL, unlimited).start().await;
        let welfare = bus.welfare().await;
        let bank = bus.caller("com/agri-bank/loans").await;
        for _ in 0..8 {
            welfare.get_person(ZAHRA).send().await.unwrap_err();
            bank.get_person(ZAHRA).without_purpose().purpose("loan.farm").send().await.unwrap_err();
        }
        assert_eq!(ejections(&bus).await > 0, is_trouble, "{reason}");
    }
}

#[tokio::test]
async fn one_callers_failures_take_the_provider_from_no_other_though_the_fault_is_the_providers() {
    let failing = Agency::refusing_as(14, "SOURCE_DOWN");
    let seen = failing.seen();
    let bus = Bus::builder().agency(failing).edit(CIVIL, unlimited).start().await;
    let welfare = bus.welfare().await;
    for _ in 0..20 {
        welfare.get_person(ZAHRA).send().await.unwrap_err();
    }
    let of_one = seen.count();
    assert!(of_one < 10, "its own breaker is open: {of_one}");

    let bank = bus.caller("com/agri-bank/loans").await;
    bank.get_person(ZAHRA).without_purpose().purpose("loan.farm").send().await.unwrap_err();

    assert_eq!(seen.count(), of_one + 1, "the bank's call gets there");
}

#[tokio::test]
async fn a_caller_that_gives_its_calls_no_time_is_not_held_against_a_slow_provider() {
    let (agency, gate) = Agency::answering(serde_json::json!({"nationalId": ZAHRA})).gated();
    let bus = Bus::builder().agency(agency).edit(CIVIL, unlimited).start().await;
    let welfare = bus.welfare().await;
    for _ in 0..20 {
        let late = welfare.get_person(ZAHRA).header("grpc-timeout", "20m").send().await.unwrap_err();
        assert_eq!(late.reason, "DEADLINE_EXCEEDED");
    }
    gate.open();
    welfare.get_person(ZAHRA).send().await.unwrap();
    assert_eq!(ejections(&bus).await, 0);
}

#[tokio::test]
async fn an_own_server_that_answers_unavailable_to_everyone_is_left_alone() {
    let own = |text: String| {
        unlimited(text)
            .replace("[[service]]", "[[service]]\nserver = \"grpc\"")
            .replace("rows     = { province = [\"15\"] }\n", "")
    };
    let failing = Agency::refusing(14, "in trouble");
    let seen = failing.seen();
    let bus = Bus::builder().agency(failing).edit(CIVIL, own).start().await;
    let welfare = bus.welfare().await;
    for _ in 0..20 {
        welfare.get_person(ZAHRA).send().await.unwrap_err();
    }
    assert_eq!(ejections(&bus).await, 1);
    assert!(seen.count() < 10, "it was called {} times", seen.count());
}
