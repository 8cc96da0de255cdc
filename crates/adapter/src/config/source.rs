//! This module reads a `[source.NAME]` table: which database, how it is reached, and its limits. It opens
//! nothing.

mod api;
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::ConfigReader;
use crate::finding::{Finding, Findings};

/// One database.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Which database or API, and how it is reached.
    pub kind: SourceKind,
    /// How much it may be asked at once, and for how long.
    pub limits: Limits,
}

/// Limits of one database.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, and so statements at once: 1 to 256.
    pub max_connections: usize,
    /// The longest that a statement may run: 1 ms to 30 s. The contract's timeout and the caller's deadline
    /// may be shorter.
    pub statement_timeout: Duration,
    /// The longest wait for a free connection before `SOURCE_BUSY`: 1 ms to 30 s.
    pub acquire_timeout: Duration,
}

/// Which database or API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SourceKind {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Server),
    /// A MariaDB or MySQL server.
    Mysql(Server),
    /// An agency's HTTP API.
    Api(ApiServer),
}

/// An HTTP API of an agency.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiServer {
    /// `https://HOST` or `http://HOST`, with a port and the first part of every path if there are any.
    pub url: String,
    /// How the server is authenticated; `None` for connections in clear.
    pub tls: Option<ServerTls>,
    /// Values for headers, each in a file of its own, by the name that `.http` files have for them.
    pub secrets: BTreeMap<String, PathBuf>,
}

/// A database server and one of its databases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The role that the adapter signs in as.
    pub user: String,
    /// The file that holds the role's password and nothing else; a newline at its end does not count.
    pub password_file: Option<PathBuf>,
    /// The database's name.
    pub database: String,
    /// PostgreSQL's `search_path`.
    pub search_path: Option<String>,
    /// Whether a pooler between adapter and server gives each transaction another connection
    /// (pgbouncer's `pool_mode = transaction`): then nothing is kept on a connection between two statements.
    pub pooler: bool,
    /// How the server is authenticated; `None` for a connection in clear.
    pub tls: Option<ServerTls>,
}

/// Where a database server listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// A host's name or address, and its TCP port.
    Tcp(String, u16),
    /// A Unix socket: PostgreSQL's folder, with the port that the socket's name ends in, or MariaDB's file.
    Socket(PathBuf, u16),
}

/// The files of TLS towards a database server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerTls {
    /// The CAs that may have signed the server's certificate, in PEM.
    pub ca: PathBuf,
    /// The adapter's certificate and key for this server, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl SourceConfig {
    /// Reads the keys of one `[source.NAME]` table, without its head. Paths are relative to `folder`.
    ///
    /// # Errors
    /// Every fault of the text.
    pub fn parse(folder: &Path, text: &str) -> Result<Self, Findings> {
        let file = folder.join("source");
        let table: SourceTable = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            Finding::new(&file, text, span.start, span.len(), error.message())
        })?;
        let mut reader = ConfigReader { file: &file, text, findings: Vec::new() };
        let source = reader.source(folder, &table);
        Findings::check(reader.findings)?;
        source.ok_or_else(|| Finding::of_file(&file, URLS).into())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceTable {
    url: Spanned<String>,
    password_file: Option<Spanned<PathBuf>>,
    ca: Option<Spanned<PathBuf>>,
    cert: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    plaintext: Option<Spanned<bool>>,
    search_path: Option<Spanned<String>>,
    pooler: Option<Spanned<bool>>,
    #[serde(default)]
    secrets: BTreeMap<Spanned<String>, PathBuf>,
    max_connections: Option<Spanned<usize>>,
    statement_timeout: Option<Spanned<String>>,
    acquire_timeout: Option<Spanned<String>>,
}

/// Minimum of a configured duration, so that no timeout is zero.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// Maximum of a configured duration, as of a unary method's timeout in a contract.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// What an URL must look like.
const URLS: &str = "must be `sqlite:PATH`, `postgres://USER@HOST/DATABASE`, `mysql://USER@HOST/DATABASE` or `https://HOST/PATH`";

impl ConfigReader<'_> {
    pub(super) fn source(&mut self, folder: &Path, table: &SourceTable) -> Option<SourceConfig> {
        let kind = self.kind(folder, table);
        let max_connections = table.max_connections.as_ref().map_or(4, |number| {
            // Each connection is a thread in SQLite, and a process in PostgreSQL, so the number is bounded.
            if !(1..=256).contains(number.get_ref()) {
                self.report(number.span(), "must be 1 to 256");
            }
            *number.get_ref()
        });
        let statement_timeout = self.duration(table.statement_timeout.as_ref(), MAX_TIMEOUT);
        let acquire_timeout = self.duration(table.acquire_timeout.as_ref(), Duration::from_millis(250));
        let limits = Limits { max_connections, statement_timeout, acquire_timeout };
        Some(SourceConfig { kind: kind?, limits })
    }

    fn kind(&mut self, folder: &Path, table: &SourceTable) -> Option<SourceKind> {
        let text = table.url.get_ref();
        if let Some(path) = text.strip_prefix("sqlite:") {
            self.only_for_servers(table);
            self.only_for_apis(table);
            if path.is_empty() {
                self.report(table.url.span(), URLS);
            }
            return (!path.is_empty()).then(|| SourceKind::Sqlite(folder.join(path)));
        }
        let Ok(url) = Url::parse(text) else {
            self.report(table.url.span(), URLS);
            return None;
        };
        // A key that does nothing for this kind of source would be taken for a protection that there is not.
        if !matches!(url.scheme(), "http" | "https") {
            self.only_for_apis(table);
        }
        match url.scheme() {
            "http" | "https" => Some(SourceKind::Api(self.api(folder, table, &url)?)),
            "postgres" | "postgresql" => Some(SourceKind::Postgres(self.server(folder, table, &url, 5432)?)),
            "mysql" | "mariadb" => {
                if let Some(path) = &table.search_path {
                    self.report(path.span(), "only PostgreSQL has a search path");
                }
                if let Some(pooler) = &table.pooler {
                    self.report(pooler.span(), "only PostgreSQL is reached through a pooler");
                }
                Some(SourceKind::Mysql(self.server(folder, table, &url, 3306)?))
            }
            _ => {
                self.report(table.url.span(), URLS);
                None
            }
        }
    }

    fn duration(&mut self, text: Option<&Spanned<String>>, otherwise: Duration) -> Duration {
        let Some(text) = text else { return otherwise };
        match duration(text.get_ref()).filter(|duration| (MIN_TIMEOUT..=MAX_TIMEOUT).contains(duration)) {
            Some(duration) => duration,
            None => {
                self.report(
                    text.span(),
                    "must be a time of 1 ms to 30 s with its unit, e.g. `700ms` or `2s`",
                );
                otherwise
            }
        }
    }
}

/// `700ms` or `2s`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let number = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
