//! `Auditor` runs one follower for each log, and serves what it knows: metrics, status, and its witness.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use chapar_contract::Format;
use chapar_evidence::{Pseudonyms, VerifierKey};
use chapar_model::Clock;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LogConfig};
use crate::follow::{Followed, Follower};
use crate::handed::{Followers, Handed};
use crate::index::{Alarm, Index, IndexError, LogProgress};
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::serve::{ListenError, listen, routes, serve};
use crate::source::Source;
use crate::witness::{KeyFileError, StateError, StateLock, Witness, lock, read_log_keys, read_witness_key};

/// Why an auditor cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A period key.
    #[error(transparent)]
    Period(#[from] chapar_evidence::Error),
    /// The identity, or the address of a gateway.
    #[error(transparent)]
    Gateway(#[from] chapar_client::CallError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The state folder, or what the witness has there.
    #[error(transparent)]
    Witness(#[from] StateError),
    /// The address.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// An auditor that holds its port and files, and does not follow yet.
pub struct Auditor {
    listener: TcpListener,
    address: SocketAddr,
    followers: Vec<(Follower, mpsc::Receiver<Handed>)>,
    pages: Pages,
    witness: Option<(Arc<Witness>, Followers)>,
    clock: Clock,
    lock: StateLock,
}

/// What an auditor shows.
#[derive(Clone)]
struct Pages {
    index: Arc<Index>,
    metrics: Arc<Metrics>,
}

/// The state of an auditor.
#[derive(Debug, Serialize)]
pub struct AuditStatus {
    /// How far each log has been verified.
    pub logs: Vec<LogProgress>,
    /// Open alarms.
    pub alarms: Vec<Alarm>,
}

impl AuditStatus {
    /// The state in an index.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn of(index: &Index) -> Result<Self, IndexError> {
        Ok(Self { logs: index.progress()?, alarms: index.alarms(false)? })
    }
}

impl Auditor {
    /// Reads all files, opens the index and takes the port.
    ///
    /// # Errors
    /// [`Error`] with the file or address at fault.
    pub async fn bind(config: Config, clock: Clock) -> Result<Self, Error> {
        let unusable =
            |error: std::io::Error| Error::File { path: config.state.clone(), problem: error.to_string() };
        // It tells who asked about whom, by pseudonyms.
        let private = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.state);
        private.map_err(unusable)?;
        let keys = log_keys(&config)?;
        let lock = lock(&config.state)?;
        let index = Arc::new(Index::open(&config.state)?);
        let origins = || keys.iter().map(|key| key.name().to_owned());
        let metrics = Arc::new(Metrics::new(origins().collect()));
        let (handing, receivers) = Followers::new(origins());
        let mut followers = Vec::new();
        for ((log, key), receiver) in config.logs.iter().zip(&keys).zip(receivers) {
            let follower = follower(&config, log, key, (&index, &metrics), &clock)?;
            followers.push((follower, receiver));
        }
        let witness = match &config.witness_key {
            Some(key) => {
                let key = read_witness_key(key)?;
                let witness = Witness::open(key, keys.clone(), &config.state.join("witness"))?;
                Some((Arc::new(witness), handing))
            }
            None => None,
        };
        let listener = listen(config.listen).await?;
        let failed =
            |error: std::io::Error| Error::File { path: config.state.clone(), problem: error.to_string() };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, followers, pages: Pages { index, metrics }, witness, clock, lock })
    }

    /// Reads every file that the settings name, and takes neither port nor index.
    ///
    /// # Errors
    /// [`Error`] with the file at fault.
    pub fn check(config: &Config) -> Result<(), Error> {
        let keys = log_keys(config)?;
        for (log, _) in config.logs.iter().zip(&keys) {
            Source::new(&log.source)?;
            let periods = periods(log)?;
            if let Some(file) = &config.rules.protected {
                protected(file, &periods)?;
            }
        }
        config.witness_key.as_deref().map(read_witness_key).transpose()?;
        Ok(())
    }

    /// Where it serves; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Follows until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, followers, pages, witness, clock, lock, address: _ } = self;
        let mut routes_all =
            Router::new().route("/metrics", get(metrics)).route("/status", get(status)).with_state(pages);
        if let Some((witness, handing)) = witness {
            routes_all = routes_all.merge(routes(witness, Some(handing), clock));
        }
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        let serving = tokio::spawn(serve(listener, routes_all, ended.clone()));
        let mut tasks = JoinSet::new();
        for (follower, receiver) in followers {
            tasks.spawn(follower.run(receiver));
        }
        // A follower has no end of its own but a panic.
        if let Some(Some(Err(panicked))) = stop.run_until_cancelled(tasks.join_next()).await {
            std::panic::resume_unwind(panicked.into_panic());
        }
        ended.cancel();
        serving.await.ok();
        drop(lock);
    }
}

/// The keys of the logs, each of another name.
fn log_keys(config: &Config) -> Result<Vec<VerifierKey>, Error> {
    Ok(read_log_keys(config.logs.iter().map(|log| &*log.key))?)
}

fn periods(log: &LogConfig) -> Result<Vec<Pseudonyms>, Error> {
    Ok(log.period_keys.iter().map(|key| Pseudonyms::read(key)).collect::<Result<_, _>>()?)
}

fn follower(
    config: &Config,
    log: &LogConfig,
    key: &VerifierKey,
    (index, metrics): (&Arc<Index>, &Metrics),
    clock: &Clock,
) -> Result<Follower, Error> {
    let periods = periods(log)?;
    let protected = match &config.rules.protected {
        Some(file) => protected(file, &periods)?,
        None => HashSet::new(),
    };
    let known = index.log(key.name(), &key.to_string())?;
    let followed = Followed {
        key: key.clone(),
        source: Source::new(&log.source)?,
        periods,
        protected,
        rules: config.rules.clone(),
        late: config.late,
        metrics: metrics.of_log(key.name()),
    };
    Ok(Follower::new(followed, index, known, clock))
}

/// The pseudonyms of the citizens in a file, as the index has them.
fn protected(file: &Path, periods: &[Pseudonyms]) -> Result<HashSet<Vec<u8>>, Error> {
    let wrong = |problem: String| Error::File { path: file.to_owned(), problem };
    let text = chapar_files::read_secret(file).map_err(|error| wrong(error.to_string()))?;
    if periods.is_empty() {
        let problem = "names citizens, who can be found by a log's `period_keys` only, and there are none";
        return Err(wrong(problem.to_owned()));
    }
    let mut found = HashSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let id = line.trim();
        if id.is_empty() || id.starts_with('#') {
            continue;
        }
        if !Format::IrNationalId.check(id) {
            // The line is not repeated: it may hold a citizen's id with a digit too many.
            let problem = "is no national id: 10 digits, of which the last checks the others";
            return Err(wrong(format!("line {number} {problem}")));
        }
        let id = Format::IrNationalId.normalise(id);
        found.extend(periods.iter().map(|period| crate::index::key_of(&period.of(&id)).to_vec()));
    }
    Ok(found)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let text = tokio::task::spawn_blocking(move || pages.metrics.encode(&pages.index)).await;
    match text {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn status(State(pages): State<Pages>) -> Response {
    match tokio::task::spawn_blocking(move || AuditStatus::of(&pages.index)).await {
        Ok(Ok(status)) => Json(status).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
