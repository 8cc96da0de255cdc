//! These tests read the metrics as Prometheus does.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use chapar_model::Reason;
use chapar_telemetry::{Config, Metrics, Telemetry};

const METHOD: &str = "civil.v1.CivilRegistry/GetPerson";

fn metrics() -> Metrics {
    let telemetry =
        Telemetry::new(Config { service_name: "gateway".to_owned(), ..Config::default() }).unwrap();
    Metrics::new(&telemetry, [METHOD])
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|one| one == line)
}

#[test]
fn calls_are_counted_by_method_and_outcome_and_timed_by_method() {
    let metrics = metrics();
    let method = metrics.method(METHOD);
    method.begin().finish(None);
    method.begin().finish(None);
    method.begin().finish(Some(Reason::NotGranted));

    let text = metrics.encode();
    assert!(
        has(&text, r#"chapar_calls_total{method="civil.v1.CivilRegistry/GetPerson",outcome="OK"} 2"#),
        "{text}"
    );
    assert!(has(
        &text,
        r#"chapar_calls_total{method="civil.v1.CivilRegistry/GetPerson",outcome="NOT_GRANTED"} 1"#
    ));
    assert!(has(&text, r#"chapar_call_duration_seconds_count{method="civil.v1.CivilRegistry/GetPerson"} 3"#));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_method_that_the_registry_does_not_know_is_one_label() {
    let metrics = metrics();
    for path in ["evil.v1.Evil/A", "evil.v1.Evil/B", "1234567890"] {
        metrics.method(path).begin().finish(Some(Reason::MethodUnknown));
    }
    let text = metrics.encode();
    assert!(has(&text, r#"chapar_calls_total{method="unknown",outcome="METHOD_UNKNOWN"} 3"#), "{text}");
    assert!(!text.contains("evil") && !text.contains("1234567890"));
}

#[test]
fn a_call_is_in_flight_until_it_ends_and_one_dropped_unfinished_was_cancelled() {
    let metrics = metrics();
    let timer = metrics.method(METHOD).begin();
    assert!(has(&metrics.encode(), "chapar_calls_in_flight 1"));
    drop(timer);
    let text = metrics.encode();
    assert!(has(&text, "chapar_calls_in_flight 0"));
    assert!(has(
        &text,
        r#"chapar_calls_total{method="civil.v1.CivilRegistry/GetPerson",outcome="CANCELLED"} 1"#
    ));
}

#[test]
fn methods_of_a_new_registry_join_and_counts_stay() {
    let metrics = metrics();
    metrics.method(METHOD).begin().finish(None);
    metrics.add_methods([METHOD, "health.v1.InsuranceRegistry/GetCoverage"]);
    metrics.method("health.v1.InsuranceRegistry/GetCoverage").begin().finish(None);
    let text = metrics.encode();
    assert!(has(&text, r#"chapar_calls_total{method="civil.v1.CivilRegistry/GetPerson",outcome="OK"} 1"#));
    assert!(has(
        &text,
        r#"chapar_calls_total{method="health.v1.InsuranceRegistry/GetCoverage",outcome="OK"} 1"#
    ));
}

#[test]
fn every_metric_name_is_documented() {
    let text = metrics().encode();
    let page = include_str!("../../../docs/reference/telemetry.md");
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|rest| rest.split(' ').next());
    for name in names {
        assert!(page.contains(name), "docs/reference/telemetry.md does not name {name}");
    }
}
