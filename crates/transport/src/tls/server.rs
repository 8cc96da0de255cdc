//! TLS of a listener as a handle that can be loaded anew while it is in use: whole, or not at all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::revocation::{Lists, Numbers};
use super::{CALLS, Files, REVERSE, Trust, chain, key, unfit, unusable};
use crate::error::Error;

/// How long a revocation list is still used after its `nextUpdate`, unless one says otherwise: long enough for a CA's own
/// outage, so that it does not become everyone's.
const LIST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// TLS of a listener. Clones are the same handle.
#[derive(Clone)]
pub struct ServerTls(Arc<Shared>);

struct Shared {
    state: ArcSwap<State>,
    changed: watch::Sender<u64>,
    /// Held while loading, so that of two reloads the later one wins whole.
    numbers: Mutex<Numbers>,
    list_grace: Duration,
}

/// What was loaded at once and belongs together.
pub(crate) struct State {
    /// One more with every reload.
    pub(crate) generation: u64,
    pub(crate) trust: Arc<Trust>,
    /// For a listener that serves calls only.
    pub(crate) calls: Arc<ServerConfig>,
    /// For one that takes reverse connections too.
    pub(crate) calls_and_reverse: Arc<ServerConfig>,
}

/// TLS of a listener: a client certificate is required. A revocation list is used for 24 hours after its `nextUpdate`, and then
/// its issuer's certificates are refused; [`server_with_grace`] takes another time.
///
/// # Errors
/// [`Error`] naming the file that cannot be read or used.
pub fn server(files: &Files) -> Result<ServerTls, Error> {
    server_with_grace(files, LIST_GRACE)
}

/// As [`server`], with the time for which a revocation list is used after its `nextUpdate`.
///
/// # Errors
/// [`Error`] naming the file that cannot be read or used.
pub fn server_with_grace(files: &Files, list_grace: Duration) -> Result<ServerTls, Error> {
    let (state, numbers) = State::load(files, 0, &Numbers::new(), list_grace)?;
    let (changed, _) = watch::channel(0);
    let (state, numbers) = (ArcSwap::from_pointee(state), Mutex::new(numbers));
    Ok(ServerTls(Arc::new(Shared { state, changed, numbers, list_grace })))
}

impl ServerTls {
    /// Loads everything anew: certificate, key, trusted CAs and revocation lists. The next handshake uses it, and whoever is
    /// connected is judged by it at the next call. Reads files, so not for a thread that serves.
    ///
    /// # Errors
    /// [`Error`] naming the file that cannot be read or used, also if a revocation list is older than the last one of its
    /// issuer, or there was one and now there is none. What was loaded before stays as it was.
    pub fn reload(&self, files: &Files) -> Result<(), Error> {
        let mut numbers = self.0.numbers.lock();
        let last = self.state();
        if last.trust.checks_revocation() && files.crl.is_none() {
            return Err(unusable(&files.trust, "comes without the revocation lists that there were before"));
        }
        let (state, now_known) = State::load(files, last.generation + 1, &numbers, self.0.list_grace)?;
        *numbers = now_known;
        let generation = state.generation;
        self.0.state.store(Arc::new(state));
        self.0.changed.send_replace(generation);
        Ok(())
    }

    /// What is in use now.
    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.0.state.load()
    }

    /// Hears of reloads.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("generation", &self.state().generation).finish_non_exhaustive()
    }
}

impl State {
    fn load(files: &Files, generation: u64, known: &Numbers, grace: Duration) -> Result<(Self, Numbers), Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = chain(&files.trust)?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| unusable(&files.trust, error))?;
        }
        let (lists, numbers) = match &files.crl {
            None => (None, known.clone()),
            Some(path) => {
                let (lists, numbers) = Lists::load(path, &authorities, known, grace)?;
                (Some(lists), numbers)
            }
        };
        let trust = Arc::new(Trust::new(roots, lists, provider.signature_verification_algorithms));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&trust) as _)
            .with_single_cert(chain(&files.cert)?, key(&files.key)?)
            .map_err(|error| unfit(files, &error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![CALLS.to_vec()];
        let mut both = config.clone();
        both.alpn_protocols.push(REVERSE.to_vec());
        let (calls, calls_and_reverse) = (Arc::new(config), Arc::new(both));
        Ok((Self { generation, trust, calls, calls_and_reverse }, numbers))
    }
}
