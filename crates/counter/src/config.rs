//! `Config` is `counter.toml`: where the page is served, which gateway it asks with which certificate, and
//! who may sign in. Paths are relative to the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

/// The settings of one office's page.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where browsers reach the page.
    pub listen: SocketAddr,
    /// Certificate chain of the page (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The office's identity, and the gateway that it asks.
    pub gateway: chapar_client::Config,
    /// The file of clerks.
    pub clerks: PathBuf,
    /// A session without a request ends after this time.
    pub idle: Duration,
    /// A session ends after this time in any case.
    pub longest: Duration,
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
    counter: RawCounter,
    gateway: RawGateway,
    #[serde(default)]
    session: RawSession,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCounter {
    listen: SocketAddr,
    cert: PathBuf,
    key: PathBuf,
    clerks: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGateway {
    address: String,
    server_name: Option<String>,
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSession {
    idle: SignedDuration,
    longest: SignedDuration,
}

impl Default for RawSession {
    fn default() -> Self {
        // A clerk who is away for a quarter of an hour has left the page to whoever stands at the desk. No
        // shift is longer than ten hours.
        Self { idle: SignedDuration::from_mins(15), longest: SignedDuration::from_hours(10) }
    }
}

/// The bounds of both times of a session.
const SHORTEST_SESSION: Duration = Duration::from_secs(60);
const LONGEST_SESSION: Duration = Duration::from_secs(24 * 60 * 60);

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of what is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let fault = |problem: String| ConfigError { file: file.to_owned(), problem };
        let text = chapar_files::read_text(file).map_err(|error| fault(error.to_string()))?;
        let raw: Raw = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let Raw { counter, gateway, session } = raw;
        let within = |name: &str, time: SignedDuration| {
            let time = Duration::try_from(time).ok();
            time.filter(|time| (SHORTEST_SESSION..=LONGEST_SESSION).contains(time))
                .ok_or_else(|| fault(format!("`session.{name}` is from 1 minute to 24 hours")))
        };
        let server_name = match gateway.server_name {
            Some(name) => name,
            // Without its port.
            None => gateway.address.rsplit_once(':').map_or(&*gateway.address, |(host, _)| host).to_owned(),
        };
        Ok(Self {
            listen: counter.listen,
            cert: folder.join(counter.cert),
            key: folder.join(counter.key),
            clerks: folder.join(counter.clerks),
            gateway: chapar_client::Config {
                gateway: gateway.address,
                server_name,
                cert: folder.join(gateway.cert),
                key: folder.join(gateway.key),
                ca: folder.join(gateway.ca),
            },
            idle: within("idle", session.idle)?,
            longest: within("longest", session.longest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[counter]
listen = "127.0.0.1:8600"
cert   = "page.crt"
key    = "page.key"
clerks = "clerks.toml"

[gateway]
address = "gateway.lorestan.example:7443"
cert    = "office.crt"
key     = "office.key"
ca      = "ca.crt"
"#;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counter.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read_with_paths_beside_it_and_times_by_default() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.gateway.server_name, "gateway.lorestan.example");
        assert!(config.clerks.ends_with("clerks.toml") && config.clerks.is_absolute());
        assert_eq!((config.idle, config.longest), (Duration::from_secs(900), Duration::from_secs(36_000)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, problem) in [
            (GOOD.replace("clerks =", "clerk ="), "unknown field `clerk`"),
            (GOOD.replace("127.0.0.1:8600", "here"), "invalid socket address"),
            (format!("{GOOD}\n[session]\nidle = \"1s\"\n"), "`session.idle` is from 1 minute to 24 hours"),
        ] {
            let told = load(&text).unwrap_err();
            assert!(told.contains(problem), "{problem}: {told}");
        }
    }
}
