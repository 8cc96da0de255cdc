//! `chapar adapter` while it runs: it says whether a gateway took it, takes up certificates and revocation
//! lists when they change, and all files when it is told to hang up.

use std::process::Command;
use std::time::Duration;

use chapar_tests::binary::chapar;
use chapar_tests::fleet::Fleet;
use chapar_tests::people::ZAHRA;
use chapar_tests::{AdapterProcess, Bus, Certificate, Joiner, until};
use tokio_util::sync::CancellationToken;

const STATEMENT: &str = "agency/civil/v1/CivilRegistry/GetPerson.sql";
const CONTRACT: &str = "agency/civil/v1/civil.proto";
const JOINED: &str = "joined the gateway";

/// A bus with an adapter on both its connections.
async fn joined() -> (Bus, AdapterProcess) {
    let bus = Bus::builder().joining().start().await;
    let mut adapter = AdapterProcess::start(&bus, "pki/adapter");
    adapter.logs(JOINED, 2).await;
    (bus, adapter)
}

fn rewrite(bus: &Bus, file: &str, change: impl Fn(String) -> String) {
    let file = bus.folder().join(file);
    std::fs::write(&file, change(std::fs::read_to_string(&file).unwrap())).unwrap();
}

async fn given_name(bus: &Bus) -> String {
    let person = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();
    person.json()["givenName"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_changed_statement_and_a_renewed_certificate_are_taken_up_at_a_hang_up() {
    let (bus, mut adapter) = joined().await;
    let before = given_name(&bus).await;

    rewrite(&bus, STATEMENT, |text| text.replace("given_name,", "'X' || given_name AS given_name,"));
    bus.issue(&Certificate::of("gov/civil-registry/adapter"), "adapter");
    adapter.hang_up();

    adapter.logs("adapter reloaded", 1).await;
    adapter.logs(JOINED, 4).await;
    assert_eq!(given_name(&bus).await, format!("X{before}"));
}

#[tokio::test]
async fn a_changed_contract_is_taken_up_at_a_hang_up() {
    let (bus, mut adapter) = joined().await;
    let children = async || {
        let ask = bus.welfare().await.ask("civil.v1.CivilRegistry/ListChildren");
        ask.purpose("benefit.eligibility").field("national_id", ZAHRA).send().await
    };
    assert_eq!(children().await.unwrap().messages(), 2);

    rewrite(&bus, CONTRACT, |text| text.replace("max_rows: 50", "max_rows: 1"));
    adapter.hang_up();

    adapter.logs("adapter reloaded", 1).await;
    adapter.logs(JOINED, 4).await;
    assert_eq!(children().await.unwrap_err().reason, "TOO_MANY_ROWS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_revoked_gets_no_answer_after_a_hang_up() {
    let fleet = Fleet::builder().without_endpoints().build().await;
    let mut adapter = AdapterProcess::of_fleet(&fleet);
    let gateway = fleet.start().await;
    adapter.logs(JOINED, 2).await;
    let client = fleet.client("caller");
    client.get_person().await.unwrap();

    fleet.pki().revoke("gateway");
    adapter.hang_up();

    adapter.logs("adapter reloaded", 1).await;
    let refused = async || client.get_person().await.is_err();
    until("a revoked gateway is refused", Duration::from_secs(20), refused, || adapter.log()).await;
    let refused = client.get_person().await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn files_that_are_bad_at_a_hang_up_are_told_and_change_nothing() {
    let (bus, mut adapter) = joined().await;
    let before = given_name(&bus).await;

    rewrite(&bus, STATEMENT, |text| text.replace("given_name,", "no_such_column AS given_name,"));
    bus.issue(&Certificate::of("gov/civil-registry/adapter").signed_by_a_stranger(), "adapter");
    adapter.hang_up();

    adapter.logs("reload failed: the previous settings and statements stay in force", 1).await;
    assert!(adapter.log().contains("GetPerson.sql"), "the file at fault is named: {}", adapter.log());
    assert_eq!(given_name(&bus).await, before);
    assert_eq!(adapter.log().matches(JOINED).count(), 2, "the connections are the same");
}

#[tokio::test]
async fn a_certificate_that_the_gateway_refuses_is_a_warning_with_its_reason_and_never_a_joining() {
    let bus = Bus::builder().joining().start().await;
    bus.issue(&Certificate::of("gov/welfare/benefits"), "agency");
    bus.issue(&Certificate::of("gov/civil-registry/adapter").signed_by_a_stranger(), "stranger");

    let reasons = [
        ("pki/agency", "its registry names no adapter"),
        ("pki/stranger", "received fatal alert: UnknownCA"),
    ];
    for (name, reason) in reasons {
        let mut adapter = AdapterProcess::start(&bus, name);
        adapter.logs(reason, 1).await;
        let log = adapter.log();
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(reason)), "{log}");
        assert!(!log.contains(JOINED), "{log}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_without_a_signal() {
    let fleet = Fleet::new().await;
    let adapter = Joiner::bind(Joiner::settings_in(&fleet, "listen = \"127.0.0.1:0\"")).await.unwrap();
    let address = adapter.local_addr().unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(adapter.run(stop.clone()));

    let renewed = fleet.pki().issue("gov/civil-registry/adapter", "adapter");

    let shown = async || fleet.pki().shown_at(address, "gateway").await == renewed;
    until("the new certificate is shown", Duration::from_secs(20), shown, String::new).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_restart_does_not_go_back_to_an_older_revocation_list_however_gateways_reach_it() {
    for mode in ["listen = \"127.0.0.1:0\"", "dial = \"127.0.0.1:1\""] {
        let fleet = Fleet::new().await;
        let list = fleet.pki().folder().join("ca.crl");
        let older = std::fs::read(&list).unwrap();
        fleet.pki().renew_list();
        let settings = Joiner::settings_in(&fleet, mode);
        drop(Joiner::bind(settings.clone()).await.unwrap());

        std::fs::write(&list, older).unwrap();

        let refused = Joiner::bind(settings.clone()).await.err().unwrap().to_string();
        assert!(refused.contains("is older than the last one"), "{mode}: {refused}");
        let checked = chapar_adapter::Adapter::check(&settings).await;
        assert!(checked.is_err(), "{mode}: a check says what a start would");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_keeps_no_adapter_from_its_work() {
    let bus = Bus::builder().joining().start().await;
    let _adapter = AdapterProcess::logging_to(&bus, "pki/adapter", "/dev/full".into());
    let welfare = bus.welfare().await;
    let answered = async || welfare.get_person(ZAHRA).send().await.is_ok();
    until("calls are answered", Duration::from_secs(10), answered, String::new).await;
}

#[tokio::test]
async fn the_admin_pages_tell_calls_methods_and_connections_and_no_value() {
    let bus = Bus::builder().joining().start().await;
    let adapter = Joiner::start(&bus, bus.address()).await;
    given_name(&bus).await;

    assert_eq!(adapter.admin("/livez").await, "ok\n");
    assert_eq!(adapter.admin("/readyz").await, "ready\n");
    let metrics = adapter.admin("/metrics").await;
    for line in [
        r#"chapar_calls_total{method="civil.v1.CivilRegistry/GetPerson",outcome="OK"} 1"#,
        r#"chapar_call_duration_seconds_count{method="civil.v1.CivilRegistry/GetPerson"} 1"#,
        "chapar_calls_in_flight 0",
        r#"chapar_method_open{method="civil.v1.CivilRegistry/GetPerson"} 1"#,
        r#"chapar_source_connections{source="civil",state="used"} 0"#,
        r#"chapar_source_waiting{source="civil"} 0"#,
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} in {metrics}");
    }
    assert!(!metrics.contains(ZAHRA), "{metrics}");
}

#[tokio::test]
async fn the_admin_pages_are_for_the_operators_own_tools() {
    let bus = Bus::builder().joining().start().await;
    let adapter = Joiner::start(&bus, bus.address()).await;
    let rebound = adapter.admin_request("GET", "/metrics", "host: evil.example\r\n").await;
    assert!(rebound.starts_with("the Host header must be"), "{rebound}");
    let foreign = "host: localhost\r\norigin: http://evil.example\r\n";
    let foreign = adapter.admin_request("GET", "/metrics", foreign).await;
    assert!(foreign.contains("another origin"), "{foreign}");
}

#[tokio::test]
async fn completeness_is_a_table_of_the_calls_that_the_adapter_answered() {
    let (bus, mut adapter) = joined().await;
    given_name(&bus).await;
    adapter.stop().await;
    let told = |more: &[&str]| {
        let mut command = Command::new(chapar());
        command.args(["adapter", "completeness", "--config"]).arg(bus.folder().join("joiner.toml"));
        let output = command.args(more).output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let table = told(&[]);
    let line = table.lines().find(|line| line.starts_with("civil.v1.CivilRegistry/GetPerson "));
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("{table}")).split_whitespace().collect();
    assert_eq!(words.get(1), Some(&"1"), "{table}");
    assert!(!table.contains(ZAHRA), "{table}");
    let earlier = told(&["--since", "2020-01-01", "--until", "2020-01-31", "--output", "json"]);
    let earlier: serde_json::Value = serde_json::from_str(&earlier).expect("JSON");
    assert_eq!(earlier["methods"], serde_json::json!({}), "{earlier}");
}
