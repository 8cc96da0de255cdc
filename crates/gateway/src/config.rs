//! This module parses `gateway.toml` into the typed settings of one gateway, or rejects the whole file.
//! Relative paths start at the file's folder. Secrets are in files of their own, and the settings only name
//! those files.

mod redis;
mod values;
mod witnesses;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_model::line_and_column;
use serde::Deserialize;
use toml::Spanned;

pub use self::redis::{Redis, RedisError};
pub(crate) use self::witnesses::Reachable;
pub use self::witnesses::{Witness, WitnessError, Witnesses};
use crate::refusal::DEFAULT_HELP;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Serving,
    /// `[evidence]`.
    pub evidence: Evidence,
    /// `[redis]`, through which gateways share their limits.
    pub redis: Option<Redis>,
    /// `[witnesses]`, who cosign the evidence log's checkpoints.
    pub witnesses: Option<Witnesses>,
    /// `[telemetry]`.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// `[gateway]`: where to listen, as whom, and by which policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// Address of the mutual-TLS listener, e.g. `0.0.0.0:7443`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of this process alone, besides a port that it shares with another process. Adapters dial it,
    /// so that each process is joined before it accepts callers. Absent: none.
    pub adapters: Option<SocketAddr>,
    /// Address of the admin listener, plain HTTP: on loopback, unless `admin_beyond_loopback`.
    pub admin: Spanned<SocketAddr>,
    /// Allows the admin listener on another address than loopback. Everybody who can reach that address can
    /// then read metrics and traces. Default false.
    #[serde(default)]
    pub admin_beyond_loopback: bool,
    /// The gateway's certificate and key, and the CAs that it trusts.
    pub identity: chapar_transport::tls::Files,
    /// The registry's folder.
    pub registry: PathBuf,
    /// The contract folders that the registry's services name.
    pub contracts: Vec<PathBuf>,
    /// Where the pages of the reasons are published; a refusal links to `HELP` + its word.
    #[serde(default = "default_help")]
    pub help: String,
    /// The largest message, either way: `"512KiB"`. 1 KiB to 16 MiB, default 1 MiB.
    #[serde(default = "default_max_message", deserialize_with = "values::bytes")]
    pub max_message: usize,
    /// Calls served at once, streams until their end, before more are refused as `OVERLOADED`. 1 to
    /// 1,000,000, default 4096.
    #[serde(default = "default_max_calls")]
    pub max_calls: Spanned<usize>,
    /// The most memory that the process should hold, e.g. `"512MiB"`; from 85 % of it on, new calls are
    /// refused as `OVERLOADED`. Default: no ceiling.
    #[serde(default, deserialize_with = "values::ceiling")]
    pub memory: Option<usize>,
    /// Connections of each thread to each endpoint of a provider at most; another is opened when 64 calls are
    /// on each. Default 4.
    #[serde(default = "default_upstream_connections")]
    pub upstream_connections: NonZeroUsize,
    /// Gateways that serve the same callers, 1 to 100: each has its part of every quota, and, where rates are
    /// shared through Redis, of every rate as long as Redis does not answer. Default 1.
    #[serde(default = "values::one", deserialize_with = "values::replicas")]
    pub replicas: NonZeroU32,
    /// Threads that serve. Default: as many as the process may use cores.
    pub workers: Option<NonZeroUsize>,
    /// Time for which a stopping gateway reports in health and at `/readyz` that it is not ready, before it
    /// accepts no more connections. A load balancer uses it to choose another gateway. Default none.
    #[serde(default, with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub shutdown_delay: Duration,
    /// Maximum time for which running calls may go on after a stop. Default `"10s"`.
    #[serde(
        default = "default_drain",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required"
    )]
    pub drain: Duration,
}

/// `[evidence]`: the log of disclosures.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The log's folder.
    pub path: PathBuf,
    /// The folder of the state file, which keeps the last signed checkpoint apart from the log. It should be
    /// on another disk, and not in the log's backup. Default: `path` with `.state` at its end.
    pub state: Option<Spanned<PathBuf>>,
    /// The room that the disk must have for calls to be taken, `"1MiB"` or more; below it they are refused as
    /// `EVIDENCE_UNAVAILABLE`, and those under way are recorded in it. Default `"64MiB"`.
    #[serde(default = "default_low_water", deserialize_with = "values::low_water")]
    pub low_water: u64,
    /// The log's name in checkpoints and receipts, e.g. `bus.lorestan.example/evidence`.
    pub origin: String,
    /// File with the Ed25519 key that signs checkpoints (C2SP signed-note private key).
    pub signing_key: PathBuf,
    /// File with the period's key for pseudonyms and salts: 32 bytes in hexadecimal.
    pub period_key: PathBuf,
    /// Time between checkpoints while the log grows: `"10ms"` to `"1h"`, default `"1s"`.
    #[serde(default = "default_checkpoint", deserialize_with = "values::checkpoint_every")]
    pub checkpoint_every: Duration,
    /// Records that may wait for the disk at once. A call takes room for one, a stream for two, before
    /// anything is sent on its behalf, so at least twice `max_calls`. Default: twice `max_calls`.
    pub queue: Option<Spanned<usize>>,
}

/// `[telemetry]`: where traces go. The admin listener shows the kept ones and the metrics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// OTLP/gRPC endpoint of a collector, e.g. `http://127.0.0.1:4317`. Absent: none.
    pub otlp: Option<String>,
    /// CA certificates (PEM) for a collector at `https://`; required there.
    pub otlp_ca: Option<PathBuf>,
    /// The share of calls whose traces are recorded, 0 to 1. Default 1, all.
    #[serde(default, deserialize_with = "values::share")]
    pub sample: Option<f64>,
    /// Traces kept in memory. Default 2000.
    #[serde(default = "default_keep")]
    pub keep_traces: usize,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp: None, otlp_ca: None, sample: None, keep_traces: default_keep() }
    }
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be; the text says line and column.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// 1-based, in characters.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

impl Config {
    /// Reads and checks a file; relative paths in it become relative to the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file, and the line and column if its text is at fault.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let wrong = |offset: usize, message: String| {
            let (line, column) = line_and_column(&text, offset);
            ConfigError::Parse { path: path.to_owned(), line, column, message }
        };
        // `toml` reports a byte offset, and operators look for a line and a column.
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        config.check().map_err(|(offset, message)| wrong(offset, message))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let serving = &mut config.gateway;
        serving.identity.resolve(base);
        for relative in [
            &mut serving.registry,
            &mut config.evidence.path,
            &mut config.evidence.signing_key,
            &mut config.evidence.period_key,
        ] {
            *relative = base.join(&relative);
        }
        if let Some(state) = &mut config.evidence.state {
            *state.get_mut() = base.join(state.get_ref());
        }
        for folder in &mut serving.contracts {
            *folder = base.join(&folder);
        }
        if let Some(redis) = &mut config.redis {
            redis.resolve(base);
        }
        if let Some(witnesses) = &mut config.witnesses {
            witnesses.resolve(base);
        }
        if let Some(ca) = &mut config.telemetry.otlp_ca {
            *ca = base.join(&ca);
        }
        // The paths are compared only after both were made relative to the file's folder, because a relative
        // and an absolute path cannot be compared.
        if config.evidence_state().starts_with(&config.evidence.path) {
            let message =
                "`state` lies in `path`: what is put back with the log says nothing about it".to_owned();
            let at = config.evidence.state.as_ref().map_or(0, |state| state.span().start);
            return Err(wrong(at, message));
        }
        Ok(config)
    }
}

impl Config {
    /// Settings that cannot work, alone or with one another: where, and why.
    fn check(&self) -> Result<(), (usize, String)> {
        let admin = &self.gateway.admin;
        if !admin.get_ref().ip().is_loopback() && !self.gateway.admin_beyond_loopback {
            let message = "`admin` is plain HTTP and not on loopback: whoever reaches it reads metrics and traces. If that is meant, \
                           write `admin_beyond_loopback = true`";
            return Err((admin.span().start, message.to_owned()));
        }
        let max_calls = &self.gateway.max_calls;
        if !(1..=MAX_CALLS).contains(max_calls.get_ref()) {
            return Err((max_calls.span().start, format!("`max_calls` is from 1 to {MAX_CALLS}")));
        }
        // A stream is recorded at its opening and at its end, and both slots are reserved before the provider
        // is asked.
        let needed = 2 * max_calls.get_ref();
        match &self.evidence.queue {
            Some(queue) if *queue.get_ref() < needed => {
                let message = format!(
                    "`queue` is at least twice `max_calls`, {needed} here: each call takes room for its record, a stream for two"
                );
                Err((queue.span().start, message))
            }
            _ => Ok(()),
        }
    }

    /// The folder that remembers what was signed last.
    pub fn evidence_state(&self) -> PathBuf {
        self.evidence.state.as_ref().map(|state| state.get_ref().clone()).unwrap_or_else(|| {
            // By components: a slash at the end of `path` would put the folder into the log's.
            let mut beside = self.evidence.path.components().as_path().as_os_str().to_owned();
            beside.push(".state");
            beside.into()
        })
    }

    /// Records that may wait for the disk at once.
    pub fn evidence_queue(&self) -> usize {
        let default = 2 * self.gateway.max_calls.get_ref();
        self.evidence.queue.as_ref().map_or(default, |queue| *queue.get_ref())
    }
}

/// Upper bound of `max_calls`. A call takes some 20 KiB, so a million calls take 20 GiB.
const MAX_CALLS: usize = 1_000_000;

fn default_help() -> String {
    DEFAULT_HELP.to_owned()
}

fn default_max_message() -> usize {
    1 << 20
}

fn default_max_calls() -> Spanned<usize> {
    Spanned::new(0..0, 4096)
}

fn default_upstream_connections() -> NonZeroUsize {
    NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN)
}

fn default_drain() -> Duration {
    Duration::from_secs(10)
}

fn default_checkpoint() -> Duration {
    Duration::from_secs(1)
}

fn default_low_water() -> u64 {
    64 << 20
}

fn default_keep() -> usize {
    2000
}

#[cfg(test)]
mod tests;
