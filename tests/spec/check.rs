//! Tests of `chapar check`: what does not hold of a running bus is told with what to do, and each check is
//! explained by a section of the documentation.

use std::process::{Command, Output};
use std::time::Duration;

use chapar_operator::check::CheckId;
use chapar_tests::binary::{Demo, chapar};
use chapar_tests::operator::OPERATIONS;
use chapar_tests::{Bus, Certificate, repository, until_some};

/// The exit code, standard output, and standard error of a command.
fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// `chapar check --output json` of the harness's bus, as a subsystem.
fn check(bus: &Bus, subsystem: &str) -> (i32, serde_json::Value) {
    let pki = bus.folder().join("pki");
    bus.issue(&Certificate::of(subsystem), "checker");
    let (code, said, _) = run(Command::new(chapar())
        .args(["check", "--output", "json", "--gateway", &bus.address().to_string()])
        .args(["--server-name", "gateway.lorestan.example", "--cert"])
        .arg(pki.join("checker.crt"))
        .arg("--key")
        .arg(pki.join("checker.key"))
        .arg("--ca")
        .arg(pki.join("ca.crt")));
    (code, serde_json::from_str(&said).unwrap())
}

/// What is told of one check of the document.
fn told(document: &serde_json::Value, id: CheckId) -> serde_json::Value {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["id"] == id.as_str());
    found.unwrap_or_else(|| panic!("no {id:?} in {document}")).clone()
}

/// A bus whose clock is this machine's.
async fn now() -> Bus {
    let now = chapar_model::Clock::system().now().to_string();
    Bus::builder().with_operator().at(&now).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agency_whose_adapter_is_gone_is_a_failed_check_with_what_to_do() {
    let mut bus = now().await;
    bus.welfare().await.health_becomes("civil.v1.CivilRegistry", true).await;
    assert_eq!(told(&check(&bus, OPERATIONS).1, CheckId::ServiceUp)["status"], "good");
    bus.stop_adapter().await;
    bus.welfare().await.health_becomes("civil.v1.CivilRegistry", false).await;
    let (code, document) = check(&bus, OPERATIONS);
    assert_eq!((code, document["status"].as_str()), (2, Some("failed")), "{document}");
    let failed = told(&document, CheckId::ServiceUp);
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["doc"], "docs/reference/checks.md#service-up");
    assert!(failed["fix"].as_str().unwrap().contains("gov/civil-registry"), "{failed}");
    bus.start_adapter().await;
    bus.welfare().await.health_becomes("civil.v1.CivilRegistry", true).await;
    assert_eq!(told(&check(&bus, OPERATIONS).1, CheckId::ServiceUp)["status"], "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_clock_is_wrong_is_told() {
    let bus = Bus::builder().with_operator().start().await;
    let (_, document) = check(&bus, OPERATIONS);
    let clock = told(&document, CheckId::GatewayClock);
    assert_eq!(clock["status"], "failed", "the harness's clock stands still: {clock}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_operator_is_told_how_to_become_one() {
    let bus = now().await;
    let (code, document) = check(&bus, "gov/welfare/benefits");
    assert_eq!(code, 2);
    let refused = told(&document, CheckId::GatewayReachable);
    assert!(refused["fix"].as_str().unwrap().contains("[[operator]]"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_holds_every_check_and_a_gateway_that_is_gone_does_not() {
    let demo = Demo::start(&["--people", "20"]);
    let checked = || run(Command::new(chapar()).arg("check").arg("--demo").arg(demo.folder()));
    // The demo's story stops an adapter on its way.
    let limit = Duration::from_secs(30);
    let good = until_some(
        "every check holds",
        limit,
        async || Some(checked()).filter(|seen| seen.0 == 0),
        String::new,
    );
    let (_, said, summary) = good.await;
    assert!(said.contains("√ evidence-checkpoint") && !said.contains('×'), "{said}");
    assert!(summary.contains("0 warnings, 0 failed"), "{summary}");
    let status = run(Command::new(chapar()).args(["status", "--demo"]).arg(demo.folder()));
    assert!(status.0 == 0 && status.1.contains("takes calls"), "{status:?}");

    // One address that nobody listens on, beside the demo's own.
    let file = |kind: &str| demo.folder().join(demo.json()["identities"][OPERATIONS][kind].as_str().unwrap());
    let own = demo.json()["gateway"].as_str().unwrap().to_owned();
    let (code, said, _) = run(Command::new(chapar())
        .args([
            "check",
            "--server-name",
            "gateway.lorestan.example",
            "--gateway",
            &format!("{own},127.0.0.1:1"),
        ])
        .arg("--cert")
        .arg(file("cert"))
        .arg("--key")
        .arg(file("key"))
        .arg("--ca")
        .arg(demo.folder().join("pki/ca.crt")));
    assert_eq!(code, 2);
    assert!(
        said.contains("× gateway-reachable") && said.contains("chapar doctor connect --gateway 127.0.0.1:1"),
        "{said}"
    );
}

#[test]
fn each_check_is_explained_and_no_other_is() {
    let page = std::fs::read_to_string(repository().join("docs/reference/checks.md")).unwrap();
    let explained: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let ids: Vec<&str> = CheckId::ALL.iter().map(|id| id.as_str()).collect();
    assert_eq!(explained, ids);
}
