//! `overhead` measures what the gateway costs: one unary call through gateway and adapter is compared with
//! the same call straight to the adapter, in turns in one run, with the gateway, the adapter and the load in
//! processes of their own. It prints a table; `docs/performance.md` keeps one.
//!
//! `cargo run --release -p chapar-tests --bin overhead -- [--people N] [--calls N] [--rounds N] [--callers
//! N,N,…]`

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_tests::binary::chapar;
use chapar_tests::load::{Report, closed, open};
use chapar_transport::dial::{Pool, Settings};
use chapar_transport::frame::{self, MessageReader};
use chapar_transport::tls::{self, Expect};
use http::{HeaderValue, Request};
use http_body_util::Full;

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Options {
    people: u64,
    calls: u64,
    rounds: usize,
    callers: Vec<usize>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("overhead: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn options() -> Result<Options, Error> {
    let mut options = Options { people: 2_000, calls: 20_000, rounds: 5, callers: vec![1, 8, 64] };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?;
        match name.as_str() {
            "--people" => options.people = value.parse()?,
            "--calls" => options.calls = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--callers" => options.callers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(options)
}

/// A process that is ended when this is dropped.
struct Process(Child);

impl Process {
    fn start(role: &str, config: &Path) -> Result<Self, Error> {
        let child = Command::new(chapar())
            .arg(role)
            .arg("--config")
            .arg(config)
            .args(["--log", "warn"])
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// User and system time so far, in seconds, from `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of
    /// 10 ms).
    fn cpu(&self) -> Result<f64, Error> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after_name = stat.rsplit(')').next().ok_or("no stat")?;
        let ticks: Vec<f64> =
            after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn run() -> Result<(), Error> {
    let options = options()?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("demo");
    let made = Command::new(chapar())
        .args(["demo", "--once", "--people", &options.people.to_string(), "--dir"])
        .arg(&dir)
        .stdout(Stdio::null())
        .status()?;
    if !made.success() {
        return Err("the demo's folder cannot be made".into());
    }
    lift_limits(&dir)?;
    listen_instead(&dir)?;
    let demo: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("demo.json"))?)?;
    let adapter = Process::start("adapter", &dir.join("adapters/civil.toml"))?;
    let gateway = Process::start("gateway", &dir.join("gateway.toml"))?;
    let ids: Arc<Vec<String>> = Arc::new(national_ids(&dir)?);
    let through = Target::through(&dir, &demo, &ids)?;
    let direct = Target::direct(&dir, &ids)?;
    for target in [&through, &direct] {
        target.ready().await?;
    }
    say(&format!(
        "{} people, {} calls a round, {} rounds in turns; medians of the rounds\n",
        options.people, options.calls, options.rounds
    ));
    say("load          way            calls/s      p50        p99        gateway CPU per call");
    for callers in options.callers.clone() {
        let shape = Shape::Closed { callers, calls: options.calls };
        compare(&shape, options.rounds, &direct, &through, &adapter, &gateway).await?;
    }
    compare(
        &Shape::Open { rate: 500.0, length: Duration::from_secs(4) },
        options.rounds,
        &direct,
        &through,
        &adapter,
        &gateway,
    )
    .await
}

/// The measured grant without its rate: the benchmark is about cost, not about being refused.
fn lift_limits(dir: &Path) -> Result<(), Error> {
    let path = dir.join("registry/gov/civil-registry.toml");
    let text = std::fs::read_to_string(&path)?;
    let kept: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("limit")).collect();
    Ok(std::fs::write(path, kept.join("\n"))?)
}

/// The demo's adapter joins the gateway; here it listens, so that it can also be asked without one.
fn listen_instead(dir: &Path) -> Result<(), Error> {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let path = dir.join("adapters/civil.toml");
    let text = std::fs::read_to_string(&path)?;
    let listen = format!("listen = \"127.0.0.1:{port}\"");
    let lines: Vec<&str> =
        text.lines().map(|line| if line.starts_with("dial") { listen.as_str() } else { line }).collect();
    std::fs::write(&path, lines.join("\n"))?;
    let path = dir.join("registry/gov/civil-registry.toml");
    let text = std::fs::read_to_string(&path)?;
    let endpoints = format!("[[service]]\nendpoints = [\"https://127.0.0.1:{port}\"]");
    Ok(std::fs::write(&path, text.replacen("[[service]]", &endpoints, 1))?)
}

fn national_ids(dir: &Path) -> Result<Vec<String>, Error> {
    let database = rusqlite::Connection::open(dir.join("databases/civil.db"))?;
    let mut statement =
        database.prepare("SELECT national_id FROM person WHERE province = '15' LIMIT 10000")?;
    let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    if ids.is_empty() { Err("the civil register is empty".into()) } else { Ok(ids) }
}

/// One way to the record.
#[derive(Clone)]
struct Target {
    pool: Arc<Pool>,
    headers: http::HeaderMap,
    ids: Arc<Vec<String>>,
}

fn files(dir: &Path, cert: PathBuf, key: PathBuf) -> tls::Files {
    tls::Files { cert, key, trust: dir.join("pki/ca.crt"), crl: None }
}

impl Target {
    /// As the welfare agency, through the gateway.
    fn through(dir: &Path, demo: &serde_json::Value, ids: &Arc<Vec<String>>) -> Result<Self, Error> {
        let identity = &demo["identities"]["gov/welfare/benefits"];
        let path = |key: &str| {
            identity[key].as_str().map(|path| dir.join(path)).ok_or("demo.json lacks the identity")
        };
        let gateway = demo["gateway"].as_str().ok_or("demo.json lacks the gateway")?;
        let expect = "spiffe://lorestan.example/bus/lorestan/gateway".parse()?;
        let tls = tls::client(&files(dir, path("cert")?, path("key")?), Expect::identities(vec![expect]))?;
        Self::new(gateway, tls, &[("chapar-purpose", "benefit.eligibility")], ids)
    }

    /// As the gateway itself, straight to the adapter.
    fn direct(dir: &Path, ids: &Arc<Vec<String>>) -> Result<Self, Error> {
        let text = std::fs::read_to_string(dir.join("adapters/civil.toml"))?;
        let listen =
            text.lines().find_map(|line| line.strip_prefix("listen")).and_then(|rest| rest.split('"').nth(1));
        let expect = "spiffe://lorestan.example/gov/civil-registry/adapter".parse()?;
        let tls = tls::client(
            &files(dir, dir.join("pki/gateway.crt"), dir.join("pki/gateway.key")),
            Expect::identities(vec![expect]),
        )?;
        let headers = [
            ("chapar-call-id", "01900000-0000-7000-8000-000000000000"),
            ("chapar-caller", "gov/welfare/benefits"),
            ("chapar-fields", "national_id,given_name,family_name,birth_date"),
            ("chapar-rows", "province=15"),
            ("chapar-purpose", "benefit.eligibility"),
        ];
        Self::new(listen.ok_or("adapters/civil.toml has no listen")?, tls, &headers, ids)
    }

    fn new(
        address: &str,
        tls: Arc<rustls::ClientConfig>,
        headers: &[(&'static str, &'static str)],
        ids: &Arc<Vec<String>>,
    ) -> Result<Self, Error> {
        let pool = Arc::new(Pool::new(&format!("https://{address}"), tls, Settings::default())?);
        let mut map = http::HeaderMap::new();
        for (name, value) in headers.iter().chain(&[
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "1S"),
        ]) {
            map.insert(*name, HeaderValue::from_static(value));
        }
        Ok(Self { pool, headers: map, ids: Arc::clone(ids) })
    }

    async fn ready(&self) -> Result<(), Error> {
        let began = Instant::now();
        while !self.call(0).await {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("a part of the bus does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Asks for one person; whether the answer is whole and OK.
    async fn call(&self, number: u64) -> bool {
        let index = usize::try_from(number % self.ids.len() as u64).unwrap_or_default();
        let message = [&[0x0a, 10][..], self.ids[index].as_bytes()].concat();
        let mut request = Request::new(Full::new(frame::encode(message.into())));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        let path = http::uri::PathAndQuery::from_static("/civil.v1.CivilRegistry/GetPerson");
        let Ok(response) = self.pool.send(path, request).await else { return false };
        let mut reader = MessageReader::new(response.into_body(), 1 << 20);
        let answered = matches!(reader.next().await, Ok(Some(_))) && matches!(reader.next().await, Ok(None));
        answered
            && reader
                .trailers()
                .is_some_and(|trailers| trailers.get("grpc-status").is_some_and(|status| status == "0"))
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Closed { callers: usize, calls: u64 },
    Open { rate: f64, length: Duration },
}

impl Shape {
    async fn run(self, target: &Target) -> Report {
        let target = target.clone();
        let call = move |number| {
            let target = target.clone();
            async move { target.call(number).await }
        };
        match self {
            Self::Closed { callers, calls } => closed(callers, calls, call).await,
            Self::Open { rate, length } => open(rate, length, call).await,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Closed { callers, .. } => format!("closed, {callers}"),
            Self::Open { rate, .. } => format!("open, {rate}/s"),
        }
    }
}

/// The rounds of one way.
#[derive(Default)]
struct Rounds {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, report: &Report, cpu: f64) -> Result<(), Error> {
        if report.failed > 0 {
            return Err(
                format!("{} of {} calls failed", report.failed, report.failed + report.answered).into()
            );
        }
        self.rate.push(report.rate());
        self.p50.push(report.quantile(0.5).as_secs_f64() * 1e6);
        self.p99.push(report.quantile(0.99).as_secs_f64() * 1e6);
        self.cpu.push(cpu / report.answered as f64 * 1e6);
        Ok(())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn compare(
    shape: &Shape,
    rounds: usize,
    direct: &Target,
    through: &Target,
    adapter: &Process,
    gateway: &Process,
) -> Result<(), Error> {
    let mut straight = Rounds::default();
    let mut gated = Rounds::default();
    for _ in 0..rounds {
        let before = adapter.cpu()?;
        let report = shape.run(direct).await;
        straight.add(&report, adapter.cpu()? - before)?;
        let before = gateway.cpu()?;
        let report = shape.run(through).await;
        gated.add(&report, gateway.cpu()? - before)?;
    }
    let name = shape.name();
    let line = |way: &str, rounds: &Rounds, cpu: String| {
        say(&format!(
            "{name:<13} {way:<13} {:>8.0}  {:>7.0} µs {:>8.0} µs   {cpu}",
            median(&rounds.rate),
            median(&rounds.p50),
            median(&rounds.p99)
        ));
    };
    line("adapter", &straight, format!("(adapter: {:.0} µs)", median(&straight.cpu)));
    line("gateway", &gated, format!("{:.0} µs", median(&gated.cpu)));
    let added = |of: fn(&Rounds) -> &Vec<f64>| median(of(&gated)) - median(of(&straight));
    say(&format!(
        "{:<13} {:<13} {:>8}  {:>+7.0} µs {:>+8.0} µs",
        "",
        "added",
        "",
        added(|r| &r.p50),
        added(|r| &r.p99)
    ));
    Ok(())
}
