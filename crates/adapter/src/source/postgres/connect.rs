//! `Connector` opens sessions on a PostgreSQL server. A session is read-only by its own setting, has the
//! source's time limit, and keeps prepared statements, unless a pooler stands before the server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chapar_model::Reason;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cell::CellReader;
use super::failure;
use crate::config::{Endpoint, Server};
use crate::source::outage::CONNECT_PATIENCE;
use crate::source::{Failure, tls};

/// Prepared statements kept per connection; one per method and grant in use.
const PREPARED: usize = 256;
/// How much later than the adapter the server ends a statement.
pub(super) const SERVER_GRACE: Duration = Duration::from_secs(1);
/// How long a connection may be silent before the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How to open a session.
pub(super) struct Connector {
    config: Config,
    password_file: Option<PathBuf>,
    tls: Option<MakeRustlsConnect>,
    pub(super) user: String,
    /// The settings of a transaction, where a session's own would not be kept by the pooler.
    pub(super) begin: Option<String>,
}

/// A session that can only read.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Names the session to the server; made once, because it holds the server's address and keys.
    pub(super) session: Arc<CancelToken>,
    statements: HashMap<Arc<str>, Prepared>,
    task: AbortHandle,
}

/// A prepared statement.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    /// How the values of its columns are read.
    pub(super) readers: Arc<[CellReader]>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The driver would read the rest of a result that nobody wants, and the server would go on with it.
        self.task.abort();
    }
}

impl Connector {
    pub(super) fn new(server: &Server, statement_timeout: Duration) -> Result<Self, String> {
        let mut config = Config::new();
        match &server.endpoint {
            Endpoint::Tcp(host, port) => config.host(host).port(*port),
            Endpoint::Socket(folder, port) => config.host_path(folder).port(*port),
        };
        // The adapter ends a late statement itself; the server does so only where the adapter cannot.
        let milliseconds = (statement_timeout + SERVER_GRACE).as_millis();
        let mut settings =
            format!("statement_timeout = {milliseconds}; SET LOCAL standard_conforming_strings = on");
        if let Some(path) = &server.search_path {
            settings.push_str(&format!("; SET LOCAL search_path = {}", search_path(path)));
        }
        let begin = format!("BEGIN READ ONLY; SET LOCAL {settings}");
        let mut options = format!(
            "-c default_transaction_read_only=on -c statement_timeout={milliseconds} -c standard_conforming_strings=on"
        );
        if let Some(path) = &server.search_path {
            // A space ends an option unless a backslash stands before it
            // (<https://www.postgresql.org/docs/15/libpq-connect.html>, `options`).
            let escaped = search_path(path).replace('\\', "\\\\").replace(' ', "\\ ");
            options.push_str(&format!(" -c search_path={escaped}"));
        }
        config
            .user(&server.user)
            .dbname(&server.database)
            .application_name("chapar-adapter")
            .connect_timeout(CONNECT_PATIENCE)
            .keepalives_idle(KEEPALIVE)
            .ssl_mode(if server.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        // A pooler refuses options of a session, which it would have to keep for one client.
        if !server.pooler {
            config.options(options);
        }
        let tls = server.tls.as_ref().map(tls::client).transpose()?.map(MakeRustlsConnect::new);
        // The file is read here only to name a fault at the start; each connection reads it again, so that a
        // changed password needs no restart.
        server.password_file.as_deref().map(tls::password).transpose()?;
        Ok(Self {
            config,
            password_file: server.password_file.clone(),
            tls,
            user: server.user.clone(),
            begin: server.pooler.then_some(begin),
        })
    }

    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let mut config = self.config.clone();
        if let Some(file) = &self.password_file {
            let unreadable = |fault| Failure::new(Reason::SourceDown, fault);
            config.password(tls::password(file).map_err(unreadable)?);
        }
        let failed = |error| failure::of_connecting(&error);
        let (client, task) = match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await.map_err(failed)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        let session = Arc::new(client.cancel_token());
        let connection =
            Connection { client, session, statements: HashMap::new(), task: task.abort_handle() };
        if self.begin.is_none() {
            self.reads_only(&connection.client).await?;
        }
        Ok(connection)
    }

    /// Proves that the session has the settings that it was opened with: a pooler may drop them silently.
    async fn reads_only(&self, client: &Client) -> Result<(), Failure> {
        let settings = "SELECT current_setting('default_transaction_read_only') = 'on'
            AND current_setting('statement_timeout') <> '0' AND current_setting('standard_conforming_strings') = 'on'";
        let rows = client.query_typed(settings, &[]).await.map_err(|error| failure::of_connecting(&error))?;
        let holds = rows.first().is_some_and(|row| row.try_get::<_, bool>(0).is_ok_and(|holds| holds));
        let fault = "the session does not have the settings that it was opened with: if a pooler stands before the server, write \
                     `pooler = true`";
        if holds { Ok(()) } else { Err(Failure::new(Reason::SourceDown, fault)) }
    }

    pub(super) async fn cancel_query(&self, token: &CancelToken) {
        let cancelled = match &self.tls {
            Some(tls) => token.cancel_query(tls.clone()).await,
            None => token.cancel_query(NoTls).await,
        };
        if let Err(error) = cancelled {
            let failure = failure::of_connecting(&error);
            tracing::warn!(error = %failure.detail, "a statement could not be cancelled at the database");
        }
    }
}

impl Connection {
    /// The prepared statement of this text, and whether it was prepared just now.
    pub(super) async fn prepared(
        &mut self,
        sql: &Arc<str>,
    ) -> Result<(Prepared, bool), tokio_postgres::Error> {
        if let Some(prepared) = self.statements.get(sql) {
            return Ok((prepared.clone(), false));
        }
        let statement = self.client.prepare(sql).await?;
        // At the maximum all are dropped together. This is rare, and saves the bookkeeping of an LRU cache.
        if self.statements.len() >= PREPARED {
            self.statements.clear();
        }
        let readers = CellReader::of_all(statement.columns());
        let prepared = Prepared { statement, readers };
        self.statements.insert(Arc::clone(sql), prepared.clone());
        Ok((prepared, true))
    }

    /// Forgets a statement that no longer fits the schema, and what was known about types.
    pub(super) fn forget(&mut self, sql: &Arc<str>) {
        self.statements.remove(sql);
        self.client.clear_type_cache();
    }
}

/// Names of schemas, separated by commas, each quoted.
fn search_path(path: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.trim().trim_matches('"').replace('"', "\"\""));
    path.split(',').map(quoted).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_a_list_of_quoted_names() {
        assert_eq!(search_path("civil, \"Old Data\",x"), "\"civil\", \"Old Data\", \"x\"");
        assert_eq!(search_path("a\"; DROP TABLE p"), "\"a\"\"; DROP TABLE p\"");
    }
}
