//! These tests read the metrics as Prometheus does.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use chapar_model::Reason;
use chapar_telemetry::{Config, Metrics, SharedLimits, SourceMetrics, Telemetry, UpstreamMetrics};

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
fn every_metric_of_every_role_is_documented_by_name() {
    let mut metrics = metrics();
    let upstreams = UpstreamMetrics::default();
    upstreams.service("civil.v1.CivilRegistry");
    metrics.add_upstreams(&upstreams);
    metrics.add_evidence();
    metrics.add_listener();
    let shared = SharedLimits { is_up: true, gateways: 1, answered: 1, failed: 1, own: 1, waits: 1 };
    metrics.add_limits().set(&shared);
    metrics.add_state();
    let sources = SourceMetrics::default();
    metrics.add_sources(&sources);
    let published = metrics.add_published();
    // A family without a series is not shown.
    sources.source("civil");
    published.opened([(METHOD, true)].into_iter());
    published.answered(METHOD, [("full", 1), ("partial", 0), ("missing", 0), ("failed", 0)]);
    published.field(METHOD, "given_name", 1, 0);
    metrics.method(METHOD).begin().finish(None);
    metrics.reloaded("policy", true);
    metrics.revocation([("CN=a", 1)].into_iter(), 0);
    let text = metrics.encode();
    let page = include_str!("../../../docs/reference/telemetry.md");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: Vec<(&str, &str)> = types.filter_map(|rest| rest.split_once(' ')).collect();
    assert!(types.len() > 40, "{types:?}");
    for (name, kind) in types {
        // A counter's series has the suffix (OpenMetrics 1.0, "Counter").
        let series = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(page.contains(&format!("`{series}`")), "docs/reference/telemetry.md does not name {series}");
    }
}
