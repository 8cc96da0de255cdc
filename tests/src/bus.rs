//! `Bus` is a whole bus in one process: the real gateway, the real adapter on a real SQLite file, and a
//! manual clock.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapar_contract::Contract;
use chapar_evidence::{Log, Record, VerifierKey};
use chapar_model::Clock;
use chapar_telemetry::{Telemetry, TraceStore};
use chapar_transport::tls;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::agency::Agency;
use crate::caller::Caller;
use crate::certificate::{Authorities, Certificate};
use crate::slow_disk::SlowDisk;
use crate::{files, registry, repository, until_some};

/// Where the tests' time stands, unless one says otherwise.
const NOW: &str = "2026-11-23T08:00:00Z";
const ADAPTER: &str = "gov/civil-registry/adapter";

type Edit = Box<dyn FnOnce(String) -> String + Send>;

/// How a bus is to be.
pub struct Builder {
    edits: Vec<(String, Edit)>,
    statements: Vec<(String, Edit)>,
    agency: Option<Agency>,
    adapter_identity: String,
    database: Database,
    evidence: Option<String>,
    listen: SocketAddr,
    now: String,
    second_authority: bool,
    foreign_adapter: bool,
    joining: bool,
    contracts: Vec<String>,
    settings: String,
    evidence_settings: String,
    disk: SlowDisk,
}

enum Database {
    Real,
    Missing,
    Bytes(Vec<u8>),
}

/// A running bus. Dropping it stops it and removes its folder.
pub struct Bus {
    dir: TempDir,
    authorities: Authorities,
    clock: Clock,
    traces: TraceStore,
    disk: SlowDisk,
    gateway: RunningGateway,
    adapter: Option<Part<()>>,
    adapter_address: SocketAddr,
    callers: std::sync::atomic::AtomicUsize,
}

struct RunningGateway {
    /// Nothing once it was told to stop.
    part: Option<Part<Result<(), chapar_gateway::Error>>>,
    /// Hurries its end.
    hurry: CancellationToken,
    address: SocketAddr,
    admin: SocketAddr,
    log: Log,
}

struct Part<T> {
    stop: CancellationToken,
    task: JoinHandle<T>,
}

impl<T> Part<T> {
    async fn stop(self) -> T {
        self.stop.cancel();
        self.task.await.expect("a part of the bus ends without a panic")
    }
}

impl RunningGateway {
    async fn stop(&mut self) {
        if let Some(part) = self.part.take() {
            part.stop().await.expect("the gateway ends in order");
        }
    }
}

impl Bus {
    /// A bus with the harness's register and policy.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A bus that differs.
    pub fn builder() -> Builder {
        Builder {
            edits: Vec::new(),
            statements: Vec::new(),
            agency: None,
            adapter_identity: ADAPTER.to_owned(),
            database: Database::Real,
            evidence: None,
            listen: ([127, 0, 0, 1], 0).into(),
            now: NOW.to_owned(),
            second_authority: false,
            foreign_adapter: false,
            joining: false,
            contracts: vec!["civil".to_owned()],
            settings: String::new(),
            evidence_settings: String::new(),
            disk: SlowDisk::default(),
        }
    }

    /// Where the gateway takes calls.
    pub fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// The welfare agency, which may ask for persons and children for `benefit.eligibility`.
    pub async fn welfare(&self) -> Caller {
        self.caller(registry::WELFARE).await
    }

    /// Any subsystem with its proper certificate.
    pub async fn caller(&self, subsystem: &str) -> Caller {
        self.caller_with(Certificate::of(subsystem)).await
    }

    /// Someone with that certificate.
    pub async fn caller_with(&self, certificate: Certificate) -> Caller {
        Caller::new(self.gateway.address, &self.files(&certificate))
    }

    /// Someone who calls the adapter and not the gateway.
    pub async fn caller_of_adapter(&self, subsystem: &str) -> Caller {
        Caller::new(self.adapter_address, &self.files(&Certificate::of(subsystem)))
    }

    /// The same with that certificate.
    pub async fn caller_of_adapter_with(&self, certificate: Certificate) -> Caller {
        Caller::new(self.adapter_address, &self.files(&certificate))
    }

    fn files(&self, certificate: &Certificate) -> tls::Files {
        let number = self.callers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("caller-{number}");
        let pki = self.dir.path().join("pki");
        certificate.write(&self.authorities, &pki, &name);
        files(&pki, &name)
    }

    /// Writes a certificate and its key to `pki/NAME.crt` and `pki/NAME.key` in the bus's folder.
    pub fn issue(&self, certificate: &Certificate, name: &str) {
        certificate.write(&self.authorities, &self.dir.path().join("pki"), name);
    }

    /// Starts a server of the agency's own beside what there is, under the adapter's certificate. It ends
    /// with the guard.
    pub async fn agency_beside(&self, agency: Agency) -> (SocketAddr, DropGuard) {
        let (stop, _, address) = agency.serve(&self.dir.path().join("pki")).await;
        (address, stop.drop_guard())
    }

    /// Edits a file of the registry while the gateway runs, by rename; it is taken up within a second or so,
    /// or at once by [`Bus::reload`].
    pub fn edit_registry(&self, file: &str, edit: impl FnOnce(String) -> String) {
        files::edit(&self.dir.path().join("registry").join(file), edit);
    }

    /// What a client without a certificate is told: the TLS alert, at its first read.
    pub async fn connect_without_certificate(&self) -> String {
        crate::caller::without_certificate(self.gateway.address, &self.dir.path().join("pki/ca.crt")).await
    }

    /// Moves the bus's clock.
    pub fn set_clock(&self, to: &str) {
        self.clock.set(to.parse().expect("a timestamp"));
    }

    /// The bus's clock.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The bus's folder.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The evidence log.
    pub fn log(&self) -> &Log {
        &self.gateway.log
    }

    /// The key that receipts verify with.
    pub fn trust(&self) -> VerifierKey {
        trust(self.dir.path())
    }

    /// Every record so far.
    pub async fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for index in 0..self.gateway.log.size().await {
            records.push(self.gateway.log.record(index).await.expect("a record"));
        }
        records
    }

    /// Every record, once they are as wanted; at most five seconds later.
    pub async fn records_when(&self, wanted: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let last = Mutex::new(Vec::new());
        let poll = async || {
            let records = self.records().await;
            if wanted(&records) {
                return Some(records);
            }
            *last.lock() = records;
            None
        };
        let detail = || format!("the records are {:?}", last.lock());
        until_some("the records are as wanted", Duration::from_secs(5), poll, detail).await
    }

    /// The outcome of every record.
    pub async fn outcomes(&self) -> Vec<String> {
        self.records().await.into_iter().map(|record| record.outcome).collect()
    }

    /// The gateway's state folder.
    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("evidence.state")
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> SocketAddr {
        self.gateway.admin
    }

    /// Any request to the admin listener, with these header lines; the body of the answer.
    pub async fn admin_request(&self, method: &str, path: &str, headers: &str) -> String {
        crate::caller::plain(method, self.gateway.admin, path, headers).await
    }

    /// A page of the admin listener.
    pub async fn admin(&self, path: &str) -> String {
        crate::caller::get(self.gateway.admin, path).await
    }

    /// Writes a file that the registry did not have.
    pub fn add(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join("registry").join(file), text).expect("the folder takes a file");
    }

    /// Has the gateway take up its files now; what it says to that.
    pub async fn reload(&self) -> String {
        crate::caller::post(self.gateway.admin, "/reload", &self.state()).await
    }

    /// Begins a grant's limits anew, by the admin page; what it says.
    pub async fn reset_limits(&self, grant: &str) -> String {
        crate::caller::post(self.gateway.admin, &format!("/limits/{grant}/reset"), &self.state()).await
    }

    /// The trace of a call, once it has so many spans; at most five seconds later.
    pub async fn trace_of(&self, call_id: &str, spans: usize) -> serde_json::Value {
        let last = Mutex::new(serde_json::Value::Null);
        let poll = async || {
            let text = self.admin(&format!("/traces?call={call_id}")).await;
            let page = serde_json::from_str::<serde_json::Value>(&text)
                .map_or(serde_json::Value::Null, |mut all| all[0].take());
            if page["spans"].as_array().is_some_and(|all| all.len() >= spans) {
                return Some(page);
            }
            *last.lock() = page;
            None
        };
        let what = format!("the trace of {call_id} has {spans} spans");
        until_some(&what, Duration::from_secs(5), poll, || format!("{:#}", last.lock())).await
    }

    /// Stops the adapter as an agency's fault would: its port is gone.
    pub async fn stop_adapter(&mut self) {
        if let Some(adapter) = self.adapter.take() {
            adapter.stop().await;
        }
    }

    /// Starts it again at the same address.
    pub async fn start_adapter(&mut self) {
        let text = adapter_toml(self.adapter_address, &self.authorities);
        std::fs::write(self.dir.path().join("adapter.toml"), text).expect("adapter.toml");
        let (part, _) = start_adapter(self.dir.path(), &self.clock, &self.traces)
            .await
            .expect("the adapter starts again");
        self.adapter = Some(part);
    }

    /// Stops the gateway in order and starts it again on the same log.
    pub async fn restart_gateway(&mut self) {
        self.gateway.stop().await;
        self.gateway = start_gateway(self.dir.path(), &self.clock, &self.traces, &self.disk)
            .await
            .expect("the gateway starts again");
    }

    /// Tells the gateway to stop, and at once to hurry; what it says if that is not an end in order.
    pub async fn stop_gateway_in_a_hurry(&mut self) -> Result<(), String> {
        let part = self.gateway.part.take().expect("a gateway that runs");
        self.gateway.hurry.cancel();
        part.stop().await.map_err(|error| error.to_string())
    }

    /// Stops everything in order; the folder stays until it is dropped.
    pub async fn stop(mut self) -> TempDir {
        self.gateway.stop().await;
        self.stop_adapter().await;
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a folder"))
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bus at {}", self.gateway.address)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for stop in
            self.gateway.part.iter().map(|part| &part.stop).chain(self.adapter.iter().map(|part| &part.stop))
        {
            stop.cancel();
        }
    }
}

/// The verifier key of a bus's folder.
pub fn trust(folder: &Path) -> VerifierKey {
    std::fs::read_to_string(folder.join("evidence.pub"))
        .expect("evidence.pub")
        .parse()
        .expect("a verifier key")
}

impl Builder {
    /// Edits a file of the registry.
    pub fn edit(mut self, file: &str, edit: impl FnOnce(String) -> String + Send + 'static) -> Self {
        self.edits.push((file.to_owned(), Box::new(edit)));
        self
    }

    /// No grant has a limit.
    pub fn unlimited(self) -> Self {
        self.edit(registry::CIVIL, registry::unlimited)
    }

    /// The limit of the welfare agency's grant of `GetPerson`, as the registry writes it: `{ rate = … }`.
    pub fn grant_limit(self, limit: &'static str) -> Self {
        self.edit(registry::CIVIL, move |text| registry::limited(text, limit))
    }

    /// An agency's own gRPC server in place of the adapter, as the registry says it is. No grant has rows.
    pub fn own_grpc_server(self, agency: Agency) -> Self {
        self.own_grpc_server_with_rows(agency).edit(registry::CIVIL, registry::without_rows)
    }

    /// The same; the school's grant has its rows.
    pub fn own_grpc_server_with_rows(self, agency: Agency) -> Self {
        self.agency(agency).edit(registry::CIVIL, registry::own_grpc_server)
    }

    /// Edits the SQL of a method.
    pub fn statement(mut self, method: &str, edit: impl FnOnce(String) -> String + Send + 'static) -> Self {
        self.statements.push((method.to_owned(), Box::new(edit)));
        self
    }

    /// An agency's server in place of the adapter, though the registry says nothing of it.
    pub fn agency(mut self, agency: Agency) -> Self {
        self.agency = Some(agency);
        self
    }

    /// The certificate that the adapter shows.
    pub fn adapter_identity(mut self, subsystem: &str) -> Self {
        subsystem.clone_into(&mut self.adapter_identity);
        self
    }

    /// Other bytes in place of the database, or no file at all.
    pub fn database(mut self, bytes: Option<&[u8]>) -> Self {
        self.database = bytes.map_or(Database::Missing, |bytes| Database::Bytes(bytes.to_vec()));
        self
    }

    /// Another folder for the evidence log.
    pub fn evidence_path(mut self, path: &str) -> Self {
        self.evidence = Some(path.to_owned());
        self
    }

    /// Another address for the gateway.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Another time.
    pub fn at(mut self, now: &str) -> Self {
        now.clone_into(&mut self.now);
        self
    }

    /// The gateway also trusts an authority that no member names.
    pub fn trusting_a_second_authority(mut self) -> Self {
        self.second_authority = true;
        self
    }

    /// The adapter's certificate is of an authority that the gateway trusts and that the agency's member does
    /// not name.
    pub fn adapter_of_the_second_authority(mut self) -> Self {
        (self.second_authority, self.foreign_adapter) = (true, true);
        self
    }

    /// No adapter and no endpoint: those that the test starts join by themselves ([`crate::Joiner`]).
    pub fn joining(mut self) -> Self {
        self.joining = true;
        self
    }

    /// The gateway knows this contract of `proto/` as well.
    pub fn contract(mut self, name: &str) -> Self {
        self.contracts.push(name.to_owned());
        self
    }

    /// Another line in `[gateway]` of `gateway.toml`.
    pub fn setting(mut self, line: &str) -> Self {
        self.settings += line;
        self.settings.push('\n');
        self
    }

    /// Another line in `[evidence]` of `gateway.toml`.
    pub fn evidence(mut self, line: &str) -> Self {
        self.evidence_settings += line;
        self.evidence_settings.push('\n');
        self
    }

    /// The gateway shares its limits through the Redis at this port, in keys that begin with `prefix`.
    pub fn redis(self, port: u16, prefix: &str) -> Self {
        // `[evidence]` is the last section, so another one can follow.
        self.evidence(&format!("[redis]\nurl = \"redis://127.0.0.1:{port}\"\nprefix = \"{prefix}\""))
    }

    /// The disk of the evidence log.
    pub fn disk(mut self, disk: SlowDisk) -> Self {
        self.disk = disk;
        self
    }

    /// Starts the bus.
    pub async fn start(self) -> Bus {
        self.try_start().await.unwrap_or_else(|error| panic!("the bus starts: {error}"))
    }

    /// Starts the bus, or gives what the operator would read.
    pub async fn try_start(self) -> Result<Bus, String> {
        chapar_transport::tls::install_provider();
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path();
        let authorities = Authorities::new();
        let contract = Contract::load(&repository().join("proto/civil")).expect("the civil contract");
        self.write_pki(root, &authorities);
        self.write_agency(root);
        let clock = Clock::manual(self.now.parse().expect("a timestamp"));
        let traces = TraceStore::new(500);
        let (adapter, adapter_address) = match self.agency {
            Some(agency) => {
                let (stop, task, address) = agency.serve(&root.join("pki")).await;
                (Some(Part { stop, task }), address)
            }
            None => {
                for (method, edit) in self.statements {
                    let path = root.join(format!("agency/civil/v1/CivilRegistry/{method}.sql"));
                    let text = std::fs::read_to_string(&path).expect("a statement");
                    std::fs::write(&path, edit(text)).expect("a statement");
                }
                std::fs::write(
                    root.join("adapter.toml"),
                    adapter_toml(([127, 0, 0, 1], 0).into(), &authorities),
                )
                .expect("adapter.toml");
                let none = (None, ([127, 0, 0, 1], 0).into());
                if self.joining {
                    none
                } else {
                    let (part, address) = start_adapter(root, &clock, &traces).await?;
                    (Some(part), address)
                }
            }
        };
        let mut edits: Vec<_> = self.edits.into_iter().map(Some).collect();
        for (name, text) in registry::FILES {
            let mut text = text
                .replace("{issuer}", &authorities.issuer())
                .replace("{digest}", contract.digest())
                .replace("{endpoint}", &format!("https://127.0.0.1:{}", adapter_address.port()));
            for edit in &mut edits {
                if let Some((_, edit)) = edit.take_if(|(file, _)| file == name) {
                    text = edit(text);
                }
            }
            if self.joining {
                text = registry::without_endpoints(&text);
            }
            let path = root.join("registry").join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a registry file");
        }
        std::fs::write(
            root.join("gateway.toml"),
            gateway_toml(
                self.listen,
                self.evidence.as_deref().unwrap_or("evidence"),
                &self.contracts,
                &self.settings,
                &self.evidence_settings,
            ),
        )
        .expect("gateway.toml");
        let at = |name: &str| root.join(name);
        chapar_evidence::create_keys(
            "test.lorestan.example/evidence",
            &at("evidence.key"),
            &at("evidence.pub"),
            &at("period.key"),
        )
        .expect("keys");
        let gateway = start_gateway(root, &clock, &traces, &self.disk).await?;
        Ok(Bus {
            dir,
            authorities,
            clock,
            traces,
            disk: self.disk,
            gateway,
            adapter,
            adapter_address,
            callers: Default::default(),
        })
    }

    fn write_pki(&self, root: &Path, authorities: &Authorities) {
        let pki = root.join("pki");
        std::fs::create_dir(&pki).expect("pki");
        let second = if self.second_authority { authorities.second.pem() } else { String::new() };
        std::fs::write(pki.join("ca.crt"), authorities.own.pem()).expect("ca.crt");
        std::fs::write(pki.join("trust.crt"), authorities.own.pem() + &second).expect("trust.crt");
        Certificate::of("bus/lorestan/gateway").write(authorities, &pki, "gateway");
        let adapter = Certificate::of(&self.adapter_identity);
        let adapter = if self.foreign_adapter { adapter.signed_by_the_second_authority() } else { adapter };
        adapter.write(authorities, &pki, "adapter");
    }

    fn write_agency(&self, root: &Path) {
        let from = repository().join("proto/civil/v1");
        let to = root.join("agency/civil/v1");
        std::fs::create_dir_all(to.join("CivilRegistry")).expect("a folder");
        std::fs::copy(from.join("civil.proto"), to.join("civil.proto")).expect("the contract");
        for method in ["GetPerson", "ListChildren", "VerifyIdentity"] {
            let name = format!("CivilRegistry/{method}.sql");
            std::fs::copy(from.join(&name), to.join(&name)).expect("a statement");
        }
        let path = root.join("civil.db");
        match &self.database {
            Database::Real => crate::people::register(&path, &from.join("schema.sql")),
            Database::Missing => {}
            Database::Bytes(bytes) => std::fs::write(path, bytes).expect("civil.db"),
        }
    }
}

fn files(pki: &Path, name: &str) -> tls::Files {
    tls::Files {
        cert: pki.join(format!("{name}.crt")),
        key: pki.join(format!("{name}.key")),
        trust: pki.join("ca.crt"),
        crl: None,
    }
}

fn telemetry(service: &str, traces: &TraceStore) -> Arc<Telemetry> {
    let config =
        chapar_telemetry::Config { service_name: service.to_owned(), ..chapar_telemetry::Config::default() };
    Arc::new(Telemetry::with_store(config, traces.clone()).expect("telemetry"))
}

async fn start_adapter(
    root: &Path,
    clock: &Clock,
    traces: &TraceStore,
) -> Result<(Part<()>, SocketAddr), String> {
    let config =
        chapar_adapter::Config::load(&root.join("adapter.toml")).map_err(|error| error.to_string())?;
    let parts = chapar_adapter::Parts { clock: clock.clone(), telemetry: telemetry("civil adapter", traces) };
    let adapter = chapar_adapter::Adapter::bind(config, parts).await.map_err(|error| error.to_string())?;
    let address = adapter.local_addr().ok_or("the adapter listens")?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(run_adapter(adapter, stop.clone()));
    Ok((Part { stop, task }, address))
}

async fn run_adapter(adapter: chapar_adapter::Adapter, stop: CancellationToken) {
    adapter.run(stop).await.expect("the adapter ends in order");
}

async fn start_gateway(
    root: &Path,
    clock: &Clock,
    traces: &TraceStore,
    disk: &SlowDisk,
) -> Result<RunningGateway, String> {
    let config =
        chapar_gateway::Config::load(&root.join("gateway.toml")).map_err(|error| error.to_string())?;
    let parts = chapar_gateway::Parts {
        clock: clock.clone(),
        telemetry: telemetry("gateway", traces),
        disk: Arc::new(disk.clone()),
    };
    let gateway = chapar_gateway::Gateway::bind(config, parts).await.map_err(|error| error.to_string())?;
    let address = gateway.local_addr();
    let admin = gateway.admin_addr();
    let log = gateway.log().clone();
    let stop = CancellationToken::new();
    let hurry = gateway.hurry();
    let task = tokio::spawn(gateway.run(stop.clone()));
    Ok(RunningGateway { part: Some(Part { stop, task }), hurry, address, admin, log })
}

fn adapter_toml(listen: SocketAddr, authorities: &Authorities) -> String {
    let issuer = authorities.issuer();
    format!(
        r#"[adapter]
identity  = {{ cert = "pki/adapter.crt", key = "pki/adapter.key", trust = "pki/trust.crt" }}
contracts = ["agency/civil"]
listen    = "{listen}"
gateways  = ["spiffe://lorestan.example/bus/lorestan/gateway"]
gateway_issuers = ["{issuer}"]

[source.civil]
url = "sqlite:civil.db"
"#
    )
}

fn gateway_toml(
    listen: SocketAddr,
    evidence: &str,
    contracts: &[String],
    settings: &str,
    evidence_settings: &str,
) -> String {
    let folder = |name: &String| format!("\"{}\"", repository().join("proto").join(name).display());
    let contracts: Vec<String> = contracts.iter().map(folder).collect();
    format!(
        r#"[gateway]
listen    = "{listen}"
admin     = "127.0.0.1:0"
identity  = {{ cert = "pki/gateway.crt", key = "pki/gateway.key", trust = "pki/trust.crt" }}
registry  = "registry"
contracts = [{}]
drain     = "2s"
{settings}
[evidence]
path             = "{evidence}"
origin           = "test.lorestan.example/evidence"
signing_key      = "evidence.key"
period_key       = "period.key"
checkpoint_every = "200ms"
{evidence_settings}"#,
        contracts.join(", ")
    )
}
