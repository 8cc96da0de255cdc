//! This module runs adapters that join a gateway by reverse connections, with a proxy in between that a test
//! can point to another gateway or cut.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use chapar_adapter::{Adapter, Config, Parts};
use chapar_model::Clock;
use chapar_telemetry::Telemetry;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::{Bus, repository};

/// Resolves once a gateway took an adapter in.
type Joined = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An adapter of the civil registry that dials. Stopped when dropped.
#[derive(Debug)]
pub struct Joiner {
    stop: CancellationToken,
    task: JoinHandle<()>,
    admin: SocketAddr,
}

impl Joiner {
    /// Starts one that dials `gateway`, and waits until it is taken in.
    pub async fn start(bus: &Bus, gateway: SocketAddr) -> Self {
        Self::taken_in(Self::knocking(bus, "pki/adapter", gateway).await).await
    }

    /// Starts one with another certificate, `NAME.crt` and `NAME.key` in the bus's folder; the second part
    /// resolves once it is taken in.
    pub async fn knocking(bus: &Bus, name: &str, gateway: SocketAddr) -> (Self, Joined) {
        let config =
            Config::parse(&bus.folder().join("joiner.toml"), &toml(name, gateway)).expect("settings");
        Self::run(config).await
    }

    /// Starts one that serves the contract in this folder from an SQLite file in the bus's folder, and waits
    /// until it is taken in.
    pub async fn of_contract(bus: &Bus, contract: &Path, database: &str) -> Self {
        let name = contract.file_name().and_then(|name| name.to_str()).expect("a contract's folder");
        let text = toml("pki/adapter", bus.address())
            .replace("\"agency/civil\"", &format!("\"{}\"", contract.display()))
            .replace("source.civil", &format!("source.{name}"))
            .replace("civil.db", database);
        let config = Config::parse(&bus.folder().join("joiner.toml"), &text).expect("settings");
        Self::taken_in(Self::run(config).await).await
    }

    async fn taken_in((joiner, joined): (Self, Joined)) -> Self {
        tokio::time::timeout(std::time::Duration::from_secs(10), joined).await.expect("the adapter joins");
        joiner
    }

    /// Starts one of a fleet that dials each of these gateways, there or not.
    pub async fn of_fleet(fleet: &Fleet, gateways: &[SocketAddr]) -> Self {
        let quoted: Vec<String> = gateways.iter().map(|gateway| format!("\"{gateway}\"")).collect();
        Self::run(Self::settings_in(fleet, &format!("dial = [{}]", quoted.join(", ")))).await.0
    }

    /// Settings of one of a fleet, whose folder gets its statements and its database; `mode` is the line that
    /// says how gateways reach it. It looks at the fleet's revocation list.
    pub fn settings_in(fleet: &Fleet, mode: &str) -> Config {
        Config::parse(&fleet.folder().join("joiner.toml"), &text_in(fleet, mode)).expect("settings")
    }

    /// An adapter that was not started.
    ///
    /// # Errors
    /// Why it could not be.
    pub async fn bind(config: Config) -> Result<Adapter, chapar_adapter::Error> {
        let telemetry = Telemetry::new(chapar_telemetry::Config::default()).expect("telemetry");
        Adapter::bind(config, Parts { clock: Clock::system(), telemetry: Arc::new(telemetry) }).await
    }

    async fn run(config: Config) -> (Self, Joined) {
        let adapter = Self::bind(config).await.expect("the adapter is ready");
        let (joined, stop): (Joined, _) = (Box::pin(adapter.joined()), CancellationToken::new());
        let admin = adapter.admin_addr().expect("admin pages");
        let stopping = stop.clone();
        let task =
            tokio::spawn(async move { adapter.run(stopping).await.expect("the adapter ends in order") });
        (Self { stop, task, admin }, joined)
    }

    /// A page of its admin listener.
    pub async fn admin(&self, path: &str) -> String {
        crate::caller::get(self.admin, path).await
    }

    /// Any request to its admin listener, with these header lines; the body of the answer.
    pub async fn admin_request(&self, method: &str, path: &str, headers: &str) -> String {
        crate::caller::plain(method, self.admin, path, headers).await
    }

    /// Stops it as an operator would, and waits until it has ended.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.expect("the adapter ends without a panic");
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Settings of an adapter of a fleet, whose folder gets its statements and its database. It holds gateways to
/// the fleet's revocation list.
pub(crate) fn text_in(fleet: &Fleet, mode: &str) -> String {
    let root = fleet.folder();
    let from = repository().join("proto/civil/v1");
    let statements = root.join("contracts/civil/v1/CivilRegistry");
    std::fs::create_dir_all(&statements).expect("a folder");
    for method in ["GetPerson", "ListChildren", "VerifyIdentity"] {
        let name = format!("{method}.sql");
        std::fs::copy(from.join("CivilRegistry").join(&name), statements.join(&name)).expect("a statement");
    }
    crate::people::register(&root.join("civil.db"), &from.join("schema.sql"));
    settings("pki/adapter", mode)
        .replace("agency/civil", "contracts/civil")
        .replace("pki/ca.crt\" }", "pki/ca.crt\", crl = \"pki/ca.crl\" }")
}

pub(crate) fn toml(name: &str, gateway: SocketAddr) -> String {
    settings(name, &format!("dial = \"{gateway}\""))
}

fn settings(name: &str, mode: &str) -> String {
    format!(
        r#"[adapter]
identity  = {{ cert = "{name}.crt", key = "{name}.key", trust = "pki/ca.crt" }}
contracts = ["agency/civil"]
{mode}
admin     = "127.0.0.1:0"
gateways  = ["spiffe://lorestan.example/bus/lorestan/gateway"]

[source.civil]
url = "sqlite:civil.db"
"#
    )
}

/// An address that leads to another one, which a test can change.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    lines: Arc<Mutex<JoinSet<()>>>,
    stop: CancellationToken,
}

impl Front {
    /// Leads to `target`.
    pub async fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let front = Self {
            address,
            target: Arc::new(Mutex::new(target)),
            lines: Arc::default(),
            stop: CancellationToken::new(),
        };
        let target = Arc::clone(&front.target);
        let lines = Arc::clone(&front.lines);
        let stop = front.stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = *target.lock();
                lines.lock().spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                    }
                });
            }
        }));
        front
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections elsewhere.
    pub fn turn(&self, target: SocketAddr) {
        *self.target.lock() = target;
    }

    /// Cuts every connection that there is, without a word.
    pub fn cut(&self) {
        self.lines.lock().abort_all();
    }

    /// How many connections there are.
    pub fn lines(&self) -> usize {
        let mut lines = self.lines.lock();
        while lines.try_join_next().is_some() {}
        lines.len()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut();
    }
}
