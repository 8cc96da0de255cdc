//! `measure` has what benchmarks share: processes with their CPU time, a target that is asked for one person
//! of the civil register, and the medians of rounds.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_transport::dial::{Pool, Settings};
use chapar_transport::frame::{self, MessageReader};
use chapar_transport::tls::{self, Expect};
use http::{HeaderValue, Request};
use http_body_util::Full;

use crate::binary::chapar;
use crate::load::{Report, closed, open};

/// Why a measurement could not be made.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A process that is ended when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a role of `chapar` with these settings.
    ///
    /// # Errors
    /// As starting a process does.
    pub fn chapar(role: &str, config: &Path) -> Result<Self, Error> {
        let mut command = Command::new(chapar());
        Self::of(command.arg(role).arg("--config").arg(config).args(["--log", "warn"]))
    }

    /// Starts a program.
    ///
    /// # Errors
    /// As starting a process does.
    pub fn of(command: &mut Command) -> Result<Self, Error> {
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }

    /// User and system time so far, in seconds, from `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of
    /// 10 ms).
    ///
    /// # Errors
    /// If the process has gone.
    pub fn cpu(&self) -> Result<f64, Error> {
        cpu_of(&self.0.id().to_string())
    }
}

/// User and system time of this process so far, in seconds, as [`Process::cpu`].
///
/// # Errors
/// As reading `/proc/self/stat`.
pub fn own_cpu() -> Result<f64, Error> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Result<f64, Error> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(')').next().ok_or("no stat")?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

impl Process {
    /// Memory in use now, in bytes (proc(5): `VmRSS` of `/proc/PID/status`).
    ///
    /// # Errors
    /// If the process has gone.
    pub fn resident(&self) -> Result<u64, Error> {
        self.status("VmRSS:")
    }

    /// The most memory that was in use at once, in bytes (`VmHWM`).
    ///
    /// # Errors
    /// If the process has gone.
    pub fn most_resident(&self) -> Result<u64, Error> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let kibibytes = line.split_whitespace().next().ok_or("no number")?;
        Ok(kibibytes.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Makes a demo's folder with these options.
///
/// # Errors
/// If the demo does not end well.
pub fn demo(dir: &Path, options: &[&str]) -> Result<(), Error> {
    let made = Command::new(chapar())
        .args(["demo", "--once", "--dir"])
        .arg(dir)
        .args(options)
        .stdout(Stdio::null())
        .status()?;
    if made.success() { Ok(()) } else { Err("the demo's folder cannot be made".into()) }
}

/// The demo's adapter of the civil register joins the gateway; here it listens, so that it can also be asked
/// without one. Returns its port.
///
/// # Errors
/// As reading and writing do.
pub fn listen_instead(dir: &Path) -> Result<u16, Error> {
    let port = free_port()?;
    let path = dir.join("adapters/civil.toml");
    let text = std::fs::read_to_string(&path)?;
    let listen = format!("listen = \"127.0.0.1:{port}\"");
    let lines: Vec<&str> =
        text.lines().map(|line| if line.starts_with("dial") { listen.as_str() } else { line }).collect();
    std::fs::write(&path, lines.join("\n"))?;
    Ok(port)
}

/// A port that nobody listens on.
///
/// # Errors
/// As binding does.
pub fn free_port() -> Result<u16, Error> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// National ids of up to 10,000 people of Lorestan.
///
/// # Errors
/// If the register cannot be read or has none.
pub fn national_ids(dir: &Path) -> Result<Arc<Vec<String>>, Error> {
    let database = rusqlite::Connection::open(dir.join("databases/civil.db"))?;
    let mut statement =
        database.prepare("SELECT national_id FROM person WHERE province = '15' LIMIT 10000")?;
    let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    if ids.is_empty() { Err("the civil register is empty".into()) } else { Ok(Arc::new(ids)) }
}

/// One way to a person's record.
#[derive(Clone)]
pub struct Target {
    pool: Arc<Pool>,
    headers: http::HeaderMap,
    ids: Arc<Vec<String>>,
}

pub(crate) fn files(dir: &Path, cert: PathBuf, key: PathBuf) -> tls::Files {
    tls::Files { cert, key, trust: dir.join("pki/ca.crt"), crl: None }
}

impl Target {
    /// As the welfare agency, through the gateway.
    ///
    /// # Errors
    /// If the demo's files are not as a demo writes them.
    pub fn through(dir: &Path, demo: &serde_json::Value, ids: &Arc<Vec<String>>) -> Result<Self, Error> {
        let identity = &demo["identities"]["gov/welfare/benefits"];
        let path = |key: &str| {
            identity[key].as_str().map(|path| dir.join(path)).ok_or("demo.json lacks the identity")
        };
        let gateway = demo["gateway"].as_str().ok_or("demo.json lacks the gateway")?;
        let expect = "spiffe://lorestan.example/bus/lorestan/gateway".parse()?;
        let tls = tls::client(&files(dir, path("cert")?, path("key")?), Expect::identities(vec![expect]))?;
        Self::new(gateway, tls, &[("chapar-purpose", "benefit.eligibility")], ids)
    }

    /// As the gateway itself, straight to the civil register's adapter, or to a server with its certificate.
    ///
    /// # Errors
    /// As [`Target::through`].
    pub fn direct(dir: &Path, port: u16, ids: &Arc<Vec<String>>) -> Result<Self, Error> {
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
        Self::new(&format!("127.0.0.1:{port}"), tls, &headers, ids)
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

    /// Waits until it answers.
    ///
    /// # Errors
    /// If it does not within ten seconds.
    pub async fn ready(&self) -> Result<(), Error> {
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

/// How a target is asked.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// So many callers, each the next call as soon as its last is answered.
    Closed {
        /// At once.
        callers: usize,
        /// In all.
        calls: u64,
    },
    /// Calls begin at a rate.
    Open {
        /// Calls a second.
        rate: f64,
        /// For how long.
        length: Duration,
    },
}

impl Shape {
    /// Asks the target.
    pub async fn run(self, target: &Target) -> Report {
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

    /// For a table.
    pub fn name(self) -> String {
        match self {
            Self::Closed { callers, .. } => format!("closed, {callers}"),
            Self::Open { rate, .. } => format!("open, {rate}/s"),
        }
    }
}

/// The rounds of one way.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Calls a second.
    pub rate: Vec<f64>,
    /// Median latency, in µs.
    pub p50: Vec<f64>,
    /// 99th percentile of latency, in µs.
    pub p99: Vec<f64>,
    /// CPU time of one process for each call, in µs.
    pub cpu: Vec<f64>,
}

impl Rounds {
    /// Adds a round that took `cpu` seconds of a process.
    ///
    /// # Errors
    /// If a call failed.
    pub fn add(&mut self, report: &Report, cpu: f64) -> Result<(), Error> {
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

/// The median; not a number if there are no values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
