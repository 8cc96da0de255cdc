//! Parses `gateway.toml` into the typed settings of one gateway, or rejects the whole file. Relative paths
//! start at the file's folder. Secrets are in files of their own, and the settings only name those files.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_model::line_and_column;
use serde::Deserialize;
use toml::Spanned;

use crate::refusal::DEFAULT_HELP;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Serving,
    /// `[evidence]`.
    pub evidence: Evidence,
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
    /// An address of this process alone, besides a port that it shares with another process: what adapters
    /// that dial are told, so that each process is joined before it takes callers. Absent: none.
    pub adapters: Option<SocketAddr>,
    /// Address of the admin listener, plain HTTP: on loopback, unless `admin_beyond_loopback`.
    pub admin: Spanned<SocketAddr>,
    /// The admin listener may be on another address than loopback: then whoever reaches it reads metrics and
    /// traces. Default false.
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
    #[serde(default = "default_max_message", deserialize_with = "bytes")]
    pub max_message: usize,
    /// Calls served at once, streams until their end, before more are refused as `OVERLOADED`. 1 to
    /// 1,000,000, default 4096.
    #[serde(default = "default_max_calls")]
    pub max_calls: Spanned<usize>,
    /// The most memory that the process should hold, e.g. `"512MiB"`; from 85 % of it on, new calls are
    /// refused as `OVERLOADED`. Default: no ceiling.
    #[serde(default, deserialize_with = "ceiling")]
    pub memory: Option<usize>,
    /// Connections of each thread to each endpoint of a provider at most; another is opened when 64 calls are
    /// on each. Default 4.
    #[serde(default = "default_upstream_connections")]
    pub upstream_connections: NonZeroUsize,
    /// Threads that serve. Default: as many as the process may use cores.
    pub workers: Option<NonZeroUsize>,
    /// How long a gateway that is told to stop says so, in health and at `/readyz`, before it takes no more
    /// connections: time for a load balancer to look elsewhere. Default none.
    #[serde(default, with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub shutdown_delay: Duration,
    /// How long running calls may go on after a stop. Default `"10s"`.
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
    /// The folder that remembers what was signed last, apart from the log's: best on another disk, and not in
    /// the log's backup. Default: `path` with `.state` at its end.
    pub state: Option<Spanned<PathBuf>>,
    /// The room that the disk must have for calls to be taken, `"1MiB"` or more; below it they are refused as
    /// `EVIDENCE_UNAVAILABLE`, and those under way are recorded in it. Default `"64MiB"`.
    #[serde(default = "default_low_water", deserialize_with = "low_water")]
    pub low_water: u64,
    /// The log's name in checkpoints and receipts, e.g. `bus.lorestan.example/evidence`.
    pub origin: String,
    /// File with the Ed25519 key that signs checkpoints (C2SP signed-note private key).
    pub signing_key: PathBuf,
    /// File with the period's key for pseudonyms and salts: 32 bytes in hexadecimal.
    pub period_key: PathBuf,
    /// Time between checkpoints while the log grows: `"10ms"` to `"1h"`, default `"1s"`.
    #[serde(default = "default_checkpoint", deserialize_with = "checkpoint_every")]
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
    #[serde(default, deserialize_with = "share")]
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
        if let Some(ca) = &mut config.telemetry.otlp_ca {
            *ca = base.join(&ca);
        }
        // Compared only now: before both start at the file's folder, a relative and an absolute path cannot
        // be compared.
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

/// The largest `max_calls`: a call takes some 20 KiB, so that this is 20 GiB.
const MAX_CALLS: usize = 1_000_000;

fn checkpoint_every<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let every = jiff::fmt::serde::unsigned_duration::friendly::compact::required::deserialize(deserializer)?;
    // A checkpoint costs some ten syncs, so the lower bound spares the disk. Entries after the last
    // checkpoint are not signed yet, so the upper bound limits them.
    let bounds = Duration::from_millis(10)..=Duration::from_secs(3600);
    let wrong = || serde::de::Error::custom("`checkpoint_every` is from 10ms to 1h");
    bounds.contains(&every).then_some(every).ok_or_else(wrong)
}

/// Reads `"64KiB"`, `"1MiB"` or `"4096B"`.
fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    size(deserializer, 1 << 10..=16 << 20, "a size is from 1KiB to 16MiB")
}

fn ceiling<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    size(deserializer, 64 << 20..=usize::MAX, "a ceiling of memory is 64MiB or more").map(Some)
}

fn low_water<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = size(deserializer, 1 << 20..=usize::MAX, "`low_water` is 1MiB or more")?;
    u64::try_from(size).map_err(serde::de::Error::custom)
}

fn size<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
    bounds: std::ops::RangeInclusive<usize>,
    rule: &'static str,
) -> Result<usize, D::Error> {
    use serde::de::Error as _;
    let text = String::deserialize(deserializer)?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(D::Error::custom("a size is a number with a unit: `B`, `KiB`, `MiB` or `GiB`")),
    };
    // `checked_mul`, because `usize::MAX` with a unit would wrap to a small and valid size.
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(scale));
    size.filter(|size| bounds.contains(size)).ok_or_else(|| D::Error::custom(rule))
}

fn default_help() -> String {
    DEFAULT_HELP.to_owned()
}

fn default_max_message() -> usize {
    1 << 20
}

fn default_max_calls() -> Spanned<usize> {
    Spanned::new(0..0, 4096)
}

fn share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(Some(share))
    } else {
        Err(serde::de::Error::custom("a share is from 0 to 1"))
    }
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
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[gateway]
listen = "127.0.0.1:7443"
admin = "127.0.0.1:7480"
identity = { cert = "pki/gateway.crt", key = "pki/gateway.key", trust = "pki/ca.crt" }
registry = "registry"
contracts = ["contracts/civil"]
max_message = "512KiB"
drain = "2s"

[evidence]
path = "evidence"
origin = "bus.lorestan.example/evidence"
signing_key = "evidence.key"
period_key = "period.key"
checkpoint_every = "700ms"
"#;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn units_stand_in_the_value_and_paths_start_at_the_file() {
        let config = load(WHOLE).unwrap();
        assert_eq!(config.gateway.max_message, 512 << 10);
        assert_eq!(config.evidence.checkpoint_every, Duration::from_millis(700));
        assert!(config.gateway.registry.is_absolute() && config.gateway.registry.ends_with("registry"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_column() {
        let text = WHOLE.replace("drain =", "dairn =");
        match load(&text).unwrap_err() {
            ConfigError::Parse { line, column, message, .. } => {
                assert_eq!((line, column), (9, 1));
                assert!(message.contains("dairn"), "{message}");
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_state_folder_is_beside_the_log_whatever_the_paths_form() {
        for path in ["evidence", "evidence/", "./evidence//"] {
            let config = load(&WHOLE.replace("path = \"evidence\"", &format!("path = \"{path}\"")));
            let state = config.unwrap_or_else(|error| panic!("{path}: {error}")).evidence_state();
            assert!(state.ends_with("evidence.state"), "{}", state.display());
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_their_line() {
        let at = |after: &str, line: &str| WHOLE.replace(after, &format!("{after}\n{line}"));
        let drain = "drain = \"2s\"";
        let period = "period_key = \"period.key\"";
        let cases = [
            (WHOLE.replace("127.0.0.1:7480", "0.0.0.0:7480"), 4, "`admin_beyond_loopback = true`"),
            (at(drain, "max_calls = 0"), 10, "`max_calls` is from 1"),
            (at(drain, "max_calls = 18446744073709551615"), 10, "max_calls"),
            (at(period, "queue = 8"), 16, "`queue` is at least twice `max_calls`, 8192 here"),
            (at(period, "queue = 7").replace(drain, "max_calls = 4"), 16, "8 here"),
            (WHOLE.replace("700ms", "0s"), 16, "`checkpoint_every` is from 10ms"),
            (WHOLE.replace("700ms", "2h"), 16, "`checkpoint_every` is from 10ms"),
        ];
        for (text, wanted, words) in cases {
            match load(&text).unwrap_err() {
                ConfigError::Parse { line, message, .. } => {
                    assert!(line == wanted && message.contains(words), "{line}: {message}");
                }
                other => panic!("{other}"),
            }
        }
        let small = load(&at(period, "queue = 8").replace(drain, "max_calls = 4")).unwrap();
        assert_eq!(small.evidence_queue(), 8);
        assert_eq!(load(WHOLE).unwrap().evidence_queue(), 8192);
    }

    #[test]
    fn a_size_without_a_unit_is_refused() {
        for wrong in ["\"512\"", "\"512kb\"", "\"64MiB\"", "\"1B\""] {
            let text = WHOLE.replace("\"512KiB\"", wrong);
            assert!(matches!(load(&text), Err(ConfigError::Parse { line: 8, .. })), "{wrong}");
        }
    }
}
