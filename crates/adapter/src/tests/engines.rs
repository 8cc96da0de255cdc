//! `Engine` is one kind of database in the tests: it makes a fresh database with a schema, and a source on it
//! that signs in as a role which can only read.

use std::sync::Arc;
use std::time::Duration;

use chapar_telemetry::SourceFigures;
use chapar_test_servers::{Mariadb, Postgres};
use tempfile::TempDir;

use super::bench::Bench;
use crate::config::{self, Endpoint, Limits};
use crate::finding::Findings;
use crate::source::mysql::Mysql;
use crate::source::sqlite::Sqlite;
use crate::source::{Source, postgres};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Engine {
    Mariadb,
    Postgres,
    Sqlite,
}

pub(super) const ENGINES: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::Mariadb];

pub(super) const LIMITS: Limits = Limits {
    max_connections: 4,
    statement_timeout: Duration::from_secs(10),
    acquire_timeout: Duration::from_millis(500),
};

/// The password of the role that reads.
pub(super) const PASSWORD: &str = "read only";

/// A database server.
pub(super) trait Host: Send + Sync {
    fn engine(&self) -> Engine;
    fn port(&self) -> u16;
    fn sql(&self, database: &str, text: &str);
    fn ask(&self, database: &str, query: &str) -> String;
    fn create_database(&self) -> String;
    /// Stops all of its processes as they are, and lets them go on.
    fn freeze(&self);
    fn thaw(&self);
    fn kill(&self);
    fn restart(&self);
}

macro_rules! host {
    ($server:ident) => {
        impl Host for $server {
            fn engine(&self) -> Engine {
                Engine::$server
            }
            fn port(&self) -> u16 {
                self.port()
            }
            fn sql(&self, database: &str, text: &str) {
                self.sql(database, text);
            }
            fn ask(&self, database: &str, query: &str) -> String {
                self.ask(database, query)
            }
            fn create_database(&self) -> String {
                self.create_database("reg")
            }
            fn freeze(&self) {
                self.stop_the_world();
            }
            fn thaw(&self) {
                self.go_on();
            }
            fn kill(&self) {
                self.kill();
            }
            fn restart(&self) {
                self.restart();
            }
        }
    };
}

host!(Postgres);
host!(Mariadb);

/// A database of one test.
pub(super) struct Database {
    pub(super) folder: TempDir,
    pub(super) source: Arc<dyn Source>,
    pub(super) name: String,
    pub(super) figures: SourceFigures,
}

impl Engine {
    /// A database with this schema, on the server that all tests share.
    pub(super) async fn database(self, schema: &str) -> Database {
        match self {
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("reg.db");
                rusqlite::Connection::open(&file).unwrap().execute_batch(schema).unwrap();
                let figures = SourceFigures::default();
                let source = Arc::new(Sqlite::open(&file, LIMITS, figures.clone()).unwrap());
                Database { folder, source, name: String::new(), figures }
            }
            Self::Postgres => Database::on(Postgres::shared(), schema, LIMITS).await,
            Self::Mariadb => Database::on(Mariadb::shared(), schema, LIMITS).await,
        }
    }
}

/// Starts servers of their own, for tests that stop them.
pub(super) fn own_servers() -> [Box<dyn Host>; 2] {
    [Box::new(Postgres::start()), Box::new(Mariadb::start())]
}

/// The servers that all tests share.
pub(super) fn shared_servers() -> [&'static dyn Host; 2] {
    [Postgres::shared(), Mariadb::shared()]
}

impl Database {
    /// A database with this schema on a server.
    pub(super) async fn on(host: &dyn Host, schema: &str, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = create(host, schema);
        let server = signed_in(host, &folder, &name);
        let figures = SourceFigures::default();
        let source = counted(host.engine(), &server, limits, &figures).await.unwrap();
        Self { folder, source, name, figures }
    }

    /// An adapter on this database.
    pub(super) async fn bench(self, proto: &str, statements: &[(&str, &str)]) -> Result<Bench, Findings> {
        let mut bench = Bench::on(self.folder, proto, statements, self.source).await?;
        bench.figures = self.figures;
        Ok(bench)
    }
}

/// Opens a source on a server.
pub(super) async fn open(
    engine: Engine,
    server: &config::Server,
    limits: Limits,
) -> Result<Arc<dyn Source>, String> {
    counted(engine, server, limits, &SourceFigures::default()).await
}

async fn counted(
    engine: Engine,
    server: &config::Server,
    limits: Limits,
    figures: &SourceFigures,
) -> Result<Arc<dyn Source>, String> {
    Ok(match engine {
        Engine::Postgres => Arc::new(postgres::Postgres::open(server, limits, figures.clone()).await?),
        _ => Arc::new(Mysql::open(server, limits, figures.clone()).await?),
    })
}

/// Makes a database with this schema, and a role of the same name that reads it.
pub(super) fn create(host: &dyn Host, schema: &str) -> String {
    let name = host.create_database();
    let role = match host.engine() {
        Engine::Postgres => format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}';
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {name};"
        ),
        _ => format!(
            "CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON {name}.* TO '{name}'@'%';"
        ),
    };
    host.sql(&name, &format!("{role}\n{schema}"));
    name
}

/// How the role that reads is signed in.
pub(super) fn signed_in(host: &dyn Host, folder: &TempDir, name: &str) -> config::Server {
    let password_file = folder.path().join("password");
    write_secret(&password_file, PASSWORD);
    config::Server {
        endpoint: Endpoint::Tcp("127.0.0.1".to_owned(), host.port()),
        user: name.to_owned(),
        password_file: Some(password_file),
        database: name.to_owned(),
        search_path: None,
        pooler: false,
        tls: None,
    }
}

/// Writes a file that nobody else may read.
pub(super) fn write_secret(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
