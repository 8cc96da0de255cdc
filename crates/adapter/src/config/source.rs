//! This module reads a `[source.NAME]` table: which database, how it is reached, and its limits. It opens
//! nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::Reader;
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
        let mut reader = Reader { file: &file, text, findings: Vec::new() };
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

impl Reader<'_> {
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

    /// A file has no network: keys about one would only seem to protect something.
    fn only_for_servers(&mut self, table: &SourceTable) {
        let files = [&table.password_file, &table.ca, &table.cert, &table.key]
            .into_iter()
            .flatten()
            .map(Spanned::span);
        let flags = [&table.plaintext, &table.pooler].into_iter().flatten().map(Spanned::span);
        let spans: Vec<_> = files.chain(flags).chain(table.search_path.iter().map(Spanned::span)).collect();
        for span in spans {
            self.report(span, "is for a database server, and this source is a file");
        }
    }

    fn only_for_apis(&mut self, table: &SourceTable) {
        for name in table.secrets.keys() {
            self.report(
                name.span(),
                "`secrets` are for the headers of an API, and this source is a database",
            );
        }
    }

    fn api(&mut self, folder: &Path, table: &SourceTable, url: &Url) -> Option<ApiServer> {
        let span = table.url.span();
        let files = &table.password_file;
        let path = &table.search_path;
        let keys = files.iter().map(Spanned::span).chain(path.iter().map(Spanned::span));
        for key in keys.chain(table.pooler.iter().map(Spanned::span)).collect::<Vec<_>>() {
            self.report(key, "is for a database server; an API takes `secrets`");
        }
        let names = table.secrets.keys();
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        for name in names.filter(|name| !is_name(name.get_ref())).map(Spanned::span).collect::<Vec<_>>() {
            self.report(name, "a secret's name is letters, digits, `-` and `_`");
        }
        if url.password().is_some() || !url.username().is_empty() {
            // Without the line, which would show the password.
            let text = "`url` holds a user or password: put the header's value into a file, and name that in `secrets`";
            self.findings.push(Finding::of_file(self.file, text));
            return None;
        }
        if url.query().is_some() || url.fragment().is_some() {
            self.report(span, "ends before `?` and `#`: a query is written in the `.http` files");
            return None;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let endpoint = Endpoint::Tcp(host, url.port_or_known_default().unwrap_or_default());
        let is_https = url.scheme() == "https";
        let plaintext = table.plaintext.as_ref().is_some_and(|plaintext| *plaintext.get_ref());
        let tls = match (is_https, &table.ca) {
            (true, None) => {
                let text = "name the CA of the server's certificate in `ca`; for a public one the system's list, such as \
                            `/etc/ssl/certs/ca-certificates.crt`";
                self.report(span, text);
                return None;
            }
            (true, Some(_)) if plaintext => {
                self.report(span, "`https` and `plaintext` contradict each other");
                return None;
            }
            (false, Some(ca)) => {
                self.report(ca.span(), "is for `https`, and this `url` begins with `http`");
                return None;
            }
            _ => self.server_tls(folder, table, &endpoint),
        };
        let secrets = table.secrets.iter();
        let secrets = secrets.map(|(name, file)| (name.get_ref().clone(), folder.join(file))).collect();
        Some(ApiServer { url: url.to_string(), tls, secrets })
    }

    fn server(&mut self, folder: &Path, table: &SourceTable, url: &Url, port: u16) -> Option<Server> {
        let span = table.url.span();
        let user = percent_decoded(url.username());
        let database = percent_decoded(url.path().trim_start_matches('/'));
        let mut faults = Vec::new();
        // A settings file is copied, mailed and committed; a password file is not.
        if url.password().is_some() {
            // Without the line, which would show the password.
            let text = "`url` holds a password: put it in a file, and name that in `password_file`";
            self.findings.push(Finding::of_file(self.file, text));
            return None;
        }
        if user.as_deref().is_none_or(str::is_empty) || database.as_deref().is_none_or(str::is_empty) {
            faults.push(URLS);
        }
        if url.query().is_some() || url.fragment().is_some() {
            faults
                .push("takes no parameters: TLS is `ca`, `cert` and `key`, and the schema is `search_path`");
        }
        let host = url.host_str().and_then(percent_decoded).unwrap_or_default();
        let port = url.port().unwrap_or(port);
        let endpoint = match host.as_str() {
            "" => {
                faults.push(URLS);
                return self.all(span, faults);
            }
            path if path.starts_with('/') => Endpoint::Socket(path.into(), port),
            host => Endpoint::Tcp(host.trim_matches(['[', ']']).to_owned(), port),
        };
        let tls = self.server_tls(folder, table, &endpoint);
        if !faults.is_empty() {
            return self.all(span, faults);
        }
        Some(Server {
            endpoint,
            user: user?,
            password_file: table.password_file.as_ref().map(|file| folder.join(file.get_ref())),
            database: database?,
            search_path: table.search_path.as_ref().map(|path| path.get_ref().clone()),
            pooler: table.pooler.as_ref().is_some_and(|pooler| *pooler.get_ref()),
            tls,
        })
    }

    fn all(&mut self, span: std::ops::Range<usize>, faults: Vec<&'static str>) -> Option<Server> {
        for fault in faults {
            self.report(span.clone(), fault);
        }
        None
    }

    /// Citizens' records do not cross a network in clear unless someone has written that they do.
    fn server_tls(&mut self, folder: &Path, table: &SourceTable, endpoint: &Endpoint) -> Option<ServerTls> {
        let plaintext = table.plaintext.as_ref().is_some_and(|plaintext| *plaintext.get_ref());
        // What stays on this machine is read by nobody on the way.
        let is_near = match endpoint {
            Endpoint::Socket(..) => true,
            Endpoint::Tcp(host, _) => {
                host == "localhost"
                    || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        };
        let path = |file: &Spanned<PathBuf>| folder.join(file.get_ref());
        let client = match (&table.cert, &table.key) {
            (Some(cert), Some(key)) => Some((path(cert), path(key))),
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                self.report(one.span(), "`cert` and `key` go together");
                None
            }
        };
        match &table.ca {
            Some(ca) if plaintext => {
                self.report(ca.span(), "`ca` and `plaintext` contradict each other");
                None
            }
            Some(ca) if matches!(endpoint, Endpoint::Socket(..)) => {
                self.report(ca.span(), "a Unix socket has no TLS");
                None
            }
            Some(ca) => Some(ServerTls { ca: path(ca), client }),
            None => {
                if let Some(cert) = &table.cert {
                    self.report(cert.span(), "`cert` is for TLS, which also needs the server's `ca`");
                } else if !is_near && !plaintext {
                    let text = "the server is on another machine: name the CA of its certificate in `ca`, or, if the network \
                                protects records otherwise, write `plaintext = true`";
                    self.report(table.url.span(), text);
                }
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

/// A part of an URL without its `%` escapes (RFC 3986 §2.1); `None` if the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{GOOD, parse};

    fn source(keys: &str) -> Result<SourceKind, String> {
        let text = GOOD.replace("url = \"sqlite:databases/civil.db\"", keys);
        parse(&text).map(|config| config.sources["civil"].kind.clone())
    }

    #[test]
    fn a_server_is_named_by_a_url_and_its_files() {
        let keys = "url = \"postgres://civil_ro@db.example:5433/civil\"\npassword_file = \"secret\"\nca = \"ca.crt\"\n\
                    cert = \"a.crt\"\nkey = \"a.key\"\nsearch_path = \"civil\"\npooler = true";
        let expected = Server {
            endpoint: Endpoint::Tcp("db.example".to_owned(), 5433),
            user: "civil_ro".to_owned(),
            password_file: Some("/srv/secret".into()),
            database: "civil".to_owned(),
            search_path: Some("civil".to_owned()),
            pooler: true,
            tls: Some(ServerTls {
                ca: "/srv/ca.crt".into(),
                client: Some(("/srv/a.crt".into(), "/srv/a.key".into())),
            }),
        };
        assert_eq!(source(keys), Ok(SourceKind::Postgres(expected)));
        for (url, endpoint) in [
            ("mysql://r@127.0.0.1/civil", Endpoint::Tcp("127.0.0.1".to_owned(), 3306)),
            ("mariadb://r@[::1]:1/civil", Endpoint::Tcp("::1".to_owned(), 1)),
            ("mysql://r@%2Frun%2Fmysqld.sock/civil", Endpoint::Socket("/run/mysqld.sock".into(), 3306)),
        ] {
            let Ok(SourceKind::Mysql(server)) = source(&format!("url = \"{url}\"")) else { panic!("{url}") };
            assert_eq!(server.endpoint, endpoint, "{url}");
        }
    }

    #[test]
    fn an_api_is_named_by_its_url_and_its_secrets() {
        let keys =
            "url = \"https://api.example:8443/v1\"\nca = \"ca.crt\"\nsecrets = { token = \"api-token\" }";
        let expected = ApiServer {
            url: "https://api.example:8443/v1".to_owned(),
            tls: Some(ServerTls { ca: "/srv/ca.crt".into(), client: None }),
            secrets: [("token".to_owned(), "/srv/api-token".into())].into(),
        };
        assert_eq!(source(keys), Ok(SourceKind::Api(expected)));
        for near in ["http://127.0.0.1:81/", "http://localhost"] {
            assert!(source(&format!("url = \"{near}\"")).is_ok(), "{near}");
        }
        assert!(source("url = \"http://api.example/\"\nplaintext = true").is_ok());
    }

    #[test]
    fn what_would_weaken_or_confuse_a_source_is_refused_with_its_place() {
        for (keys, said) in [
            ("url = \"postgres://r:secret@localhost/civil\"", "holds a password"),
            ("url = \"postgres://r@localhost/civil?sslmode=disable\"", "takes no parameters"),
            ("url = \"postgres://r@localhost\"", "must be `sqlite:PATH`"),
            ("url = \"postgres://localhost/civil\"", "must be `sqlite:PATH`"),
            ("url = \"oracle://r@localhost/civil\"", "must be `sqlite:PATH`"),
            ("url = \"http://api.example/\"", "the server is on another machine"),
            ("url = \"https://api.example/\"", "name the CA of the server's certificate"),
            ("url = \"https://api.example/\"\nca = \"a\"\nplaintext = true", "contradict each other"),
            ("url = \"http://localhost/\"\nca = \"a\"", "is for `https`"),
            ("url = \"https://u:p@api.example/\"\nca = \"a\"", "holds a user or password"),
            ("url = \"https://api.example/?key=1\"\nca = \"a\"", "ends before `?` and `#`"),
            ("url = \"http://localhost/\"\npassword_file = \"a\"", "an API takes `secrets`"),
            ("url = \"http://localhost/\"\nsecrets = { \"a b\" = \"x\" }", "letters, digits, `-` and `_`"),
            ("url = \"postgres://r@localhost/civil\"\nsecrets = { a = \"x\" }", "this source is a database"),
            ("url = \"sqlite:x\"\nsecrets = { a = \"x\" }", "this source is a database"),
            ("url = \"postgres://r@db.example/civil\"", "the server is on another machine"),
            (
                "url = \"postgres://r@localhost/civil\"\ncert = \"a\"\nca = \"b\"",
                "`cert` and `key` go together",
            ),
            (
                "url = \"postgres://r@localhost/civil\"\ncert = \"a\"\nkey = \"b\"",
                "also needs the server's `ca`",
            ),
            ("url = \"postgres://r@db/civil\"\nca = \"a\"\nplaintext = true", "contradict each other"),
            ("url = \"mysql://r@localhost/civil\"\nsearch_path = \"a\"", "only PostgreSQL has a search path"),
            (
                "url = \"mysql://r@localhost/civil\"\npooler = true",
                "only PostgreSQL is reached through a pooler",
            ),
            ("url = \"sqlite:a.db\"\nca = \"a\"", "this source is a file"),
            ("url = \"sqlite:a.db\"\npassword_file = \"a\"", "this source is a file"),
        ] {
            let error = source(keys).unwrap_err();
            assert!(error.contains(said) && !error.contains("secret@"), "{keys}: {error}");
        }
        assert!(source("url = \"postgres://r@db.example/civil\"\nplaintext = true").is_ok());
    }
}
