//! `Adapter` loads contracts, databases and SQL statements (in `load`) before the first call. It serves until
//! it is stopped, on a port of its own or on reverse connections to the gateways.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapar_files::Watched;
use chapar_model::Clock;
use chapar_telemetry::{SourceMetrics, Telemetry};
use chapar_transport::reverse::{self, Dialler};
use chapar_transport::tls::{Expect, ListsSeen, OwnCertificate, Revocation};
use chapar_transport::{serve, tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::{Config, ConnectMode};
use crate::drift;
use crate::error::Error;
use crate::finding::Finding;
use crate::health::Health;
use crate::load::load;
use crate::observe::Observer;
use crate::reload::{self, Certificates, Reload};
use crate::scan::Remark;
use crate::served_method::Look;
use crate::service::{Calls, Routes};

/// `Parts` is what the process gives to the adapter.
#[derive(Clone)]
pub struct Parts {
    /// The wall clock, for certificates' validity.
    pub clock: Clock,
    /// Where spans are sent.
    pub telemetry: Arc<Telemetry>,
}

/// `Checked` is the result of a check without errors.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Remarks on the values of sampled columns.
    pub remarks: Vec<Remark>,
    /// The adapter's own certificate.
    pub certificate: OwnCertificate,
    /// State of the revocation lists.
    pub revocation: Vec<Revocation>,
}

/// `Adapter` is an adapter that is ready: it holds its port, or has the gateways to dial.
pub struct Adapter {
    ready: Ready,
    calls: Calls,
    health: Arc<Health>,
    reload: Reload,
    services: Vec<String>,
    admin: Option<(TcpListener, SocketAddr)>,
    observer: Observer,
    state: PathBuf,
}

enum Ready {
    Dials(Dialler),
    Listens(Box<serve::Bound>),
}

/// Maximum wait for the answer to a ping. With 20 s between pings, a broken connection is found within 40 s,
/// as at the gateway.
const PING_ANSWER: Duration = Duration::from_secs(20);
/// Maximum number of concurrent calls on one connection. It is higher than a listener's default (100),
/// because a gateway has many callers and few connections.
const STREAMS: u32 = 256;

impl Adapter {
    /// Loads everything that `config` names, proves that every method can be answered, and takes the port, if
    /// it has one.
    ///
    /// # Errors
    /// [`Error`]: of the statements all findings of all contracts at once.
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        // The watch begins before the files are read, so that no change in between is missed.
        let watched = Watched::new(config.identity.paths());
        let observer = Observer::new(&parts.telemetry, "adapter", parts.clock.clone());
        // Everything is loaded before the port is taken, so that a fault in a file leaves no port open.
        let loaded = Box::pin(load(&config, Look::AtStatements, &observer.sources)).await?.in_part()?;
        let settings = serve::Settings {
            clock: parts.clock.clone(),
            streams: STREAMS,
            keepalive_timeout: PING_ANSWER,
            // A gateway cancels what its callers cancel: one of them must not end the connection of all.
            cancelled: u32::MAX,
            ..serve::Settings::default()
        };
        tls::own_certificate(&config.identity, config.mode.shown(), parts.clock.now())?.log();
        let (ready, tls) = match &config.mode {
            ConnectMode::Dial { gateways, connections } => {
                let expect = Expect::Parties(config.gateways.clone());
                let lists = ListsSeen::remembered_in(&config.revocation_memory())?;
                let tls = tls::client_remembering(&config.identity, expect, &lists)?;
                reload::tell_revocation(&tls.revocation, &config.identity, &observer.metrics);
                let dialling =
                    reverse::Settings { connections: *connections, ..reverse::Settings::default() };
                let dialler = Dialler::new(gateways, &tls, dialling, settings)?;
                let renewal = dialler.renewal();
                (Ready::Dials(dialler), Certificates::Dials(renewal, lists))
            }
            ConnectMode::Listen(address) => {
                let tls = tls::server_remembering(&config.identity, &config.revocation_memory())?;
                reload::tell_revocation(&tls.revocation(), &config.identity, &observer.metrics);
                let bound = serve::Server::bind(*address, tls.clone(), settings).await?;
                (Ready::Listens(Box::new(bound)), Certificates::Listens(tls))
            }
        };
        let admin = match config.admin {
            Some(address) => Some(listen(address).await.map_err(|source| Error::Admin { address, source })?),
            None => None,
        };
        let health = Arc::new(Health::new(observer.published.clone()));
        // Health is set before the first call is taken, so that a gateway never sees a service as unknown
        // that is served.
        let routes = Routes::new(config.gateways.clone(), loaded.methods, &observer);
        let calls = Calls::new(routes, observer.clone(), health.server());
        health.serves(|| drift::statuses(&calls.methods())).await;
        let statuses = drift::statuses(&calls.methods());
        // A method's name has a stroke.
        let services: Vec<String> = statuses.into_keys().filter(|name| !name.contains('/')).collect();
        let reload = Reload::new(reload::ReloadParts {
            file: config.file,
            mode: config.mode,
            state: config.state.clone(),
            admin: config.admin,
            observer: observer.clone(),
            tls,
            watched: parking_lot::Mutex::new(watched),
            identity: parking_lot::Mutex::new(reload::Identity {
                files: config.identity,
                gateways: config.gateways.clone(),
            }),
            calls: calls.clone(),
            health: Arc::clone(&health),
            one_at_a_time: tokio::sync::Mutex::default(),
        });
        let adapter = Self { ready, calls, health, reload, services, admin, observer, state: config.state };
        match adapter.local_addr() {
            Some(address) => {
                tracing::info!(%address, services = adapter.services.join(", "), "adapter ready")
            }
            None => {
                tracing::info!(services = adapter.services.join(", "), "adapter ready to join its gateways")
            }
        }
        Ok(adapter)
    }

    /// Checks everything that [`Adapter::bind`] checks, without taking a port, and samples the tables.
    ///
    /// # Errors
    /// As [`Adapter::bind`].
    pub async fn check(config: &Config) -> Result<Checked, Error> {
        let remarks =
            Box::pin(load(config, Look::AtValues, &SourceMetrics::default())).await?.whole()?.remarks;
        // The check takes the files of a listener, whatever the mode: it opens no port, and reads
        // certificate, key, CAs and lists alike.
        let revocation = tls::check(&config.identity, &config.revocation_memory())?;
        let certificate = tls::own_certificate(&config.identity, config.mode.shown(), Clock::system().now())?;
        Ok(Checked { remarks, certificate, revocation })
    }

    /// The address on which it listens; `None` if it dials.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.ready {
            Ready::Dials(_) => None,
            Ready::Listens(bound) => Some(bound.local_addr()),
        }
    }

    /// The address of the admin pages, if there are any.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// What is wrong with the methods that are closed now, because they do not fit the database.
    pub fn closed(&self) -> Vec<Finding> {
        self.calls.methods().iter().flat_map(|method| method.findings()).collect()
    }

    /// Resolves once a gateway can call it: when one was heard on a connection that the adapter made, or at
    /// once if it listens.
    pub fn joined(&self) -> impl Future<Output = ()> + Send + 'static {
        let heard = match &self.ready {
            Ready::Dials(dialler) => Some(dialler.heard()),
            Ready::Listens(_) => None,
        };
        async move {
            if let Some(mut heard) = heard {
                // An error means that the adapter has ended; then there is nothing to wait for.
                heard.wait_for(|heard| *heard).await.ok();
            }
        }
    }

    /// Returns the handle by which the files are reloaded while the adapter runs.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Full names of the services that it served at its start.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Answers calls until `stop`, then says so to health watchers and lets calls in flight end.
    ///
    /// # Errors
    /// It returns none so far: accepting and dialling are retried after an error.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self { ready, calls, health, reload, admin, observer, state, .. } = self;
        // The admin pages outlive the calls: a collector reads the last of them.
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        let heard = match &ready {
            Ready::Dials(dialler) => Some(dialler.heard()),
            Ready::Listens(_) => None,
        };
        let pages = admin.map(|(listener, _)| {
            let calls = calls.clone();
            let stopping = stop.clone();
            let admin = Admin { observer: observer.clone(), calls, heard, stopping };
            tokio::spawn(admin::serve(listener, admin, ended.clone()))
        });
        let keeping = tokio::spawn(Arc::clone(&observer.completeness).keep(state, ended.clone()));
        let watching = reload.watch(stop.clone());
        let comparing = drift::watch(calls.clone(), Arc::clone(&health), stop.clone());
        let leaving = stop.clone();
        let farewell = async move {
            leaving.cancelled().await;
            health.end().await;
        };
        let serving = async {
            match ready {
                Ready::Dials(dialler) => dialler.run(calls, stop).await,
                Ready::Listens(bound) => bound.run(calls, stop).await,
            }
        };
        // Both run side by side: health must say that the adapter stops while calls in flight still end.
        tokio::join!(serving, farewell, watching, comparing);
        ended.cancel();
        // The last counts are written once the last call has ended.
        keeping.await.ok();
        if let Some(pages) = pages {
            pages.await.ok();
        }
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_is_gone_is_noticed_within_40_seconds() {
        assert!(serve::Settings::default().keepalive + PING_ANSWER <= Duration::from_secs(40));
    }
}
