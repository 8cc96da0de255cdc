//! `[redis]` of `gateway.toml`: through which Redis gateways share their limits. The files that it names are
//! read when a gateway starts or is checked.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use chapar_limit::{RedisServer, ServerError, SharedSettings};
use serde::Deserialize;

/// `[redis]`: absent, each gateway counts for itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://[USER@]HOST:PORT[/DATABASE]`, `rediss://…` with TLS, or `redis+unix:///PATH`.
    pub url: String,
    /// File with the password. One that others may read is refused.
    pub password_file: Option<PathBuf>,
    /// CA certificates (PEM) for `rediss://`. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// This gateway's certificate (PEM) for `rediss://`; with `key`.
    pub cert: Option<PathBuf>,
    /// Its key (PEM). One that others may read is refused.
    pub key: Option<PathBuf>,
    /// Permits a Redis on another machine without TLS. Default false.
    #[serde(default)]
    pub plaintext: bool,
    /// What the keys begin with: 1 to 40 of `a-z 0-9 - _`. Default `chapar`.
    #[serde(default = "default_prefix", deserialize_with = "prefix")]
    pub prefix: String,
}

/// Why the files that `[redis]` names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// A file cannot be read, or others may read it.
    #[error("`[redis]` names {}, which {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// One of `cert` and `key` is missing.
    #[error("`[redis]`: `cert` and `key` belong together")]
    HalfIdentity,
    /// The address or a certificate cannot be used.
    #[error("`[redis]`: {0}")]
    Server(ServerError),
}

impl From<ServerError> for RedisError {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl Redis {
    pub(super) fn resolve(&mut self, base: &Path) {
        let files = [&mut self.password_file, &mut self.ca, &mut self.cert, &mut self.key];
        for file in files.into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    /// For one of at least so many gateways.
    pub(crate) fn settings(&self, least_replicas: NonZeroU32) -> SharedSettings {
        SharedSettings { prefix: self.prefix.clone(), least_replicas, ..SharedSettings::default() }
    }

    /// The server, with what its files hold.
    ///
    /// # Errors
    /// [`RedisError`] naming the file at fault.
    pub(crate) fn server(&self) -> Result<RedisServer, RedisError> {
        let password = self.password_file.as_deref().map(secret).transpose()?;
        let ca = self.ca.as_deref().map(public).transpose()?;
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((public(cert)?, secret(key)?.into_bytes())),
            (None, None) => None,
            _ => return Err(RedisError::HalfIdentity),
        };
        // A newline at the end of the file is not part of the password.
        let password = password.as_deref().map(|text| text.trim_end_matches(['\r', '\n']));
        Ok(RedisServer::new(&self.url, password, ca, identity, self.plaintext)?)
    }
}

fn secret(path: &Path) -> Result<String, RedisError> {
    chapar_files::read_secret(path).map_err(|error| match error {
        chapar_files::SecretError::Read(error) => unreadable(path, &error),
        shared => RedisError::File { path: path.to_owned(), what: shared.to_string() },
    })
}

fn public(path: &Path) -> Result<Vec<u8>, RedisError> {
    chapar_files::read_text(path).map(String::into_bytes).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> RedisError {
    RedisError::File { path: path.to_owned(), what: format!("cannot be read: {error}") }
}

fn prefix<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let prefix = String::deserialize(deserializer)?;
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=40).contains(&prefix.len()) && prefix.bytes().all(is_good) {
        Ok(prefix)
    } else {
        Err(serde::de::Error::custom("`prefix` is 1 to 40 of `a-z 0-9 - _`"))
    }
}

fn default_prefix() -> String {
    SharedSettings::default().prefix
}
