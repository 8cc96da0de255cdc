//! `ServerTls` holds a listener's TLS configuration and reloads it as a whole. A reload that fails leaves the
//! old one in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use tokio::sync::watch;

use super::revocation::Known;
use super::status::Revocation;
use super::{CALLS, Files, HTTP1, REVERSE, Trust, key, own_chain, unfit, unusable};
use crate::error::Error;

/// How long a revocation list is still used after its `nextUpdate`, unless one says otherwise: long enough
/// for a CA's own outage, so that it does not become everyone's.
pub(super) const LIST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// TLS of a listener. Clones are the same handle.
#[derive(Clone)]
pub struct ServerTls(Arc<Shared>);

struct Shared {
    state: ArcSwap<LoadedTls>,
    changed: watch::Sender<u64>,
    /// What is remembered of revocation lists. Held while loading, so that of two reloads the later one wins
    /// whole.
    known: Mutex<Known>,
    /// The file that remembers it over restarts.
    memory: Option<PathBuf>,
    list_grace: Duration,
}

/// What was loaded at once and belongs together.
pub(crate) struct LoadedTls {
    /// One more with every reload.
    pub(crate) generation: u64,
    pub(crate) trust: Arc<Trust>,
    /// For each set of protocols that a listener may offer.
    configs: [Arc<ServerConfig>; 4],
}

/// TLS of a listener: a client certificate is required. A revocation list is used for 24 hours after its
/// `nextUpdate`, and then its issuer's certificates are refused; [`server_with_grace`] takes another time.
///
/// # Errors
/// [`Error`] naming the file that cannot be read or used.
pub fn server(files: &Files) -> Result<ServerTls, Error> {
    load(files, None, LIST_GRACE)
}

/// As [`server`], and what is known of revocation lists outlives the process in the file `memory`: a list
/// older than the last one that was used is refused at a start too.
///
/// # Errors
/// As [`server`], and where the file can be neither read nor written.
pub fn server_remembering(files: &Files, memory: &Path) -> Result<ServerTls, Error> {
    load(files, Some(memory), LIST_GRACE)
}

/// As [`server`], with the time for which a revocation list is used after its `nextUpdate`.
///
/// # Errors
/// As [`server`].
pub fn server_with_grace(files: &Files, list_grace: Duration) -> Result<ServerTls, Error> {
    load(files, None, list_grace)
}

/// All that [`server_remembering`] checks, without writing anything. What is known of revocation: one entry
/// for each list and for each trusted CA without one, at least one.
///
/// # Errors
/// As [`server_remembering`].
pub fn check(files: &Files, memory: &Path) -> Result<Vec<Revocation>, Error> {
    let mut before = Known::read(memory)?;
    check_lists(files, &mut before, Some(memory))?;
    let (state, known) = LoadedTls::load(files, 0, &before, LIST_GRACE)?;
    if before != known {
        chapar_files::can_replace(memory)
            .map_err(|error| unusable(memory, format_args!("cannot be written: {error}")))?;
    }
    Ok(state.trust.told())
}

fn load(files: &Files, memory: Option<&Path>, list_grace: Duration) -> Result<ServerTls, Error> {
    let mut before = memory.map_or(Ok(Known::default()), Known::read)?;
    check_lists(files, &mut before, memory)?;
    let (state, known) = LoadedTls::load(files, 0, &before, list_grace)?;
    remember(&before, &known, memory)?;
    let (changed, _) = watch::channel(0);
    let state = ArcSwap::from_pointee(state);
    let known = Mutex::new(known);
    let memory = memory.map(Path::to_owned);
    Ok(ServerTls(Arc::new(Shared { state, changed, known, memory, list_grace })))
}

/// Refuses to go on without lists where there were some, unless an operator has removed the file that
/// remembers them. A file that is gone says nothing where there are lists: these are held to what this
/// process knows.
pub(super) fn check_lists(files: &Files, known: &mut Known, memory: Option<&Path>) -> Result<(), Error> {
    if known.is_empty() || files.crl.is_some() {
        return Ok(());
    }
    if let Some(memory) = memory {
        *known = Known::read(memory)?;
        if known.is_empty() {
            return Ok(());
        }
    }
    let way_out = memory.map(|memory| format!("; to do without on purpose, remove {}", memory.display()));
    let problem =
        format!("comes without the revocation lists that there were before{}", way_out.unwrap_or_default());
    Err(unusable(&files.trust, problem))
}

/// Written before the lists are used: a crash in between makes the next start stricter, never laxer.
pub(super) fn remember(before: &Known, known: &Known, memory: Option<&Path>) -> Result<(), Error> {
    match memory {
        Some(memory) if before != known => known.write(memory),
        _ => Ok(()),
    }
}

impl ServerTls {
    /// Loads everything anew: certificate, key, trusted CAs and revocation lists. The next handshake uses it,
    /// and whoever is connected is judged by it at the next call. Reads files, so not for a thread that
    /// serves.
    ///
    /// # Errors
    /// [`Error`] naming the file that cannot be read or used, also if a revocation list is older than the
    /// last one of its issuer, or there was one and now there is none. What was loaded before stays as it
    /// was.
    pub fn reload(&self, files: &Files) -> Result<(), Error> {
        let mut known = self.0.known.lock();
        let last = self.state();
        let memory = self.0.memory.as_deref();
        check_lists(files, &mut known, memory)?;
        // The state is built completely before anything is replaced. An error in any file then changes
        // nothing.
        let (state, now_known) = LoadedTls::load(files, last.generation + 1, &known, self.0.list_grace)?;
        remember(&known, &now_known, memory)?;
        *known = now_known;
        let generation = state.generation;
        // The state is stored before the change is announced, so that a connection that hears of it finds the
        // new one.
        self.0.state.store(Arc::new(state));
        self.0.changed.send_replace(generation);
        Ok(())
    }

    /// What is known of revocation: one entry for each list and for each trusted CA without one, at least
    /// one.
    pub fn revocation(&self) -> Vec<Revocation> {
        self.state().trust.told()
    }

    /// What is in use now.
    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<LoadedTls>> {
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

impl LoadedTls {
    fn load(files: &Files, generation: u64, known: &Known, grace: Duration) -> Result<(Self, Known), Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (trust, known) = Trust::load(files, known, grace)?;
        let trust = Arc::new(trust);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&trust) as _)
            .with_single_cert(own_chain(files)?, key(&files.key)?)
            .map_err(|error| unfit(files, &error))?;
        // Resumption and early data are off: both would accept a peer without verifying its certificate
        // again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![CALLS.to_vec()];
        let offering = |more: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols.extend(more.iter().map(|protocol| protocol.to_vec()));
            Arc::new(config)
        };
        let configs = [&[][..], &[REVERSE], &[HTTP1], &[REVERSE, HTTP1]].map(offering);
        Ok((Self { generation, trust, configs }, known))
    }

    /// The settings of a listener that offers HTTP/2 and these protocols (ALPN, RFC 7301).
    pub(crate) fn offering(&self, reverse: bool, http1: bool) -> Arc<ServerConfig> {
        let [calls, with_reverse, with_http1, with_both] = &self.configs;
        Arc::clone(match (reverse, http1) {
            (false, false) => calls,
            (true, false) => with_reverse,
            (false, true) => with_http1,
            (true, true) => with_both,
        })
    }
}
