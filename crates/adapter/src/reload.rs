//! `Reload` reads `adapter.toml` and all files that it names again, and checks them as at a start before it
//! puts them in force. An error leaves everything as it was. Certificate, key, trusted CAs and revocation
//! lists are also taken up when they change on disk: they are renewed by programs, contracts by people.
//!
//! Left out: `dial`, `listen`, `connections`, `state`, `admin` and `[telemetry]` change at a restart only.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapar_files::Watched;
use chapar_model::Clock;
use chapar_telemetry::Metrics;
use chapar_transport::reverse::Renewal;
use chapar_transport::tls::{self, Expect, Files, ListsSeen, Party, Revocation, ServerTls};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConnectMode};
use crate::drift;
use crate::error::Error;
use crate::health::Health;
use crate::load::load;
use crate::observe::Observer;
use crate::served_method::Look;
use crate::service::{Calls, Routes};

/// `Reload` reloads all files. Clones share the same state.
#[derive(Clone)]
pub struct Reload(Arc<ReloadParts>);

pub(crate) struct ReloadParts {
    pub(crate) file: PathBuf,
    pub(crate) mode: ConnectMode,
    pub(crate) state: PathBuf,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) observer: Observer,
    pub(crate) tls: Certificates,
    pub(crate) identity: Mutex<Identity>,
    /// The files of the identity as they were before the last reload read them.
    pub(crate) watched: Mutex<Watched>,
    pub(crate) calls: Calls,
    pub(crate) health: Arc<Health>,
    /// Held during a reload, so that reloads do not overlap.
    pub(crate) one_at_a_time: tokio::sync::Mutex<()>,
}

/// The files of the certificates in force.
#[derive(Clone, PartialEq)]
pub(crate) struct Identity {
    pub(crate) files: Files,
    /// The gateways that are accepted.
    pub(crate) gateways: Vec<Party>,
}

/// Interval between two checks of the identity's files.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The part that takes a new certificate.
pub(crate) enum Certificates {
    Dials(Renewal, ListsSeen),
    Listens(ServerTls),
}

impl Reload {
    pub(crate) fn new(parts: ReloadParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Reads the settings, certificates, contracts and statements, opens the databases again and tries every
    /// statement. Running calls end under the old files; with `dial` every connection is made again. The
    /// result is logged.
    ///
    /// # Errors
    /// As [`crate::Adapter::bind`]; everything is then as it was.
    pub async fn now(&self) -> Result<(), Error> {
        let parts = &self.0;
        let _alone = parts.one_at_a_time.lock().await;
        // Reading files and trying statements out blocks, and calls must go on meanwhile.
        let reading = Arc::clone(parts);
        let runtime = tokio::runtime::Handle::current();
        let read = tokio::task::spawn_blocking(move || runtime.block_on(reading.read())).await;
        // A panic of the blocking task is passed on, so that it is not taken for a failed reload.
        let reloaded = read.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()));
        parts.observer.metrics.reloaded("policy", reloaded.is_ok());
        match &reloaded {
            Ok(()) => {
                parts.health.serves(|| drift::statuses(&parts.calls.methods())).await;
                let statuses = drift::statuses(&parts.calls.methods());
                let services: Vec<&str> =
                    statuses.keys().map(String::as_str).filter(|name| !name.contains('/')).collect();
                tracing::info!(services = services.join(", "), "adapter reloaded");
            }
            Err(error) => tracing::error!(
                %error,
                "reload failed: the previous settings and statements stay in force; correct the error and \
                 reload"
            ),
        }
        reloaded
    }

    /// Takes up certificate, key, trusted CAs and revocation lists when they change on disk, until `ended`. A
    /// change is taken up once the files have been the same twice, so that a file that is still being written
    /// is not read.
    pub(crate) async fn watch(self, ended: CancellationToken) {
        while ended.run_until_cancelled(tokio::time::sleep(WATCH_INTERVAL)).await.is_some() {
            // A reload that hangs, or a mount that does not answer, must not keep the adapter from stopping.
            if ended.run_until_cancelled(self.look()).await.is_none() {
                return;
            }
        }
    }

    /// Looks at the files of the identity once.
    async fn look(&self) {
        let _alone = self.0.one_at_a_time.lock().await;
        let parts = Arc::clone(&self.0);
        let looked = tokio::task::spawn_blocking(move || {
            let mut watched = parts.watched.lock();
            if !watched.settled() {
                return;
            }
            let identity = parts.identity.lock().clone();
            let renewed = parts.renew(&identity);
            watched.loaded(&renewed);
            parts.observer.metrics.reloaded("identity", renewed.is_ok());
            match renewed {
                Ok(()) => tracing::info!(what = "identity", "files reloaded"),
                Err(error) => tracing::error!(
                    what = "identity", %error,
                    "reload failed: the previous files stay in force; correct the file that the error names"
                ),
            }
        });
        // After a panic, which the process has reported, the files are looked at again.
        drop(looked.await);
    }
}

impl ReloadParts {
    /// Puts the new files in force.
    async fn read(&self) -> Result<(), Error> {
        let config = Config::load(&self.file)?;
        // Before the files are read, so that no change between the two is missed.
        let watched = Watched::new(config.identity.paths());
        // Statements are checked before the certificate is replaced, so that an error in either leaves both
        // as they were.
        let loaded = load(&config, Look::AtStatements, &self.observer.sources).await?.whole()?;
        let identity = Identity { files: config.identity, gateways: config.gateways.clone() };
        self.renew(&identity)?;
        *self.identity.lock() = identity;
        *self.watched.lock() = watched;
        // The routes come last: nothing after this can fail.
        self.calls.replace(Routes::new(config.gateways, loaded.methods, &self.observer));
        if config.mode != self.mode || config.state != self.state || config.admin != self.admin {
            tracing::warn!(
                "`dial`, `listen`, `connections`, `state` or `admin` has changed, which a reload does not apply: \
                 restart the adapter"
            );
        }
        Ok(())
    }

    /// Puts certificate, key, trusted CAs and revocation lists in force.
    fn renew(&self, identity: &Identity) -> Result<(), Error> {
        tls::own_certificate(&identity.files, self.mode.shown(), Clock::system().now())?.log();
        match &self.tls {
            Certificates::Dials(renewal, lists) => {
                let expect = Expect::Parties(identity.gateways.clone());
                let tls = tls::client_remembering(&identity.files, expect, lists)?;
                tell_revocation(&tls.revocation, &identity.files, &self.observer.metrics);
                renewal.renew(&tls);
            }
            Certificates::Listens(tls) => {
                tls.reload(&identity.files)?;
                tell_revocation(&tls.revocation(), &identity.files, &self.observer.metrics);
            }
        }
        Ok(())
    }
}

/// Reports the state of the revocation lists in the log and as metrics.
pub(crate) fn tell_revocation(known: &[Revocation], files: &Files, metrics: &Metrics) {
    tls::log_revocation(known, Clock::system().now().as_second());
    metrics.revocation(tls::listed(known), tls::unlisted(known, files));
}
