//! Tests that the trouble of one agency or of one caller stays its own: others are answered meanwhile.

use std::time::Duration;

use bytes::Bytes;
use chapar_contract::Contract;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus, repository, until};
use http_body_util::BodyExt as _;

const COVERAGE: &str = "health.v1.InsuranceRegistry/GetCoverage";

/// A second agency, welfare, that provides `health.v1.InsuranceRegistry` at `endpoint`, and a grant for
/// itself.
fn insurance(endpoint: std::net::SocketAddr) -> String {
    let contract = Contract::load(&repository().join("proto/health")).unwrap();
    format!(
        r#"
[[service]]
contract  = "health.v1.InsuranceRegistry"
digest    = "{}"
adapters  = ["spiffe://lorestan.example/gov/civil-registry/adapter"]
endpoints = ["https://127.0.0.1:{}"]

[[grant]]
id       = "welfare-getcoverage"
to       = "gov/welfare/benefits"
method   = "{COVERAGE}"
purposes = ["benefit.eligibility"]
fields   = ["status"]
valid    = {{ from = 2026-01-01, until = 2027-12-31 }}
basis    = "Test decree 9"
"#,
        contract.digest(),
        endpoint.port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agency_that_hangs_holds_up_no_call_to_another() {
    let bus = Bus::builder().contract("health").unlimited().start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    let hanging = Agency::hanging();
    let seen = hanging.seen();
    let (address, _agency) = bus.agency_beside(hanging).await;
    bus.edit_registry("gov/welfare.toml", |text| text + &insurance(address));
    welfare.health_becomes("health.v1.InsuranceRegistry", true).await;

    // Each for as long as the contract allows.
    let ask = |_| {
        let ask = welfare.ask(COVERAGE).purpose("benefit.eligibility");
        tokio::spawn(ask.raw(Bytes::from_static(b"\x0a\x0a0499370899")).send())
    };
    let stuck: Vec<_> = (0..200).map(ask).collect();
    until("calls hang there", Duration::from_secs(10), async || seen.count() >= 20, String::new).await;

    for _ in 0..200 {
        welfare.get_person(ZAHRA).send().await.unwrap();
    }
    for call in stuck {
        let refused = call.await.unwrap().unwrap_err();
        let told =
            ["DEADLINE_EXCEEDED", "CONCURRENCY_LIMITED", "ADAPTER_UNAVAILABLE"].contains(&&*refused.reason);
        assert!(told, "{}", refused.reason);
    }
}

#[tokio::test]
async fn an_agency_that_hangs_is_left_alone_after_a_few_calls_and_callers_are_told_at_once() {
    let hanging = Agency::hanging();
    let seen = hanging.seen();
    let bus = Bus::builder().agency(hanging).unlimited().start().await;
    let welfare = bus.welfare().await;

    // With all the time that the contract gives: a shorter one would be the caller's own doing.
    let mut reasons = Vec::new();
    for _ in 0..3 {
        let asked = (0..6).map(|_| welfare.get_person(ZAHRA).send());
        let refused = futures_util::future::join_all(asked).await;
        reasons.extend(refused.into_iter().map(|refused| refused.unwrap_err().reason));
    }

    assert!(reasons.iter().any(|reason| reason == "ADAPTER_UNAVAILABLE"), "{reasons:?}");
    let calls = seen.count_of("/civil.v1.CivilRegistry/GetPerson");
    assert!(calls < reasons.len(), "{calls} calls went there");
    let ejections = "chapar_upstream_ejections_total{service=\"civil.v1.CivilRegistry\"} ";
    let page = bus.admin("/metrics").await;
    let count = page.lines().find_map(|line| line.strip_prefix(ejections)).expect("the figure is shown");
    assert!(count.parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn a_caller_that_does_not_read_keeps_no_other_from_reading() {
    let bus = Bus::builder().agency(Agency::streaming_without_end(ZAHRA)).start().await;
    let list = || async { bus.welfare().await.ask("civil.v1.CivilRegistry/ListChildren") };
    let ask = || async { list().await.purpose("benefit.eligibility").field("national_id", ZAHRA) };
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(ask().await.open().await.unwrap());
    }

    let mut read = ask().await.open().await.unwrap().into_body();
    for _ in 0..100 {
        let frame = tokio::time::timeout(Duration::from_secs(10), read.frame()).await.expect("rows come");
        assert!(frame.unwrap().unwrap().is_data());
    }
    drop(unread);
}
