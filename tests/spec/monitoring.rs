//! Tests of `deploy/monitoring`: the rules say what they mean, every alert is explained, no expression names
//! a metric that does not exist, and Prometheus itself reads a gateway's metrics and sees a fault.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chapar_tests::{Bus, repository, until, until_some};

fn folder() -> PathBuf {
    repository().join("deploy/monitoring")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(folder()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_alert_fires_for_its_fault_and_for_no_other() {
    promtool(&["check", "rules", "rules.yml"]);
    promtool(&["test", "rules", "rules.test.yml"]);
    let names = |text: &str, key: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        lines.map(|name| name.trim().to_owned()).collect()
    };
    let rules = read("rules.yml");
    let alerts = names(&rules, "- alert:");
    assert_eq!(alerts, names(&read("rules.test.yml"), "alertname:"), "each has a test");
    let page = std::fs::read_to_string(repository().join("docs/reference/alerts.md")).unwrap();
    assert_eq!(alerts, names(&page, "### "), "each is explained");
    for alert in alerts {
        let anchor = format!("docs/reference/alerts.md#{}", alert.to_lowercase());
        assert!(rules.contains(&format!("runbook: {anchor}\n")), "{alert}");
    }
}

/// Names that begin as the bus's metrics do.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_name(c)).filter(|word| word.starts_with("chapar_"));
    words.map(str::to_owned).collect()
}

#[test]
fn no_expression_names_a_metric_that_does_not_exist() {
    // The tests of the crates telemetry and auditor hold these pages to what the code registers.
    let page = |name: &str| std::fs::read_to_string(repository().join("docs/reference").join(name)).unwrap();
    let known = metrics_in(&(page("telemetry.md") + &page("auditor.md")));
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/chapar.json")).unwrap();
    assert_eq!(dashboard["uid"], "chapar", "a dashboard's uid is its file's name");
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<String> =
        targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(panels.iter().all(|panel| panel["datasource"]["uid"] == "${datasource}"));
    let rules = read("rules.yml");
    let used: BTreeSet<String> =
        expressions.iter().map(String::as_str).chain([rules.as_str()]).flat_map(metrics_in).collect();
    assert!(used.len() >= 20, "{used:?}");
    let unknown: Vec<&String> = used
        .iter()
        // Histograms are named without the suffixes of their series.
        .filter(|name| !known.contains(name.trim_end_matches("_bucket")))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A Prometheus of Debian's package that scrapes some addresses.
struct Prometheus {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    async fn scraping(gateway: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The rules as they are, without their waiting: a test has no minutes.
        let rules: String = read("rules.yml")
            .lines()
            .filter(|line| !line.trim().starts_with("for:"))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 200ms, evaluation_interval: 200ms }}\nrule_files: [rules.yml]\nscrape_configs:\n  - job_name: \
             chapar-gateway\n    static_configs: [{{ targets: [\"{gateway}\"] }}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, address: free.to_string(), _folder: folder };
        let limit = Duration::from_secs(20);
        until(
            "prometheus is ready",
            limit,
            async || prometheus.get("/-/ready").is_some_and(|said| said.contains(" 200 ")),
            String::new,
        )
        .await;
        prometheus
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }

    /// The alerts that fire.
    fn firing(&self) -> BTreeSet<String> {
        let said = self.get("/api/v1/alerts").unwrap_or_default();
        let body = said.split_once("\r\n\r\n").map_or("{}", |(_, body)| body);
        let document: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let alerts = document["data"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_a_gateway_and_sees_its_adapter_go() {
    let now = chapar_model::Clock::system().now().to_string();
    let mut bus = Bus::builder().at(&now).start().await;
    bus.welfare().await.health_becomes("civil.v1.CivilRegistry", true).await;
    let prometheus = Prometheus::scraping(&bus.admin_address().to_string()).await;
    let limit = Duration::from_secs(20);
    let healthy = until_some(
        "a scrape",
        limit,
        async || prometheus.get("/api/v1/query?query=chapar_ready").filter(|said| said.contains("\"1\"")),
        String::new,
    );
    assert!(healthy.await.contains("chapar_ready"));
    assert!(!prometheus.firing().contains("ChaparServiceDown"));
    bus.stop_adapter().await;
    until("the alert fires", limit, async || prometheus.firing().contains("ChaparServiceDown"), String::new)
        .await;
    bus.start_adapter().await;
    until("it ends", limit, async || !prometheus.firing().contains("ChaparServiceDown"), String::new).await;
}
