//! Tests that every call is one durable record before its answer, and that every disclosure can be proved
//! offline.

use std::time::Duration;

use chapar_evidence::{Kind, verify};
use chapar_tests::people::{NOBODY, ZAHRA};
use chapar_tests::{Bus, until_some};

#[tokio::test]
async fn an_answer_has_a_record_that_says_who_what_and_why() {
    let bus = Bus::start().await;

    let person =
        bus.welfare().await.get_person(ZAHRA).clerk("m.karimi").case("1405/77").send().await.unwrap();

    let records = bus.records().await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.kind(), Kind::Unary);
    assert_eq!(record.caller, "gov/welfare/benefits");
    assert_eq!(record.method, "civil.v1.CivilRegistry/GetPerson");
    assert_eq!(
        (record.purpose.as_str(), record.clerk.as_str(), record.case.as_str()),
        ("benefit.eligibility", "m.karimi", "1405/77")
    );
    assert_eq!((record.grant.as_str(), record.outcome.as_str()), ("welfare-getperson", "OK"));
    assert_eq!(record.subject_pseudonym, bus.log().pseudonym(ZAHRA));
    assert!(
        record.disclosed.contains(&"given_name".to_owned())
            && record.withheld.contains(&"life_status".to_owned())
    );
    assert_eq!(record.call_id, person.call_id().unwrap().parse::<chapar_model::CallId>().unwrap().as_bytes());
}

#[tokio::test]
async fn a_refusal_of_a_known_caller_is_recorded_and_an_unknown_callers_is_not() {
    let bus = Bus::start().await;

    bus.caller("office/khorramabad-12/guest")
        .await
        .get_person(ZAHRA)
        .purpose("loan.farm")
        .send()
        .await
        .unwrap_err();
    bus.caller("com/nobody/here").await.get_person(ZAHRA).send().await.unwrap_err();
    bus.welfare().await.get_person(NOBODY).send().await.unwrap_err();

    assert_eq!(bus.outcomes().await, ["NOT_GRANTED", "RECORD_NOT_FOUND"]);
    assert!(
        bus.records()
            .await
            .iter()
            .all(|record| record.kind() == Kind::Refusal && record.disclosed.is_empty())
    );
}

#[tokio::test]
async fn a_receipt_verifies_offline_and_fails_when_any_bit_is_changed() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let person = welfare.get_person(ZAHRA).send().await.unwrap();

    let receipt = welfare.receipt(person.entry().unwrap()).await.unwrap();

    let sentence = verify::receipt(&receipt, &bus.trust()).unwrap().sentence().to_owned();
    assert!(sentence.starts_with("VALID") && sentence.contains("gov/welfare/benefits"), "{sentence}");
    assert!(!sentence.contains(ZAHRA) && !contains(&receipt, ZAHRA.as_bytes()), "a receipt names no citizen");
    for at in 0..receipt.len() {
        let mut altered = receipt.clone();
        altered[at] ^= 1;
        assert!(
            verify::receipt(&altered, &bus.trust()).is_err(),
            "bit 0 of byte {at} changed and still valid"
        );
    }
}

#[tokio::test]
async fn a_receipt_is_given_to_the_parties_of_the_call_only() {
    let bus = Bus::start().await;
    let entry = bus.welfare().await.get_person(ZAHRA).send().await.unwrap().entry().unwrap().to_owned();

    let other = bus.caller("office/khorramabad-12/guest").await.receipt(&entry).await;
    let provider = bus.caller("gov/civil-registry/adapter").await.receipt(&entry).await;

    assert!(other.is_err());
    assert!(provider.is_ok());
}

#[tokio::test]
async fn the_log_goes_on_after_a_restart_and_verifies_whole() {
    let mut bus = Bus::start().await;
    for _ in 0..3 {
        bus.welfare().await.get_person(ZAHRA).send().await.unwrap();
    }

    bus.restart_gateway().await;
    let fourth = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();

    assert!(fourth.entry().is_some_and(|entry| entry.ends_with("/3")), "{:?}", fourth.entry());
    let folder = bus.stop().await;
    let verified =
        verify::directory(&folder.path().join("evidence"), &chapar_tests::trust(folder.path()), &[]).unwrap();
    assert!(verified.sentence().starts_with("VALID"), "{}", verified.sentence());
}

#[tokio::test]
async fn an_evidence_folder_that_cannot_be_written_keeps_the_gateway_from_starting() {
    let failed = Bus::builder().evidence_path("/proc/evidence").try_start().await.unwrap_err();
    assert!(failed.contains("/proc/evidence"), "{failed}");
}

#[tokio::test]
async fn two_gateways_cannot_write_one_log() {
    let bus = Bus::start().await;
    let evidence = bus.folder().join("evidence");
    let failed = Bus::builder().evidence_path(evidence.to_str().unwrap()).try_start().await.unwrap_err();
    assert!(failed.contains("evidence"), "{failed}");
}

#[tokio::test]
async fn operators_see_commits_connections_and_failed_handshakes_counted() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    welfare.get_person(NOBODY).send().await.unwrap_err();
    bus.connect_without_certificate().await;

    let value = |page: &str, name: &str| {
        let line = page.lines().find(|line| line.split_once(' ').is_some_and(|(shown, _)| shown == name));
        let value = line.and_then(|line| line.split(' ').nth(1));
        value.unwrap_or_else(|| panic!("no {name} in {page}")).parse::<f64>().unwrap()
    };
    // Commits and failed handshakes are counted after those who wait for them have been told.
    let counted = async || {
        let page = bus.admin("/metrics").await;
        let all = value(&page, "chapar_evidence_records_total") == 2.0
            && value(&page, "chapar_handshakes_failed_total") == 1.0;
        all.then_some(page)
    };
    let page = until_some("the counts", Duration::from_secs(5), counted, String::new).await;
    let value = |name: &str| value(&page, name);
    assert_eq!(value("chapar_evidence_batch_records_sum"), 2.0);
    assert!(value("chapar_evidence_sync_seconds_sum") > 0.0);
    assert!(value("chapar_connections") >= 1.0);
}

#[tokio::test]
async fn nothing_in_logs_metrics_traces_or_evidence_names_the_citizen() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    welfare.get_person(NOBODY).send().await.unwrap_err();
    welfare.get_person("4061234561").send().await.unwrap_err();

    let metrics = bus.admin("/metrics").await;
    let traces = bus.admin("/traces").await;
    let folder = bus.stop().await;

    assert!(
        metrics.contains("chapar_calls_total") && traces.contains("chapar.call.id"),
        "the pages are not empty"
    );
    let mut sinks =
        vec![("metrics".to_owned(), metrics.into_bytes()), ("traces".to_owned(), traces.into_bytes())];
    files_below(&folder.path().join("evidence"), &mut sinks);
    for (name, bytes) in sinks {
        for canary in [ZAHRA, NOBODY, "4061234561", "زهرا", "کریمی"] {
            assert!(!contains(&bytes, canary.as_bytes()), "{name} names a citizen");
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn files_below(folder: &std::path::Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}
