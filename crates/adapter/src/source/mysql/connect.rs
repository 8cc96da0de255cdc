//! `Connector` opens sessions on a MariaDB or MySQL server. A session reads only, in UTC, and has the
//! source's time limit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chapar_model::Reason;
use mysql_async::prelude::Queryable as _;
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts};

use super::failure;
use crate::config::{Endpoint, Server};
use crate::source::{Failure, tls};

/// Prepared statements kept per connection; one per method and grant in use.
const PREPARED: usize = 256;

/// The modes of a session: those by which the adapter reads statements (no `ANSI_QUOTES`, `PIPES_AS_CONCAT`
/// or `NO_BACKSLASH_ESCAPES`), whatever the server's are.
const SQL_MODE: &str =
    "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY";
/// The longest text of GROUP_CONCAT, in bytes: MariaDB cuts a longer one with a warning only.
const LONGEST_CONCAT: usize = 16 * 1024 * 1024;
/// How much later than the adapter the server ends a statement.
const SERVER_GRACE: Duration = Duration::from_secs(1);
/// How long a connection may be silent before the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A session, and which server it is on.
pub(super) struct Connection {
    pub(super) conn: Conn,
    pub(super) server: String,
}

/// How to open a session.
pub(super) struct Connector {
    options: Opts,
    password_file: Option<PathBuf>,
    statement_timeout: Duration,
    is_mariadb: AtomicBool,
}

impl Connector {
    pub(super) fn new(server: &Server, statement_timeout: Duration) -> Result<Self, String> {
        let mut options = OptsBuilder::default()
            .user(Some(&server.user))
            .db_name(Some(&server.database))
            // The driver would otherwise leave TCP, and so TLS, for a socket that the server names.
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .stmt_cache_size(PREPARED);
        options = match &server.endpoint {
            Endpoint::Tcp(host, port) => options.ip_or_hostname(host).tcp_port(*port),
            Endpoint::Socket(file, _) => {
                let text = file.to_str().ok_or("the path of the socket is not UTF-8")?;
                options.socket(Some(text))
            }
        };
        if let Some(files) = &server.tls {
            // The driver reads the files at its first connection; a fault in them is named here.
            tls::client(files)?;
            let identity = |(cert, key): &(PathBuf, PathBuf)| {
                ClientIdentity::new(cert.clone().into(), key.clone().into())
            };
            options = options.ssl_opts(
                SslOpts::default()
                    .with_root_certs(vec![files.ca.clone().into()])
                    .with_disable_built_in_roots(true)
                    .with_client_identity(files.client.as_ref().map(identity)),
            );
        }
        server.password_file.as_deref().map(tls::password).transpose()?;
        Ok(Self {
            options: options.into(),
            password_file: server.password_file.clone(),
            statement_timeout,
            is_mariadb: AtomicBool::new(true),
        })
    }

    /// The value of `db.system.name`: that of the server that was last signed in to.
    pub(super) fn system(&self) -> &'static str {
        if self.is_mariadb.load(Ordering::Relaxed) { "mariadb" } else { "mysql" }
    }

    /// Opens a session without its settings.
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let mut options = OptsBuilder::from_opts(self.options.clone());
        if let Some(file) = &self.password_file {
            let unreadable = |fault| Failure::new(Reason::SourceDown, fault);
            options = options.pass(Some(tls::password(file).map_err(unreadable)?));
        }
        let failed = |error: mysql_async::Error| failure::at_start(&error);
        let mut conn = Conn::new(options).await.map_err(failed)?;
        // A proxy or a name with several addresses may lead to another server each time.
        let identity = "SELECT CONCAT_WS('/', @@hostname, @@port, @@server_id, VERSION())";
        let server: Option<String> = conn.query_first(identity).await.map_err(failed)?;
        Ok(Connection { conn, server: server.unwrap_or_default() })
    }

    /// Opens a session that can only read.
    pub(super) async fn open_for_reading(&self) -> Result<Connection, Failure> {
        let mut connection = self.open().await?;
        let failed = |error: mysql_async::Error| failure::at_start(&error);
        let is_mariadb = connection.server.contains("MariaDB");
        self.is_mariadb.store(is_mariadb, Ordering::Relaxed);
        // The adapter ends a late statement itself; the server does so only where the adapter cannot.
        let timeout = self.statement_timeout + SERVER_GRACE;
        let limit = if is_mariadb {
            // MariaDB ends a recursion after 1,000 rows with a warning only; the time limit ends one that has
            // no end.
            format!("max_recursive_iterations = 4294967295, max_statement_time = {}", timeout.as_secs_f64())
        } else {
            format!("max_execution_time = {}", timeout.as_millis())
        };
        // A reader waits for no lock but that of a changed table definition. Its limit counts whole seconds.
        let lock = timeout.as_secs();
        // Without autocommit a session would read its first snapshot for ever.
        let settings = format!(
            "SET SESSION autocommit = 1, time_zone = '+00:00', sql_mode = '{SQL_MODE}', \
             group_concat_max_len = {LONGEST_CONCAT}, lock_wait_timeout = {lock}, {limit}"
        );
        connection.conn.query_drop(settings).await.map_err(failed)?;
        connection.conn.query_drop("SET SESSION TRANSACTION READ ONLY").await.map_err(failed)?;
        Ok(connection)
    }
}
