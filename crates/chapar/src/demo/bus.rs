//! This module starts the bus of the demo: five adapters, one or several gateways, and the counter office's
//! page. Each runs the code of `chapar adapter`, `chapar gateway` and `chapar counter`, on loopback with TLS
//! between them, in one process with one trace store.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_adapter::Adapter;
use chapar_contract::Contract;
use chapar_evidence::CosignerKey;
use chapar_gateway::Gateway;
use chapar_limit::Shared;
use chapar_model::Clock;
use chapar_telemetry::{Telemetry, TraceStore};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use prost_reflect::MessageDescriptor;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::audit::{self, RunningAuditor, RunningWitness};
use super::data::Sample;
use super::files::{At, Numbered};
use super::redis::Redis;
use super::registry::AGENCIES;
use super::server::Sources;
use super::{files, keys, page, registry};
use crate::exit::{Exit, Failure};
use crate::suspension::Suspension;

/// Maximum number of traces that the demo keeps.
const KEPT_TRACES: usize = 2_000;
/// The longest that an adapter may need to join.
const JOINING: std::time::Duration = std::time::Duration::from_secs(20);
/// For how many days the demo's grants are valid.
const DAYS: i32 = 365;

/// How a bus is to be.
pub(super) struct Plan {
    /// How many gateways.
    pub(super) gateways: u16,
    /// The first gateway's port; the others have those after it. Absent: free ones.
    pub(super) port: Option<u16>,
    pub(super) sources: Sources,
    pub(super) redis: Option<Redis>,
}

/// The running bus.
pub(super) struct Bus {
    pub(super) dir: PathBuf,
    /// The first gateway.
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    /// All gateways.
    pub(super) gateways: Vec<SocketAddr>,
    /// The counter office's page.
    pub(super) page: SocketAddr,
    auditor: RunningAuditor,
    witnesses: Vec<RunningWitness>,
    pub(super) contracts: Vec<Contract>,
    /// The first gateway's.
    pub(super) log: chapar_evidence::Log,
    pub(super) traces: TraceStore,
    redis: Option<Redis>,
    /// Of each gateway, if they share their limits.
    shared: Vec<Arc<Shared>>,
    adapters: Vec<Part>,
    running: Vec<Part>,
    /// The counter's page, which stops first: its inquiries are calls of the gateway.
    counter: (CancellationToken, JoinHandle<()>),
    telemetries: Vec<Arc<Telemetry>>,
}

/// One role that runs.
struct Part {
    name: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
    telemetry: Arc<Telemetry>,
}

impl Part {
    /// Stops the role and waits for its end.
    async fn end(self) -> Result<(), Failure> {
        self.stop.cancel();
        match self.task.await {
            Ok(ended) => ended,
            Err(error) => Err(Failure::new(Exit::Finding, format_args!("{}: {error}", self.name))),
        }
    }
}

impl Bus {
    /// Writes keys, policy and settings into `dir`, starts the gateways on free ports (or on `port` and those
    /// after it) and then the adapters, which join them, and writes `demo.json`. The databases must be there.
    ///
    /// # Errors
    /// Names the file or address at fault. Parts that were started go on until the process ends.
    pub(super) async fn start(dir: &Path, plan: Plan, sample: &[Sample]) -> Result<Self, Failure> {
        let Plan { gateways, port, sources, redis } = plan;
        let clock = Clock::system();
        let Addresses { gateways: addresses, page: page_address, auditor, witnesses } =
            Addresses::new(port, gateways)?;
        let contracts = files::contracts(dir).map_err(Failure::finding)?;
        let issuer = keys::write(dir, gateways, &clock)?;
        let traces = TraceStore::new(KEPT_TRACES);
        let today = TimeZone::UTC.to_datetime(clock.now()).date();
        let last = today.checked_add(jiff::Span::new().days(DAYS)).unwrap_or(today);
        let first = today.yesterday().unwrap_or(today);
        let digests: Vec<&str> = contracts.iter().map(Contract::digest).collect();
        registry::write(&dir.join("registry"), &issuer, (first, last), &digests)
            .map_err(|error| Failure::error(Exit::Finding, error))?;

        let [at, rest @ ..] = addresses.as_slice() else { return Err(Failure::usage("a bus has a gateway")) };
        let mut cosigning = Vec::new();
        for (number, at) in (1..).zip(witnesses) {
            cosigning.push(RunningWitness::start(dir, number, at, gateways, &clock).await?);
        }
        // The first gateway starts before the adapters, which dial it.
        let more = redis.as_ref().map(|redis| redis.settings()).unwrap_or_default();
        let more = more + &audit::section(&cosigning);
        let first = gateway(dir, Numbered(1), *at, (gateways, &more), &clock, &traces).await?;
        let mut others = Vec::new();
        for (number, at) in (2..).zip(rest) {
            others.push(gateway(dir, Numbered(number), *at, (gateways, &more), &clock, &traces).await?);
        }
        let shared = std::iter::once(&first).chain(&others).filter_map(|one| one.shared.clone()).collect();
        let at = first.at;
        let all: Vec<At> = std::iter::once(at).chain(others.iter().map(|other| other.at)).collect();
        let gateways: Vec<SocketAddr> = all.iter().map(|at| at.gateway).collect();
        let mut adapters = Vec::new();
        for agency in &AGENCIES {
            files::adapter(dir, agency.register, &gateways, &sources).map_err(Failure::finding)?;
            let telemetry = telemetry(&format!("adapter {}", agency.register), &traces)?;
            adapters.push(adapter(dir, agency.register, telemetry).await?);
        }
        // Before the page's first question the adapters have joined.
        let counter = page::open(dir, page_address, at, &clock).await?;
        let page = counter.local_addr();
        let stop = CancellationToken::new();
        let counter = (stop.clone(), tokio::spawn(counter.run(stop)));
        let auditor = RunningAuditor::start(dir, auditor, &gateways, &clock).await?;
        let bus = Self {
            auditor,
            witnesses: cosigning,
            dir: dir.to_owned(),
            gateway: at.gateway,
            admin: at.admin,
            gateways,
            page,
            contracts,
            log: first.log,
            traces,
            redis,
            shared,
            adapters,
            running: std::iter::once(first.part).chain(others.into_iter().map(|other| other.part)).collect(),
            counter,
            telemetries: Vec::new(),
        };
        // Written last: other programs wait for this file and then use everything that it names.
        let named = files::Named { page, auditor: bus.auditor.address, witnesses: &bus.witnesses };
        files::demo_json(&bus.dir, at, &all, named, sample).map_err(Failure::finding)?;
        Ok(bus)
    }

    /// The Redis that gateways share their limits through, if there is one.
    pub(super) fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// The public keys of the witnesses.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn witness_keys(&self) -> Result<Vec<CosignerKey>, Failure> {
        let read = |witness: &RunningWitness| {
            let path = self.dir.join(&witness.key);
            let failed =
                |error: String| Failure::new(Exit::Finding, format_args!("{}: {error}", path.display()));
            let text = chapar_files::read_text(&path).map_err(|error| failed(error.to_string()))?;
            text.trim().parse().map_err(|_| failed("holds no key of a witness".to_owned()))
        };
        self.witnesses.iter().map(read).collect()
    }

    /// Whether each gateway shares its limits with all others now.
    pub(super) fn shares_limits(&self) -> bool {
        let is_with_all = |shared: &Arc<Shared>| {
            let usage = shared.usage();
            usage.is_up && usage.replicas as usize == self.gateways.len()
        };
        self.shared.iter().all(is_with_all)
    }

    /// Suspends a grant for an hour. Returns the file to remove.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn suspend(&self, grant: &str) -> Result<PathBuf, Failure> {
        let of = format!("grant/{grant}");
        let now = Clock::system().now();
        let suspension = Suspension { of: &of, by: "demo", reason: "a step of the story" };
        suspension.add(&self.dir.join("registry"), now, SignedDuration::from_hours(1))
    }

    /// The contract of a register.
    pub(super) fn contract(&self, register: &str) -> Option<&Contract> {
        let place = AGENCIES.iter().position(|agency| agency.register == register)?;
        self.contracts.get(place)
    }

    /// The type of a method's answers.
    pub(super) fn output(&self, method: &str) -> Option<MessageDescriptor> {
        let path = method.parse().ok()?;
        let method = self.contracts.iter().find_map(|contract| contract.method(&path))?;
        Some(method.output().clone())
    }

    /// Stops the adapter of `register`.
    pub(super) async fn stop_adapter(&mut self, register: &str) -> Result<(), Failure> {
        let Some(place) = AGENCIES.iter().position(|agency| agency.register == register) else {
            return Ok(());
        };
        // Adapters are in the order of `AGENCIES`; `start_adapter` puts the new one in the same place.
        let part = self.adapters.remove(place);
        self.telemetries.push(Arc::clone(&part.telemetry));
        part.end().await
    }

    /// Starts the adapter of `register` again.
    pub(super) async fn start_adapter(&mut self, register: &str) -> Result<(), Failure> {
        let Some(place) = AGENCIES.iter().position(|agency| agency.register == register) else {
            return Ok(());
        };
        let telemetry = telemetry(&format!("adapter {register}"), &self.traces)?;
        let part = adapter(&self.dir, register, telemetry).await?;
        self.adapters.insert(place, part);
        Ok(())
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// What ended a gateway before that.
    pub(super) async fn run_until(&mut self, stop: &CancellationToken) -> Result<(), Failure> {
        let any = futures_util::future::select_all(self.running.iter_mut().map(|part| &mut part.task));
        match stop.run_until_cancelled(any).await {
            None => Ok(()),
            // A gateway that ends before `stop` is an error, even if it ended in order.
            Some((Ok(ended), ..)) => ended.and(Err(Failure::new(Exit::Finding, "a gateway ended"))),
            Some((Err(error), ..)) => Err(Failure::error(Exit::Finding, error)),
        }
    }

    /// Stops everything in order: the page, then the gateways, so that their callers are told, then the
    /// adapters.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let mut telemetries = self.telemetries;
        let (stop, page) = self.counter;
        stop.cancel();
        let mut ended = page.await.map_err(|error| Failure::error(Exit::Finding, error));
        // While the gateways run, so that no log is unreachable for it.
        ended = ended.and(self.auditor.end().await);
        for part in self.running.into_iter().chain(self.adapters) {
            telemetries.push(Arc::clone(&part.telemetry));
            let one = part.end().await;
            // The first error is kept, and the other parts are stopped all the same.
            ended = ended.and(one);
        }
        for witness in self.witnesses {
            witness.end().await;
        }
        for telemetry in telemetries {
            telemetry.shutdown().await;
        }
        ended
    }
}

/// A gateway that serves.
struct Serving {
    at: At,
    log: chapar_evidence::Log,
    shared: Option<Arc<Shared>>,
    part: Part,
}

/// Starts a gateway, and writes its settings with the ports that it has.
async fn gateway(
    dir: &Path,
    number: Numbered,
    at: At,
    (replicas, more): (u16, &str),
    clock: &Clock,
    traces: &TraceStore,
) -> Result<Serving, Failure> {
    // The settings are written here with the ports that were asked for, and below with those that were free.
    files::gateway(dir, number, at, replicas, more).map_err(Failure::finding)?;
    let config = chapar_gateway::Config::load(&number.settings(dir));
    let config = config.map_err(|error| Failure::error(Exit::Finding, error))?;
    let name = number.name("gateway", "");
    let telemetry = telemetry(&name, traces)?;
    let parts = chapar_gateway::Parts {
        clock: clock.clone(),
        ..chapar_gateway::Parts::production(Arc::clone(&telemetry))
    };
    let gateway = Gateway::bind(config, parts).await.map_err(Failure::finding)?;
    let at = At { gateway: gateway.local_addr(), admin: gateway.admin_addr() };
    let log = gateway.log().clone();
    let shared = gateway.shared_limits();
    files::gateway(dir, number, at, replicas, more).map_err(Failure::finding)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move { gateway.run(token).await.map_err(Failure::finding) });
    Ok(Serving { at, log, shared, part: Part { name, stop, task, telemetry } })
}

/// Starts an adapter and waits until a gateway has taken it in.
async fn adapter(dir: &Path, register: &str, telemetry: Arc<Telemetry>) -> Result<Part, Failure> {
    let config =
        chapar_adapter::Config::load(&files::adapter_path(dir, register)).map_err(Failure::finding)?;
    let parts = chapar_adapter::Parts { clock: Clock::system(), telemetry: Arc::clone(&telemetry) };
    let adapter = Adapter::bind(config, parts).await.map_err(Failure::finding)?;
    if let Some(finding) = adapter.closed().into_iter().next() {
        return Err(Failure::finding(chapar_adapter::Findings::from(finding)));
    }
    let joined = adapter.joined();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move { adapter.run(token).await.map_err(Failure::finding) });
    if tokio::time::timeout(JOINING, joined).await.is_err() {
        return Err(Failure::new(
            Exit::Finding,
            format_args!("the adapter {register} could not join the gateway"),
        ));
    }
    Ok(Part { name: format!("adapter {register}"), stop, task, telemetry })
}

fn telemetry(name: &str, traces: &TraceStore) -> Result<Arc<Telemetry>, Failure> {
    let config = chapar_telemetry::Config { service_name: name.to_owned(), ..Default::default() };
    let telemetry = Telemetry::with_store(config, traces.clone());
    telemetry.map(Arc::new).map_err(|error| Failure::error(Exit::Finding, error))
}

/// Where everything of a demo serves.
struct Addresses {
    gateways: Vec<At>,
    page: SocketAddr,
    auditor: SocketAddr,
    witnesses: Vec<SocketAddr>,
}

impl Addresses {
    /// Port 0 for all, or `port` for the first gateway, the next one for its admin pages, and so on; then the
    /// counter's page, the auditor, the witnesses. Adapters have none.
    fn new(port: Option<u16>, gateways: u16) -> Result<Self, Failure> {
        let at = |offset: u16| {
            let number = match port {
                Some(port) => port.checked_add(offset),
                None => Some(0),
            };
            let number =
                number.ok_or_else(|| Failure::usage("`--port` leaves no room for the ports after it"))?;
            Ok::<_, Failure>(SocketAddr::from((Ipv4Addr::LOCALHOST, number)))
        };
        let after = 2 * gateways;
        let all = (0..gateways).map(|number| Ok(At { gateway: at(2 * number)?, admin: at(2 * number + 1)? }));
        Ok(Self {
            gateways: all.collect::<Result<_, Failure>>()?,
            page: at(after)?,
            auditor: at(after + 1)?,
            witnesses: (0..audit::WITNESSES)
                .map(|number| at(after + 2 + number))
                .collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::demo::{data, keys};

    #[tokio::test]
    async fn every_adapter_accepts_its_contract_its_statements_and_its_database() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["pki", "databases"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        data::build(&dir.path().join("databases"), 100).unwrap();
        files::contracts(dir.path()).unwrap();
        assert!(keys::write(dir.path(), 1, &Clock::system()).is_ok());
        for agency in &AGENCIES {
            files::adapter(
                dir.path(),
                agency.register,
                &["127.0.0.1:7443".parse().unwrap()],
                &Sources::Files,
            )
            .unwrap();
            let config =
                chapar_adapter::Config::load(&files::adapter_path(dir.path(), agency.register)).unwrap();
            let checked = Adapter::check(&config).await;
            checked.unwrap_or_else(|error| panic!("{}: {error}", agency.register));
        }
    }

    #[test]
    fn a_port_without_room_for_the_next_is_a_mistake_in_the_command_line() {
        assert!(Addresses::new(Some(65_530), 1).is_ok());
        assert!(Addresses::new(Some(65_531), 1).is_err_and(|failure| failure.exit == Exit::Usage));
        assert!(Addresses::new(Some(65_529), 2).is_err_and(|failure| failure.exit == Exit::Usage));
    }
}
