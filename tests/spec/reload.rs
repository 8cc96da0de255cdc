//! Tests that the policy changes while calls go on: as a whole or not at all, and without a new connection of
//! any caller.

use std::cell::RefCell;
use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Caller, repository, until};

const CIVIL: &str = "gov/civil-registry.toml";

/// Asks until the answer is as wanted, for five seconds at most.
async fn asked_until(caller: &Caller, wanted: impl Fn(Option<&str>) -> bool) {
    let last = RefCell::new(None);
    let is_wanted = async || {
        let reason = caller.get_person(ZAHRA).send().await.err().map(|refused| refused.reason);
        let is_wanted = wanted(reason.as_deref());
        *last.borrow_mut() = reason;
        is_wanted
    };
    let detail = || format!("the answer stayed {:?}", last.borrow());
    until("the answer is as wanted", Duration::from_secs(5), is_wanted, detail).await;
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_on_connections_that_are_open() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());

    bus.edit_registry(CIVIL, |text| text.replacen("until = 2027-12-31", "until = 2026-01-02", 1));

    asked_until(&welfare, |refused| refused == Some("GRANT_EXPIRED")).await;
    assert!(bus.admin("/metrics").await.contains("chapar_reloads_total{what=\"policy\",result=\"ok\"} 1"));
}

#[tokio::test]
async fn a_right_that_is_given_is_in_force_without_connecting_anew() {
    let bus = Bus::builder()
        .edit(CIVIL, |text| text.replace("\"given_name\", \"family_name\"", "\"given_name\""))
        .start()
        .await;
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.unwrap().json().get("familyName").is_none());

    bus.edit_registry(CIVIL, |text| {
        text.replace(
            "[\"given_name\", \"birth_date\"]\nvalid    = { from = 2026-01-01, until = 2027-12-31 }\nlimit",
            "[\"given_name\", \"family_name\"]\nvalid    = { from = 2026-01-01, until = 2027-12-31 }\nlimit",
        )
    });
    assert_eq!(bus.reload().await, "reloaded\n");

    assert!(welfare.get_person(ZAHRA).send().await.unwrap().json().get("familyName").is_some());
}

#[tokio::test]
async fn a_registry_that_does_not_load_changes_nothing_and_is_told_with_its_place() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    bus.edit_registry(CIVIL, |text| text.replace("\"birth_date\"]", "\"birth_day\"]"));

    let told = bus.reload().await;
    assert!(told.contains("civil-registry.toml") && told.contains("birth_day"), "{told}");
    assert!(welfare.get_person(ZAHRA).send().await.is_ok(), "what was in force stays");
    assert!(bus.admin("/metrics").await.contains("result=\"refused\""));
    bus.edit_registry(CIVIL, |text| text.replace("\"birth_day\"]", "\"birth_date\"]"));
    assert_eq!(bus.reload().await, "reloaded\n", "and the next good one is taken up");
}

#[tokio::test]
async fn a_reload_refills_no_bucket() {
    let bus = Bus::builder().grant_limit("{ rate = \"1/h\", burst = 3, concurrent = 16 }").start().await;
    let welfare = bus.welfare().await;
    for _ in 0..3 {
        assert!(welfare.get_person(ZAHRA).send().await.is_ok());
    }

    bus.edit_registry(CIVIL, |text| text + "\n# a comment\n");
    assert_eq!(bus.reload().await, "reloaded\n");

    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap_err().reason, "RATE_LIMITED");
}

#[tokio::test]
async fn every_record_names_the_policy_that_its_call_was_decided_by() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());

    bus.edit_registry(CIVIL, |text| text + "\n# a comment\n");
    assert_eq!(bus.reload().await, "reloaded\n");
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());

    let records = bus.records().await;
    assert_ne!(records[0].registry_digest, records[1].registry_digest);
}

#[tokio::test]
async fn a_new_contract_folder_and_a_new_service_need_no_restart() {
    let contracts = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let from = repository().join("proto").join(name).join("v1");
        let to = contracts.path().join(name).join("v1");
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(from.join(format!("{name}.proto")), to.join(format!("{name}.proto"))).unwrap();
    };
    copy("health");
    let bus = Bus::builder().contract(contracts.path().to_str().unwrap()).start().await;
    let welfare = bus.welfare().await;
    let enrolment = || welfare.get_person(ZAHRA).path("/education.v1.EducationRegistry/GetEnrolment").send();
    assert_eq!(enrolment().await.unwrap_err().reason, "METHOD_UNKNOWN");

    copy("education");
    let digest =
        chapar_contract::Contract::load(&contracts.path().join("education")).unwrap().digest().to_owned();
    let adapter = "spiffe://lorestan.example/gov/civil-registry/adapter";
    bus.edit_registry(CIVIL, |text| {
        format!(
            "{text}\n[[service]]\ncontract = \"education.v1.EducationRegistry\"\ndigest = \"{digest}\"\nadapters = [\"{adapter}\"]\n\n\
             [[grant]]\nid = \"welfare-enrolment\"\nto = \"gov/welfare/benefits\"\nmethod = \"education.v1.EducationRegistry/GetEnrolment\"\n\
             purposes = [\"benefit.eligibility\"]\nfields = [\"national_id\"]\nvalid = {{ from = 2026-01-01, until = 2027-12-31 }}\nbasis = \"Test\"\n"
        )
    });
    assert_eq!(bus.reload().await, "reloaded\n");

    // The new service is known and granted; none of its adapters has joined.
    assert_eq!(enrolment().await.unwrap_err().reason, "ADAPTER_UNAVAILABLE");
}
