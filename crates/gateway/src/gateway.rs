//! A gateway from its configuration to its end. `bind` opens every file and port, so a running gateway is a working one;
//! `run` serves until it is told to stop, lets running calls finish, and closes the evidence log last.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use chapar_contract::Contract;
use chapar_evidence::Log;
use chapar_limit::Limiter;
use chapar_model::Clock;
use chapar_registry::Registry;
use chapar_telemetry::{Metrics, Telemetry};
use chapar_transport::serve::{Bound, Server, Settings};
use chapar_transport::tls;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::meta::{self, Meta};
use crate::observe::Observer;
use crate::pipeline::Pipeline;
use crate::reflection::{Directory, Reflection};
use crate::stack::Stack;
use crate::upstream::Upstreams;

/// What a gateway is given besides its configuration.
#[derive(Clone)]
pub struct Parts {
    /// The wall clock, for validity dates and records.
    pub clock: Clock,
    /// Where spans and metrics go.
    pub telemetry: Arc<Telemetry>,
}

/// Why a gateway cannot start or go on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// A contract folder cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Contract(#[from] chapar_contract::Error),
    /// The registry cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] chapar_registry::LoadErrors),
    /// A certificate or key cannot be used, or the port cannot be had.
    #[error(transparent)]
    Transport(#[from] chapar_transport::Error),
    /// The admin address cannot be had.
    #[error("cannot listen on {address} for the admin pages")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The evidence log cannot be opened or closed.
    #[error(transparent)]
    Evidence(#[from] chapar_evidence::Error),
    /// The evidence log failed while serving; what is on disk must be verified by a restart.
    #[error("the evidence log failed; restart to verify what is on disk")]
    EvidenceFailed,
    /// The gateway's own descriptors cannot be read.
    #[error(transparent)]
    Descriptors(#[from] crate::reflection::BadDescriptors),
}

/// A gateway that holds its ports and files, and does not serve yet.
pub struct Gateway {
    bound: Bound,
    address: SocketAddr,
    admin: TcpListener,
    admin_address: SocketAddr,
    admin_pages: Admin,
    stack: Stack,
    health: tonic_health::server::HealthReporter,
    log: Log,
    streams: TaskTracker,
    drain: Duration,
}

impl Gateway {
    /// Loads everything that the configuration names, and ends: what `--check` does. Opens no port and no log.
    ///
    /// # Errors
    /// [`Error`], as [`Gateway::bind`].
    pub fn check(config: &Config) -> Result<(), Error> {
        let registry = load_registry(&config.gateway.contracts, &config.gateway.registry)?;
        tls::server(&config.gateway.identity)?;
        Upstreams::new(&registry, &config.gateway.identity)?;
        chapar_evidence::check_keys(&evidence_config(config))?;
        Ok(())
    }

    /// Opens everything: contracts, registry, ports, and the evidence log, which recovers here.
    ///
    /// # Errors
    /// [`Error`] naming the file or address at fault. Nothing is left open then.
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        let Parts { clock, telemetry } = parts;
        let serving = &config.gateway;
        let registry = Arc::new(load_registry(&serving.contracts, &serving.registry)?);
        let upstreams = Upstreams::new(&registry, &serving.identity)?;
        let settings = Settings { drain: serving.drain, ..Settings::default() };
        let bound = Server::bind(serving.listen, tls::server(&serving.identity)?, settings).await?;
        let address = bound.local_addr();
        let unavailable = |source| Error::Admin { address: serving.admin, source };
        let admin = TcpListener::bind(serving.admin).await.map_err(unavailable)?;
        let admin_address = admin.local_addr().map_err(unavailable)?;
        let log = Log::open(evidence_config(&config), clock.clone())?;

        let methods: Vec<&str> = registry.services().flat_map(|s| s.methods()).map(|m| m.path().as_str()).collect();
        let metrics = Arc::new(Metrics::new(&telemetry, methods.into_iter().chain(crate::stack::OWN)));
        let (health, health_service) = tonic_health::server::health_reporter();
        let own = own_services(&registry, &clock, &log)?.add_service(health_service);
        let streams = TaskTracker::new();
        let stack = Stack {
            own,
            observer: Observer { tracer: telemetry.tracer("chapar-gateway"), metrics: Arc::clone(&metrics) },
            help: serving.help.as_str().into(),
            max_calls: serving.max_calls,
            in_flight: AtomicUsize::new(0),
            pipeline: Pipeline {
                limiter: Limiter::new(registry.grants().map(|grant| (grant.id.clone(), grant.limits()))),
                registry,
                upstreams,
                log: log.clone(),
                clock,
                max_message: serving.max_message,
                streams: streams.clone(),
            },
        };
        let admin_pages = Admin { telemetry, metrics, log: log.clone() };
        let drain = serving.drain;
        Ok(Self { bound, address, admin, admin_address, admin_pages, stack, health, log, streams, drain })
    }

    /// Where calls are taken; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin pages are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// The evidence log, to read receipts from while the gateway runs.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Serves until `stop`, then drains: no new connection, running calls finish within the configured time, the log is
    /// flushed and its last checkpoint signed.
    ///
    /// # Errors
    /// [`Error::EvidenceFailed`] at once when the log can no longer be written; no record, no data.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self { bound, admin, admin_pages, stack, health, log, streams, drain, .. } = self;
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        let stack = Arc::new(stack);
        let watch = tokio::spawn(watch_health(Arc::clone(&stack), health, ended.clone()));
        let pages =
            axum::serve(admin, admin::router(admin_pages)).with_graceful_shutdown(ended.clone().cancelled_owned());
        let pages = tokio::spawn(pages.into_future());
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let stack = Arc::clone(&stack);
            async move { Ok::<_, std::convert::Infallible>(stack.serve(request).await) }
        });
        let failed = tokio::select! {
            () = bound.run(service, stop) => false,
            () = log.poisoned() => true,
        };
        streams.close();
        // Streams still running at the deadline are dropped; each closes its record as it goes.
        tokio::time::timeout(drain, streams.wait()).await.ok();
        ended.cancel();
        watch.await.ok();
        pages.await.ok();
        if failed {
            return Err(Error::EvidenceFailed);
        }
        Ok(log.close().await?)
    }
}

fn load_registry(contracts: &[PathBuf], registry: &std::path::Path) -> Result<Registry, Error> {
    let contracts = contracts.iter().map(|folder| Contract::load(folder)).collect::<Result<Vec<_>, _>>()?;
    Ok(Registry::load(registry, &contracts)?)
}

fn evidence_config(config: &Config) -> chapar_evidence::Config {
    let evidence = config.evidence.clone();
    chapar_evidence::Config {
        path: evidence.path,
        origin: evidence.origin,
        signing_key: evidence.signing_key,
        period_key: evidence.period_key,
        checkpoint_every: evidence.checkpoint_every,
        queue: evidence.queue,
    }
}

fn own_services(registry: &Arc<Registry>, clock: &Clock, log: &Log) -> Result<Routes, Error> {
    use tonic_reflection::pb::{v1, v1alpha};
    let directory = Arc::new(Directory::new(Arc::clone(registry), clock.clone(), meta::DESCRIPTORS)?);
    let meta = Meta { registry: Arc::clone(registry), log: log.clone(), clock: clock.clone() };
    Ok(Routes::new(meta::pb::meta_server::MetaServer::new(meta))
        .add_service(v1::server_reflection_server::ServerReflectionServer::new(Reflection(Arc::clone(&directory))))
        .add_service(v1alpha::server_reflection_server::ServerReflectionServer::new(Reflection(directory))))
}

/// Tells `grpc.health.v1` which services have an adapter that can be reached.
async fn watch_health(stack: Arc<Stack>, health: tonic_health::server::HealthReporter, ended: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    while ended.run_until_cancelled(tick.tick()).await.is_some() {
        let Some(health_now) = ended.run_until_cancelled(stack.pipeline.upstreams.health()).await else { break };
        for (service, up) in health_now {
            let status =
                if up { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
            health.set_service_status(service, status).await;
        }
    }
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
}
