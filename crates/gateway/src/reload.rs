//! This module reloads what changes while the gateway runs: certificate, key, trust roots and revocation
//! lists together; contracts and registry together. New files are read completely, then swapped at once. If a
//! file is bad, the error is logged and the previous files stay in force.
//!
//! Deliberately absent: `gateway.toml`, whose addresses and sizes need a restart, and the keys of the
//! evidence log.

pub(crate) mod policy;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_files::Watched;
use chapar_telemetry::Metrics;
use chapar_transport::tls::{self, ServerTls, Shown};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Serving;
use crate::error::Error;
use crate::own::Own;
use crate::pipeline::Policy;
use crate::quota_history::QuotaHistory;

/// Minimum interval between two checks of the files. A change is in force after two equal checks, so after
/// about half a second.
const MIN_WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// How often the log repeats what an operator should do about revocation.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// `Watches` holds the state of the files before they were read for the first time, so that a change during
/// the start is noticed.
pub(crate) struct Watches {
    identity: Watched,
    policy: Watched,
}

impl Watches {
    pub(crate) fn new(serving: &Serving) -> Self {
        let policy = [&serving.registry].into_iter().chain(&serving.contracts);
        Self { identity: Watched::new(serving.identity.paths()), policy: Watched::new(policy) }
    }
}

/// `Reloader` reloads files that have changed.
pub(crate) struct Reloader {
    pub(crate) serving: Serving,
    pub(crate) tls: ServerTls,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) own: Own,
    pub(crate) history: QuotaHistory,
    pub(crate) metrics: Arc<Metrics>,
    /// Held during a reload, so that reloads do not overlap.
    pub(crate) one_at_a_time: Mutex<()>,
}

impl Reloader {
    /// Reloads all files, whether they have changed or not.
    ///
    /// # Errors
    /// [`Error`] naming the file at fault; whatever it belongs to is as it was.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        // Both are tried even if the first fails, because a bad certificate must not keep back a change of
        // the policy.
        let identity = self.identity();
        let policy = self.policy();
        identity.and(policy)
    }

    /// Reloads the files of the gateway's identity, and of the CAs that it trusts.
    fn identity(&self) -> Result<(), Error> {
        let _alone = self.one_at_a_time.lock();
        let reloaded = tls::own_certificate(&self.serving.identity, Shown::OnBothSides, self.own.clock.now())
            .and_then(|own| self.tls.reload(&self.serving.identity).map(|()| own))
            .map_err(Error::from);
        let reloaded = reloaded.map(|own| {
            own.log();
            self.tell_revocation();
        });
        self.tell("identity", &reloaded);
        reloaded
    }

    /// Reports the state of revocation lists in the log and as metrics.
    pub(crate) fn tell_revocation(&self) {
        let known = self.tls.revocation();
        tls::log_revocation(&known, self.own.clock.now().as_second());
        self.metrics.revocation(tls::listed(&known), tls::unlisted(&known, &self.serving.identity));
    }

    /// Reloads contracts and registry, and the connections to adapters if the gateway's certificate has
    /// changed.
    fn policy(&self) -> Result<(), Error> {
        // The lock also covers reading, so that of two reloads the one that read later is the one in force.
        let _alone = self.one_at_a_time.lock();
        let reloaded = policy::load(&self.serving.contracts, &self.serving.registry).and_then(|registry| {
            policy::next(&self.policy.load(), &self.serving, registry, self.own.clone(), &self.history)
        });
        let reloaded = reloaded.map(|next| {
            // The metrics know the new methods before the policy is stored, so that no call finds its method
            // without a label.
            self.metrics.add_methods(next.methods());
            tracing::info!(registry = next.registry.digest(), "a new policy is in force");
            self.policy.store(Arc::new(next));
        });
        self.tell("policy", &reloaded);
        reloaded
    }

    fn tell(&self, what: &'static str, reloaded: &Result<(), Error>) {
        self.metrics.reloaded(what, reloaded.is_ok());
        match reloaded {
            Ok(()) => tracing::info!(what, "files reloaded"),
            Err(error) => tracing::error!(
                what, %error,
                "reload failed: the previous files stay in force; correct the file that the error names"
            ),
        }
    }
}

impl Reloader {
    /// Reloads files that change on disk until `ended`. A change is loaded once two checks in a row found the
    /// same files, so that a file that is still being written is not read. Files that were refused are
    /// tried again when they change, and after half a minute.
    pub(crate) async fn watch(self: Arc<Self>, watches: Watches, ended: CancellationToken) {
        let Watches { identity, policy } = watches;
        // A new certificate is shown to the adapters too, so a change of the identity also reloads the
        // policy, which makes the connections to them.
        let both = |this: &Self| {
            let identity = this.identity();
            if identity.is_ok() {
                // What the policy's files have wrong is for those who watch them to try again.
                this.policy().ok();
            }
            identity
        };
        let policy_alone = |this: &Self| this.policy();
        let of_both = Arc::clone(&self).follow(identity, both, ended.clone());
        let of_policy = Arc::clone(&self).follow(policy, policy_alone, ended.clone());
        tokio::join!(of_both, of_policy, self.remind(ended));
    }

    /// Logs every hour what an operator should do about revocation, such as lists that time alone has ended.
    async fn remind(&self, ended: CancellationToken) {
        while ended.run_until_cancelled(tokio::time::sleep(REMINDER_INTERVAL)).await.is_some() {
            let now = self.own.clock.now().as_second();
            let mut unsound = self.tls.revocation();
            unsound.retain(|known| !known.is_sound(now));
            tls::log_revocation(&unsound, now);
        }
    }

    async fn follow(
        self: Arc<Self>,
        mut files: Watched,
        reload: impl Fn(&Self) -> Result<(), Error> + Send + Copy + 'static,
        ended: CancellationToken,
    ) {
        let mut pause = MIN_WATCH_INTERVAL;
        while ended.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let this = Arc::clone(&self);
            let mut looking = files.clone();
            // `spawn_blocking`, because a look reads the metadata of every file, and a disk may be slow.
            let looked = tokio::task::spawn_blocking(move || {
                if looking.settled() {
                    // An error was logged where it happened; the old state serves on.
                    looking.loaded(&reload(&this));
                }
                looking
            });
            let Ok(looked) = looked.await else { return };
            files = looked;
            // At most 2 % of one core are spent on checks: a registry of ten thousand files is checked less
            // often than one of ten.
            pause = MIN_WATCH_INTERVAL.max(files.cost() * 50);
        }
    }
}
