//! `Gateway` lives from its configuration to its end. `bind` opens all files and ports, so that a bad
//! configuration fails before a call is taken. `run` serves until it is told to stop, drains running calls,
//! and closes the evidence log last.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_evidence::{Disk, Log, OsDisk};
use chapar_model::Clock;
use chapar_telemetry::{Metrics, Telemetry};
use chapar_transport::serve::{Bound, Server, Settings};
use chapar_transport::tls::{self, Revocation};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;

use crate::admin::{self, Admin, Token};
use crate::attempts::Attempts;
use crate::config::Config;
use crate::error::Error;
use crate::health;
use crate::memory::Pressure;
use crate::observe::Observer;
use crate::overload::Overload;
use crate::pipeline::Pipeline;
use crate::policy::{self, Own, Policy};
use crate::refusals::Refusals;
use crate::reload::{Reloader, Watches};
use crate::shed::Shed;
use crate::stack::Stack;
use crate::upstream::{Acceptor, Upstreams};
use crate::workers::{self, Ends, Workers};

/// What a gateway is given besides its configuration.
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

/// A gateway that holds its ports and files, and does not serve yet.
pub struct Gateway {
    bound: Bound,
    adapters: Option<Bound>,
    joining: Joining,
    address: SocketAddr,
    admin: TcpListener,
    admin_address: SocketAddr,
    admin_pages: Admin,
    admin_token: Token,
    stack: Stack,
    health: HealthReporter,
    reloader: Arc<Reloader>,
    watches: Watches,
    log: Log,
    workers: usize,
    shutdown_delay: Duration,
    stopping: CancellationToken,
    ends: Ends,
}

impl Gateway {
    /// Loads everything that the configuration names, and ends: what `--check` does. Reads the evidence log,
    /// and opens no port. Gives what is known of revocation.
    ///
    /// # Errors
    /// [`Error`], as [`Gateway::bind`].
    pub fn check(config: &Config) -> Result<Vec<Revocation>, Error> {
        let registry = policy::load(&config.gateway.contracts, &config.gateway.registry)?;
        let tls = tls::server(&config.gateway.identity)?;
        // An endpoint that cannot be used would otherwise show at `bind` only.
        Upstreams::new(&registry, &config.gateway.identity)?;
        chapar_evidence::check(&evidence_config(config))?;
        Ok(tls.revocation())
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
            clock: clock.clone(),
            ..Settings::default()
        };
        let slots = settings.slots.clone();
        let adapters = match serving.adapters {
            Some(address) => Some(Server::bind(address, tls.clone(), settings.clone()).await?),
            None => None,
        };
        // Callers of a shared port can be served by another process until adapters have come here, by the
        // address of this one alone.
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
        let own = Own { clock: clock.clone(), log: log.clone(), health: health.clone() };
        let policy = Policy::first(&serving, registry, own.clone())?;
        // Set before the first connection is taken, by `run`.
        acceptor.set(policy.upstreams.reverse_acceptor()).ok();
        let mut metrics = Metrics::new(&telemetry, policy.methods().into_iter().chain(crate::own::methods()));
        metrics.add_upstreams(policy.upstreams.metrics());
        let metrics = Arc::new(metrics);
        log.on_commit({
            let metrics = Arc::clone(&metrics);
            move |commit| metrics.committed(commit.records, commit.took)
        });
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let stack = Stack {
            policy: Arc::clone(&policy),
            observer: Observer { tracer: telemetry.tracer("chapar-gateway"), metrics: Arc::clone(&metrics) },
            help: serving.help.as_str().into(),
            memory: Pressure::default(),
            overload: Arc::new(Overload::new(Arc::default(), *serving.max_calls.get_ref())),
            shed: Shed::new(&serving.help.as_str().into()),
            pipeline: Pipeline {
                log: log.clone(),
                clock,
                max_message: serving.max_message,
                attempts: Attempts::new(&secret()?),
                refusals: Refusals::new(),
                streams: TaskTracker::new(),
            },
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
            metrics: Arc::clone(&metrics),
            one_at_a_time: Mutex::default(),
        };
        reloader.tell_revocation();
        let reloader = Arc::new(reloader);
        let joining = Joining { done: CancellationToken::new(), open: CancellationToken::new() };
        if !opens_late {
            joining.open.cancel();
        }
        let admin_pages = Admin {
            joined: joining.done.clone(),
            telemetry,
            metrics,
            slots,
            log: log.clone(),
            reloader: Arc::clone(&reloader),
            stopping: stopping.clone(),
        };
        Ok(Self {
            bound,
            adapters,
            joining,
            address,
            admin,
            admin_address,
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
        })
    }

    /// Where calls are taken; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of this process alone, if there is one.
    pub fn adapters_addr(&self) -> Option<SocketAddr> {
        self.adapters.as_ref().map(Bound::local_addr)
    }

    /// Where the admin pages are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// The evidence log, to read receipts from while the gateway runs.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What loads certificates, contracts and registry anew when it is told to, besides the watching of their
    /// files.
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.reloader))
    }

    /// Ends the drain: calls that still run are cut off, and the log is flushed all the same.
    pub fn hurry(&self) -> CancellationToken {
        self.ends.hurry.clone()
    }

    /// Serves until `stop`. Then, in this order: health and `/readyz` say no; after the configured delay no
    /// new connection is taken and the others are told to go (GOAWAY); running calls finish within the
    /// configured time; the log is flushed and its last checkpoint signed.
    ///
    /// # Errors
    /// [`Error::EvidenceFailed`] at once when the log can no longer be written; no record, no data.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self {
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
            ..
        } = self;
        let shutdown_delay = self.shutdown_delay;
        let stopping = self.stopping;
        let ends = self.ends;
        // One token for background tasks that must outlive the calls: admin pages and the memory watch work
        // during the drain too.
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        // Whoever drops this future ends the threads too.
        let _hurry = ends.hurry.clone().drop_guard();
        let health = health::watch(
            Arc::clone(&stack.policy),
            log.clone(),
            health,
            joining.done.clone(),
            stopping.clone(),
        );
        let health = tokio::spawn(health);
        let pressure = stack.memory.clone();
        tokio::spawn(pressure.watch(reloader.serving.memory, ended.clone()));
        let reloading = tokio::spawn(reloader.watch(watches, stopping.clone()));
        let pages = tokio::spawn(admin::serve(admin, admin::router(admin_pages, admin_token), ended.clone()));
        let calls_ended = CancellationToken::new();
        let refusals = stack.pipeline.refusals.clone();
        let refusals = tokio::spawn(refusals.run(log.clone(), calls_ended.clone()));
        let awaiting = Arc::clone(&stack.policy);
        tokio::spawn(joining.clone().wait(awaiting, ended.clone()));
        let workers = Workers::start(parts(bound, adapters, workers, &joining)?, &stack, &ends)
            .map_err(Error::Threads)?;
        let failed = tokio::select! {
            () = stop.cancelled() => false,
            () = log.poisoned() => true,
        };
        // Health and `/readyz` say no before the listener closes, so that a load balancer stops sending
        // before connections are refused.
        stopping.cancel();
        // A poisoned log skips the delay: no call can be answered, and each one that arrives is a call
        // refused.
        if !failed {
            ends.hurry.run_until_cancelled(tokio::time::sleep(shutdown_delay)).await;
        }
        ends.closing.cancel();
        let hurrying = async {
            if failed {
                tokio::time::sleep(FAILED_DRAIN).await;
                ends.hurry.cancel();
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            () = workers.ended() => {}
            () = hurrying => {}
        }
        // The folded refusals are flushed only after the last call has ended, because that call may add to
        // them.
        calls_ended.cancel();
        ended.cancel();
        if !failed {
            // Bounded: on a disk that does not answer, the log below is not waited for either.
            tokio::time::timeout(FAILED_DRAIN, refusals).await.ok();
        }
        health.await.ok();
        reloading.await.ok();
        pages.await.ok();
        if failed {
            return Err(Error::EvidenceFailed);
        }
        // A disk that does not answer keeps no one waiting for ever: what it has not acknowledged no caller
        // was told of.
        let patience = async {
            tokio::select! {
                () = tokio::time::sleep(CLOSE_WAIT) => {}
                () = async { ends.hurry.cancelled().await; tokio::time::sleep(HURRIED_CLOSE_WAIT).await } => {}
            }
        };
        tokio::select! {
            closed = log.close() => Ok(closed?),
            () = patience => Err(Error::EvidenceSlow),
        }
    }
}

/// The longest that a gateway says that it is not ready because adapters are still on their way.
const ADAPTERS_WAIT: Duration = Duration::from_secs(10);
/// The longest that callers of a shared port are left to another process meanwhile. Shorter, since there may
/// be no other.
const OPENS_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether they are there.
const ADAPTERS_LOOK: Duration = Duration::from_millis(20);

/// Whether the adapters that dial have come.
#[derive(Clone)]
struct Joining {
    done: CancellationToken,
    /// Callers are taken.
    open: CancellationToken,
}

impl Joining {
    /// Waits for an adapter of each service that only adapters who dial can answer, for a bounded time: an
    /// agency whose adapter is away must not hold up the others.
    async fn wait(self, policy: Arc<ArcSwap<Policy>>, ended: CancellationToken) {
        let open = self.open.clone();
        let opening = async move {
            tokio::time::sleep(OPENS_WITHIN).await;
            open.cancel();
        };
        tokio::spawn(ended.clone().run_until_cancelled_owned(opening));
        let all_there = async {
            while policy.load().upstreams.waits_for_adapters() {
                tokio::time::sleep(ADAPTERS_LOOK).await;
            }
        };
        if let Some(Err(_)) = ended.run_until_cancelled(tokio::time::timeout(ADAPTERS_WAIT, all_there)).await
        {
            tracing::warn!(
                "the gateway is ready, although no adapter has joined for some services: calls to them are \
                 refused until one joins"
            );
        }
        self.open.cancel();
        self.done.cancel();
    }
}

/// Each thread's share in the listeners.
fn parts(
    bound: Bound,
    own: Option<Bound>,
    workers: usize,
    joining: &Joining,
) -> Result<Vec<workers::Parts>, Error> {
    // The address for adapters is split over the threads too, so that each of them can accept there.
    let mut own = own.map(|own| own.split(workers)).transpose()?.map(Vec::into_iter);
    let shares = bound.split(workers)?.into_iter().map(|calls| workers::Parts {
        calls,
        open: joining.open.clone(),
        own: own.as_mut().and_then(Iterator::next),
    });
    Ok(shares.collect())
}

/// How long calls may still be refused in good order once the evidence log cannot be written.
const FAILED_DRAIN: Duration = Duration::from_millis(500);

/// How long a stop waits for the evidence log's disk: longer than any disk that works takes for what can be
/// in the queue.
const CLOSE_WAIT: Duration = Duration::from_secs(20);
/// The same once it was told to hurry.
const HURRIED_CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Loads certificates, contracts and registry anew.
#[derive(Clone)]
pub struct Reload(Arc<Reloader>);

impl Reload {
    /// Loads all of it now, changed or not. Reads files: not for a thread that serves.
    ///
    /// # Errors
    /// [`Error`] naming the file at fault; what was in force stays.
    pub fn now(&self) -> Result<(), Error> {
        self.0.reload()
    }
}

/// What is known of revocation lists, beside the state of the evidence log.
fn revocation_memory(config: &Config) -> PathBuf {
    config.evidence_state().join("revocation.toml")
}

/// 32 bytes that no one else has.
fn secret() -> Result<[u8; 32], Error> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::Randomness)?;
    Ok(secret)
}

/// As many as the process may use.
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
