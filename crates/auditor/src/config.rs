//! This module parses `auditor.toml` and `witness.toml`. Paths are relative to the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::rules::{self, Rules};

/// The settings of an auditor.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where witness, metrics and status are served, over plain HTTP.
    pub listen: SocketAddr,
    /// The folder of index and witness state.
    pub state: PathBuf,
    /// The key by which it cosigns what it has verified; none: it does not.
    pub witness_key: Option<PathBuf>,
    /// The name of the log of questions to the index.
    pub questions: String,
    /// How old entries may be when they first come under a checkpoint.
    pub late: Duration,
    /// The logs that it follows.
    pub logs: Vec<LogConfig>,
    /// What it looks for in them.
    pub rules: Rules,
}

/// A log that an auditor follows.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// File with its public key, whose name is the log's.
    pub key: PathBuf,
    /// Where it is read.
    pub source: SourceConfig,
    /// Period keys, by which citizens are found; none: nobody can be found here.
    pub period_keys: Vec<PathBuf>,
}

/// Where a log is read.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// From its gateway.
    Gateway(chapar_client::Config),
    /// From its folder, or one to which the folder is copied.
    Folder(PathBuf),
}

/// The settings of a witness by itself.
#[derive(Clone, Debug)]
pub struct WitnessConfig {
    /// Where it is served, over plain HTTP.
    pub listen: SocketAddr,
    /// Its private key.
    pub key: PathBuf,
    /// The folder that remembers what it cosigned.
    pub state: PathBuf,
    /// Files with the public keys of the logs that it cosigns.
    pub logs: Vec<PathBuf>,
}

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    auditor: RawAuditor,
    identity: Option<RawIdentity>,
    log: Vec<RawLog>,
    #[serde(default)]
    rules: rules::Raw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuditor {
    listen: SocketAddr,
    state: PathBuf,
    witness_key: Option<PathBuf>,
    questions: String,
    #[serde(default = "default_late")]
    late: SignedDuration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIdentity {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    key: PathBuf,
    gateway: Option<String>,
    server_name: Option<String>,
    folder: Option<PathBuf>,
    #[serde(default)]
    period_keys: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitnessFile {
    witness: RawWitness,
    log: Vec<RawWitnessLog>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitness {
    listen: SocketAddr,
    key: PathBuf,
    state: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitnessLog {
    key: PathBuf,
}

/// `checkpoint_every` is a second by default, and an hour at most.
fn default_late() -> SignedDuration {
    SignedDuration::from_mins(1)
}

/// The bounds of `late`.
const LATE: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(24 * 3600);

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of what is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let fault = |problem: String| ConfigError { file: file.to_owned(), problem };
        let Raw { auditor, identity, log, rules } = parse(file)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let late = Duration::try_from(auditor.late).ok().filter(|late| LATE.contains(late));
        let late = late.ok_or_else(|| fault("`auditor.late` is from 2s to 24h".to_owned()))?;
        if auditor.questions.is_empty() || auditor.questions.contains(|c: char| c.is_whitespace() || c == '+')
        {
            return Err(fault("`auditor.questions` is the name of a log: one word without `+`".to_owned()));
        }
        if log.is_empty() {
            return Err(fault("no `[[log]]` is named: there is nothing to follow".to_owned()));
        }
        let logs = log.into_iter().map(|log| log.resolve(folder, identity.as_ref()).map_err(fault));
        Ok(Self {
            listen: auditor.listen,
            state: folder.join(auditor.state),
            witness_key: auditor.witness_key.map(|key| folder.join(key)),
            questions: auditor.questions,
            late,
            logs: logs.collect::<Result<_, _>>()?,
            rules: rules.resolve(folder).map_err(fault)?,
        })
    }
}

impl RawLog {
    fn resolve(self, folder: &Path, identity: Option<&RawIdentity>) -> Result<LogConfig, String> {
        let source = match (self.gateway, self.folder) {
            (Some(gateway), None) => {
                let identity = identity.ok_or("a log with `gateway` needs `[identity]`: cert, key, ca")?;
                let host = gateway.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']).to_owned());
                let host = host.ok_or_else(|| format!("`gateway = \"{gateway}\"` is not HOST:PORT"))?;
                SourceConfig::Gateway(chapar_client::Config {
                    server_name: self.server_name.unwrap_or(host),
                    gateway,
                    cert: folder.join(&identity.cert),
                    key: folder.join(&identity.key),
                    ca: folder.join(&identity.ca),
                })
            }
            (None, Some(log)) if self.server_name.is_none() => SourceConfig::Folder(folder.join(log)),
            (None, Some(_)) => return Err("`server_name` is a gateway's, and `folder` has none".to_owned()),
            _ => return Err("a `[[log]]` has either `gateway` or `folder`".to_owned()),
        };
        let period_keys = self.period_keys.iter().map(|key| folder.join(key)).collect();
        Ok(LogConfig { key: folder.join(self.key), source, period_keys })
    }
}

impl WitnessConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of what is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let RawWitnessFile { witness, log } = parse(file)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        if log.is_empty() {
            let problem = "no `[[log]]` is named: there is nothing to cosign".to_owned();
            return Err(ConfigError { file: file.to_owned(), problem });
        }
        Ok(Self {
            listen: witness.listen,
            key: folder.join(witness.key),
            state: folder.join(witness.state),
            logs: log.into_iter().map(|log| folder.join(log.key)).collect(),
        })
    }
}

fn parse<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, ConfigError> {
    let fault = |problem: String| ConfigError { file: file.to_owned(), problem };
    let text = chapar_files::read_text(file).map_err(|error| fault(error.to_string()))?;
    toml::from_str(&text).map_err(|error| fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[auditor]
listen      = "127.0.0.1:7470"
state       = "state"
witness_key = "auditor.key"
questions   = "audit.lorestan.example/questions"

[identity]
cert = "auditor.crt"
key  = "auditor.tls.key"
ca   = "ca.crt"

[[log]]
key         = "evidence.pub"
gateway     = "gateway.lorestan.example:7443"
period_keys = ["period.key"]

[[log]]
key    = "evidence-2.pub"
folder = "/srv/copy/evidence-2"
"#;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auditor.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn logs_are_read_from_gateways_under_one_identity_and_from_folders() {
        let config = load(GOOD).unwrap();
        let SourceConfig::Gateway(client) = &config.logs[0].source else { panic!("no gateway") };
        assert_eq!(client.server_name, "gateway.lorestan.example");
        assert!(client.cert.is_absolute() && config.logs[0].period_keys[0].is_absolute());
        assert!(
            matches!(&config.logs[1].source, SourceConfig::Folder(folder) if folder == Path::new("/srv/copy/evidence-2"))
        );
        assert_eq!(config.late, Duration::from_secs(60));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let without = |part: &str| GOOD.replace(part, "");
        for (text, problem) in [
            (GOOD.replace("state ", "sate "), "unknown field `sate`"),
            (without("folder = \"/srv/copy/evidence-2\""), "either `gateway` or `folder`"),
            (format!("{GOOD}gateway = \"a:1\"\n"), "either `gateway` or `folder`"),
            (format!("{GOOD}server_name = \"a\"\n"), "`folder` has none"),
            (GOOD.replace(":7443", ""), "is not HOST:PORT"),
            (GOOD.replace("lorestan.example/q", "lorestan example/q"), "one word without `+`"),
            (GOOD.replace("state       =", "late = \"1s\"\nstate ="), "from 2s to 24h"),
            (
                without("[identity]\ncert = \"auditor.crt\"\nkey  = \"auditor.tls.key\"\nca   = \"ca.crt\""),
                "needs `[identity]`",
            ),
            (
                format!("{GOOD}[rules]\nmany_subjects = {{ subjects = 0, within = \"1h\" }}\n"),
                "many_subjects",
            ),
        ] {
            let told = load(&text).unwrap_err();
            assert!(told.contains(problem), "{problem}: {told}");
        }
    }
}
