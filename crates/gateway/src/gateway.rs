//! `Gateway` lives from its configuration to its end. `bind` opens all files and ports, so that a bad
//! configuration fails before a call is taken. Serving and stopping are in `run`.

mod admin;
mod joining;
mod run;
mod workers;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_evidence::{Disk, Log, OsDisk};
use chapar_limit::Shared;
use chapar_model::Clock;
use chapar_telemetry::{Metrics, Telemetry};
use chapar_transport::serve::{Bound, Server, Settings};
use chapar_transport::tls::{self, OwnCertificate, Revocation, Shown};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::config::Config;
use crate::error::Error;
use crate::memory::Pressure;
use crate::observe::Observer;
use crate::observed::{CertificateLook, Observed};
use crate::overload::Overload;
use crate::own::{self, Own};
use crate::pipeline::Pipeline;
use crate::quota_history::QuotaHistory;
use crate::readiness::Readiness;
use crate::reload::{Reloader, Watches, policy};
use crate::shed::Shed;
use crate::stack::Stack;
use crate::upstream::{Acceptor, Upstreams};
use crate::witnessing::Witnessing;
use admin::{Admin, Token};
use joining::Joining;
use run::Ready;
use workers::Ends;

/// `Parts` is what a gateway is given besides its configuration.
#[derive(Clone)]
pub struct Parts {
    /// The wall clock, for validity dates and records.
    pub clock: Clock,
    /// Where spans and metrics go.
    pub telemetry: Arc<Telemetry>,
    /// Where the evidence log lies.
    pub disk: Arc<dyn Disk>,
}

impl Parts {
    /// Those of a process that serves: the operating system's clock and disk.
    pub fn production(telemetry: Arc<Telemetry>) -> Self {
        Self { clock: Clock::system(), telemetry, disk: Arc::new(OsDisk) }
    }
}

/// `Gateway` is a gateway that holds its ports and files, and does not serve yet.
pub struct Gateway {
    address: SocketAddr,
    admin_address: SocketAddr,
    ready: Ready,
}

/// What a check has seen that an operator should know.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The gateway's own certificate.
    pub certificate: OwnCertificate,
    /// State of the revocation lists.
    pub revocation: Vec<Revocation>,
}

impl Gateway {
    /// Loads everything that the configuration names, and ends: what `--check` does. Reads the evidence log,
    /// and opens no port.
    ///
    /// # Errors
    /// [`Error`], as [`Gateway::bind`].
    pub fn check(config: &Config, now: Timestamp) -> Result<Checked, Error> {
        let registry = policy::load(&config.gateway.contracts, &config.gateway.registry)?;
        let revocation = tls::check(&config.gateway.identity, &revocation_memory(config))?;
        // An endpoint that cannot be used would otherwise show at `bind` only.
        Upstreams::new(&registry, &config.gateway.identity)?;
        chapar_evidence::check(&evidence_config(config))?;
        Token::existing(&config.evidence_state()).map_err(Error::AdminToken)?;
        if let Some(redis) = &config.redis {
            redis.server()?;
        }
        if let Some(witnesses) = &config.witnesses {
            witnesses.read()?;
        }
        let certificate = tls::own_certificate(&config.gateway.identity, Shown::OnBothSides, now)?;
        Ok(Checked { certificate, revocation })
    }

    /// Opens everything: contracts, registry, ports, and the evidence log, which recovers here.
    ///
    /// # Errors
    /// [`Error`] naming the file or address at fault. Nothing is left open then.
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        Self::bind_on(config, parts, None).await
    }

    /// As [`Gateway::bind`], but takes calls on a listener that was handed over, if there is one: another
    /// process may take calls on it too, so that one can follow the other without a refused connection.
    ///
    /// # Errors
    /// As [`Gateway::bind`].
    pub async fn bind_on(
        config: Config,
        parts: Parts,
        listener: Option<std::net::TcpListener>,
    ) -> Result<Self, Error> {
        let Parts { clock, telemetry, disk } = parts;
        let serving = config.gateway.clone();
        let watches = Watches::new(&serving);
        let registry = policy::load(&serving.contracts, &serving.registry)?;
        tls::own_certificate(&serving.identity, Shown::OnBothSides, clock.now())?.log();
        let tls = tls::server_remembering(&serving.identity, &revocation_memory(&config))?;
        // The acceptor needs the policy, and the policy is made after the listener is bound. The cell closes
        // this circle; `run` accepts nothing before it is filled.
        let acceptor = Arc::new(OnceLock::<Acceptor>::new());
        let reverse = Arc::clone(&acceptor);
        let reverse: Acceptor = Arc::new(move |reversed| {
            if let Some(accept) = reverse.get() {
                accept(reversed);
            }
        });
        let settings = Settings {
            drain: serving.drain,
            reverse: Some(reverse),
            http1: Some(HTTP1_HEAD),
            clock: clock.clone(),
            ..Settings::default()
        };
        let slots = settings.slots.clone();
        let adapters = match serving.adapters {
            Some(address) => Some(Server::bind(address, tls.clone(), settings.clone()).await?),
            None => None,
        };
        // Another process can serve the callers of a shared port until adapters have joined this one by its
        // own address.
        let opens_late = listener.is_some() && adapters.is_some();
        let bound = match listener {
            Some(listener) => Server::adopt(listener, tls.clone(), settings)?,
            None => Server::bind(serving.listen, tls.clone(), settings).await?,
        };
        let address = bound.local_addr();
        let unavailable = |source| Error::Admin { address: *serving.admin.get_ref(), source };
        let admin = TcpListener::bind(serving.admin.get_ref()).await.map_err(unavailable)?;
        let admin_address = admin.local_addr().map_err(unavailable)?;
        let log = Log::open_on(evidence_config(&config), clock.clone(), disk)?;
        let admin_token = Token::of(&config.evidence_state()).map_err(Error::AdminToken)?;

        let health = HealthReporter::new();
        let observed = Arc::new(OnceLock::new());
        let own = Own {
            clock: clock.clone(),
            log: log.clone(),
            health: health.clone(),
            observed: Arc::clone(&observed),
        };
        let shared = match &config.redis {
            Some(redis) => Some(Shared::new(redis.server()?, redis.settings(serving.replicas))),
            None => None,
        };
        let witnessing = match &config.witnesses {
            Some(witnesses) => Some(Arc::new(Witnessing::new(witnesses, log.clone(), clock.clone())?)),
            None => None,
        };
        let history = QuotaHistory::new(log.clone()).await;
        let policy = policy::first(&serving, registry, own.clone(), shared.clone(), &history)?;
        // Set before the first connection is taken, by `run`.
        acceptor.set(policy.upstreams.reverse_acceptor()).ok();
        let mut metrics = Metrics::new(&telemetry, policy.methods().into_iter().chain(own::methods()));
        metrics.add_upstreams(policy.upstreams.metrics());
        let evidence = metrics.add_evidence();
        let listener = metrics.add_listener();
        let state = metrics.add_state();
        let witnesses = witnessing.is_some().then(|| metrics.add_witnesses());
        let limits = shared.is_some().then(|| metrics.add_limits());
        let metrics = Arc::new(metrics);
        log.on_commit(move |commit| evidence.committed(commit.records, commit.took));
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let stack = Stack {
            policy: Arc::clone(&policy),
            observer: Observer::new(telemetry.tracer("chapar-gateway"), Arc::clone(&metrics)),
            help: serving.help.as_str().into(),
            memory: Pressure::default(),
            overload: Arc::new(Overload::new(Arc::default(), *serving.max_calls.get_ref())),
            shed: Shed::new(&serving.help.as_str().into()),
            pipeline: Pipeline::new(log.clone(), clock.clone(), serving.max_message, &secret()?),
        };
        let shutdown_delay = serving.shutdown_delay;
        let stopping = CancellationToken::new();
        let ends =
            Ends { closing: CancellationToken::new(), drain: serving.drain, hurry: CancellationToken::new() };
        let workers = serving.workers.map_or_else(cores, NonZeroUsize::get);
        let reloader = Reloader {
            serving,
            tls,
            policy,
            own,
            history,
            metrics: Arc::clone(&metrics),
            one_at_a_time: Mutex::default(),
        };
        reloader.tell_revocation();
        let reloader = Arc::new(reloader);
        let joining = Joining { done: CancellationToken::new(), open: CancellationToken::new() };
        if !opens_late {
            joining.open.cancel();
        }
        let readiness =
            Readiness { log: log.clone(), stopping: stopping.clone(), joined: joining.done.clone() };
        let seen = Arc::new(Observed {
            telemetry,
            metrics,
            shared,
            witnessing,
            slots,
            readiness,
            reloader: Arc::downgrade(&reloader),
            started: clock.now(),
            certificate: CertificateLook::default(),
        });
        // It is empty until here, and `bind` fills it once.
        observed.set(Arc::clone(&seen)).ok();
        let admin_pages = Admin {
            observed: seen,
            clock,
            listener,
            limits,
            state,
            witnesses,
            reloader: Arc::clone(&reloader),
        };
        let ready = Ready {
            bound,
            adapters,
            joining,
            admin,
            admin_pages,
            admin_token,
            stack,
            health,
            reloader,
            watches,
            log,
            workers,
            shutdown_delay,
            stopping,
            ends,
        };
        Ok(Self { address, admin_address, ready })
    }

    /// Where calls are taken; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of this process alone, if there is one.
    pub fn adapters_addr(&self) -> Option<SocketAddr> {
        self.ready.adapters.as_ref().map(Bound::local_addr)
    }

    /// Where the admin pages are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// The evidence log, to read receipts from while the gateway runs.
    pub fn log(&self) -> &Log {
        &self.ready.log
    }

    /// The limits that it shares with other gateways, if there is a Redis for that.
    pub fn shared_limits(&self) -> Option<Arc<Shared>> {
        self.ready.admin_pages.observed.shared.clone()
    }

    /// Returns the handle that reloads certificates, contracts and registry on request, besides the watching
    /// of their files.
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.ready.reloader))
    }

    /// Ends the drain: calls that still run are cut off, and the log is flushed all the same.
    pub fn hurry(&self) -> CancellationToken {
        self.ready.ends.hurry.clone()
    }

    /// Serves until `stop`. Then, in this order: health and `/readyz` report that the gateway is not ready;
    /// after the configured delay no new connection is accepted and the others get a GOAWAY; running calls
    /// finish within the configured time; the log is flushed and its last checkpoint signed.
    ///
    /// # Errors
    /// [`Error::EvidenceFailed`] at once when the log can no longer be written; no record, no data.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        self.ready.run(stop).await
    }
}

/// `Reload` reloads certificates, contracts and registry.
#[derive(Clone)]
pub struct Reload(Arc<Reloader>);

impl Reload {
    /// Reloads all files now, changed or not. It reads files and so blocks, and must not be called on a
    /// thread that serves.
    ///
    /// # Errors
    /// [`Error`] naming the file at fault; what was in force stays.
    pub fn now(&self) -> Result<(), Error> {
        self.0.reload()
    }
}

/// The longest wait for the head of a connection's next request in HTTP/1.1. Scripts open a connection for
/// each call; one that waits costs a slot.
const HTTP1_HEAD: Duration = Duration::from_secs(15);

/// Path of the file with the numbers of the revocation lists seen so far, beside the state file of the
/// evidence log.
fn revocation_memory(config: &Config) -> PathBuf {
    config.evidence_state().join("revocation.toml")
}

/// Returns 32 random bytes, for a key.
fn secret() -> Result<[u8; 32], Error> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::Randomness)?;
    Ok(secret)
}

/// Returns the number of cores that the process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The evidence log's part of a gateway's configuration.
pub fn evidence_config(config: &Config) -> chapar_evidence::Config {
    let evidence = config.evidence.clone();
    chapar_evidence::Config {
        state: config.evidence_state(),
        low_water: evidence.low_water,
        path: evidence.path,
        origin: evidence.origin,
        signing_key: evidence.signing_key,
        period_key: evidence.period_key,
        checkpoint_every: evidence.checkpoint_every,
        queue: config.evidence_queue(),
    }
}
