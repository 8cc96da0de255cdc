//! `Fleet` runs gateways as processes of the built binary that share one listening socket, as `systemd` hands
//! one over, in front of one agency's server that runs in this process. All their files can be replaced while
//! they serve. It owns the files and the processes; the caller decides what a run does with them.

mod client;
pub mod crowd;
pub mod drill;
pub mod fairness;
pub mod kills;
mod ledger;
mod pki;
mod process;
pub mod scarcity;
pub mod soak;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chapar_contract::Contract;
use tokio_util::sync::DropGuard;

use crate::{Agency, files, registry, repository};
pub use client::{Client, Load, Tally};
pub use pki::Pki;
pub use process::{Gateway, Sample};

const ORIGIN: &str = "fleet.lorestan.example/evidence";
/// The one citizen that callers ask for.
const CITIZEN: &str = crate::people::ZAHRA;

/// Files, socket and upstream of the processes. Dropping it removes the folder.
pub struct Fleet {
    dir: tempfile::TempDir,
    socket: TcpListener,
    pki: Pki,
    started: AtomicUsize,
    processes: Processes,
    _agency: DropGuard,
}

/// How a fleet is to be.
pub struct Builder {
    agency: Option<Agency>,
    adapters_dial: bool,
    processes: Processes,
}

/// How its processes are to be.
struct Processes {
    shutdown_delay: Duration,
    drain: Duration,
    settings: String,
    files: Option<u64>,
}

impl Builder {
    /// Another server of the agency than one that answers at once.
    pub fn in_front_of(mut self, agency: Agency) -> Self {
        self.agency = Some(agency);
        self
    }

    /// How long a stopping gateway says so before it takes no more.
    pub fn shutdown_delay(mut self, delay: Duration) -> Self {
        self.processes.shutdown_delay = delay;
        self
    }

    /// How long running calls may go on after that.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.processes.drain = drain;
        self
    }

    /// How many files a process may open.
    pub fn files(mut self, files: u64) -> Self {
        self.processes.files = Some(files);
        self
    }

    /// Another line in `[gateway]` of `gateway.toml`.
    pub fn setting(mut self, line: &str) -> Self {
        self.processes.settings += line;
        self.processes.settings.push('\n');
        self
    }

    /// Leaves out the address of the agency's server: adapters dial.
    pub fn without_endpoints(mut self) -> Self {
        self.adapters_dial = true;
        self
    }

    /// The fleet, without a process yet.
    ///
    /// # Panics
    /// If a file cannot be written or a port not be had.
    pub async fn build(self) -> Fleet {
        chapar_transport::tls::install_provider();
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::new(&dir.path().join("pki"));
        pki.issue("bus/lorestan/gateway", "gateway");
        pki.issue("gov/civil-registry/adapter", "adapter");
        let agency = self.agency.unwrap_or_else(|| {
            Agency::answering(serde_json::json!({"nationalId": CITIZEN, "givenName": "زهرا"}))
        });
        let (stop, _, upstream) = agency.serve(pki.folder()).await;
        let contract = patient_contract(dir.path());
        write_registry(dir.path(), &contract, &pki, upstream, self.adapters_dial);
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let started = AtomicUsize::new(0);
        Fleet { dir, socket, pki, started, processes: self.processes, _agency: stop.drop_guard() }
    }
}

impl Fleet {
    /// An agency's server that answers at once, and everything that gateways need.
    pub async fn new() -> Self {
        Self::builder().build().await
    }

    /// The same with another server.
    pub async fn in_front_of(agency: Agency) -> Self {
        Self::builder().in_front_of(agency).build().await
    }

    /// A fleet that differs.
    pub fn builder() -> Builder {
        let processes = Processes {
            shutdown_delay: Duration::ZERO,
            drain: Duration::from_secs(10),
            settings: String::new(),
            files: None,
        };
        Builder { agency: None, adapters_dial: false, processes }
    }

    /// So many more callers of a member of their own, each with the welfare agency's right and a certificate;
    /// the files' names.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn add_callers(&self, count: usize) -> Vec<String> {
        let registry = self.dir.path().join("registry/gov");
        let provider =
            std::fs::read_to_string(registry.join("civil-registry.toml")).expect("a registry file");
        let welfare = std::fs::read_to_string(registry.join("welfare.toml")).expect("a registry file");
        let grant = provider.split("[[grant]]").nth(1).expect("the welfare agency's right");
        let mut grants = provider.clone();
        let mut subsystems = String::new();
        let mut names = Vec::new();
        for number in 0..count {
            let name = format!("caller-{number}");
            let own = grant.replace(registry::WELFARE, &format!("gov/crowd/{name}"));
            grants += &format!("\n[[grant]]{}", own.replace("welfare-getperson", &format!("crowd-{number}")));
            subsystems += &format!("\n[[subsystem]]\nid = \"{name}\"\n");
            self.pki.issue(&format!("gov/crowd/{name}"), &name);
            names.push(name);
        }
        let member = welfare.split("[[subsystem]]").next().expect("a member").to_owned() + &subsystems;
        std::fs::write(registry.join("crowd.toml"), member).expect("a registry file");
        std::fs::write(registry.join("civil-registry.toml"), grants).expect("a registry file");
        names
    }

    /// Where calls are taken, by whichever process accepts them.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// The authority and the files of the listener.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// As [`Fleet::start`], with an address for adapters that is this process's own.
    pub async fn start_with_adapters_at(&self, address: SocketAddr) -> Gateway {
        self.start_with(&format!("adapters = \"{address}\"\n")).await
    }

    /// Another process with an evidence log of its own; ready when this returns.
    pub async fn start(&self) -> Gateway {
        self.start_with("").await
    }

    async fn start_with(&self, setting: &str) -> Gateway {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let folder = self.dir.path().join(format!("gateway-{number}"));
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("gateway.toml"), self.settings(setting)).expect("gateway.toml");
        let at = |name: &str| folder.join(name);
        chapar_evidence::create_keys(ORIGIN, &at("evidence.key"), &at("evidence.pub"), &at("period.key"))
            .expect("keys");
        self.start_in(folder).await
    }

    /// A process in the folder of one that has ended, on what that left.
    pub async fn start_in(&self, folder: PathBuf) -> Gateway {
        Gateway::start(folder, &self.socket, self.processes.files).await
    }

    fn settings(&self, more: &str) -> String {
        format!(
            r#"[gateway]
listen    = "{address}"
admin     = "127.0.0.1:0"
identity  = {{ cert = "../pki/gateway.crt", key = "../pki/gateway.key", trust = "../pki/trust.crt", crl = "../pki/ca.crl" }}
registry  = "../registry"
contracts = ["../contracts/civil"]
drain     = "{drain}ms"
shutdown_delay = "{delay}ms"
{settings}{more}
[evidence]
path        = "evidence"
origin      = "{ORIGIN}"
signing_key = "evidence.key"
period_key  = "period.key"
"#,
            address = self.address(),
            drain = self.processes.drain.as_millis(),
            delay = self.processes.shutdown_delay.as_millis(),
            settings = self.processes.settings,
        )
    }

    /// A client as the welfare agency with the files that a fresh certificate needs, named after it.
    pub fn client(&self, name: &str) -> Client {
        self.client_of(registry::WELFARE, name)
    }

    /// The same as another subsystem.
    pub fn client_of(&self, subsystem: &str, name: &str) -> Client {
        self.pki.issue(subsystem, name);
        Client::new(self.address(), self.pki.folder(), name)
    }

    /// The same, each with a connection of its own.
    pub fn clients(&self, name: &str) -> impl Fn() -> Client + Send + 'static {
        self.pki.issue(registry::WELFARE, name);
        let address = self.address();
        let folder = self.pki.folder().to_owned();
        let name = name.to_owned();
        move || Client::new(address, &folder, &name)
    }

    /// Changes a word of a grant, by a file that is renamed into place.
    pub fn edit_grant(&self, basis: &str) {
        let path = self.dir.path().join("registry/gov/civil-registry.toml");
        let changed = |line: &str| match line.starts_with("basis ") {
            true => format!("basis    = \"{basis}\"\n"),
            false => format!("{line}\n"),
        };
        files::edit(&path, |text| text.lines().map(changed).collect());
    }
}

/// The civil contract with time enough for a call that waits until the gateway ends.
fn patient_contract(root: &Path) -> Contract {
    let text =
        std::fs::read_to_string(repository().join("proto/civil/v1/civil.proto")).expect("the civil contract");
    let text = text.replace("seconds: 1 }", "seconds: 30 }").replace("seconds: 2 }", "seconds: 300 }");
    let folder = root.join("contracts/civil/v1");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("civil.proto"), text).expect("a contract");
    Contract::load(&root.join("contracts/civil")).expect("the civil contract")
}

fn write_registry(root: &Path, contract: &Contract, pki: &Pki, upstream: SocketAddr, adapters_dial: bool) {
    for (name, text) in registry::FILES {
        let text = text
            .replace("{issuer}", &pki.issuer())
            .replace("{digest}", contract.digest())
            .replace("{endpoint}", &format!("https://127.0.0.1:{}", upstream.port()));
        let text = if name == registry::CIVIL { registry::unlimited(text) } else { text };
        let text = if adapters_dial { registry::without_endpoints(&text) } else { text };
        let path = root.join("registry").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a registry file");
    }
}
