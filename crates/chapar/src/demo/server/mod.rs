//! `Server` puts the demo's five registers on a database server: a schema (PostgreSQL) or a database
//! (MariaDB, MySQL) for each, with a role that reads it alone. The rows are those of the SQLite files, which
//! are made first. What is in `postgres` and `mysql` is how each is told.

mod mysql;
mod postgres;
mod register;

use std::path::{Path, PathBuf};

use chapar_adapter::{Endpoint, SourceConfig, SourceKind};
use indicatif::{ProgressBar, ProgressStyle};

use self::register::Register;
use super::data::REGISTERS;
use crate::pki::write_file;

/// A server that cannot hold the demo.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Url(#[from] chapar_adapter::Findings),
    #[error("`--database`: {0}")]
    Unfit(&'static str),
    #[error("the database server says: {0}")]
    Server(String),
    #[error("cannot read {}", path.display())]
    Rows { path: PathBuf, source: rusqlite::Error },
    #[error("cannot write a password")]
    Password(#[from] crate::pki::Error),
}

/// A database server, and who may make databases on it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    kind: SourceKind,
}

/// What the adapters' settings say about their databases.
#[derive(Clone, Debug)]
pub(super) enum Sources {
    /// The files in `databases/`.
    Files,
    /// A server.
    Server(Box<Server>),
}

impl Sources {
    /// The keys of a register's `[source]` table.
    pub(super) fn keys(&self, register: &str) -> String {
        match self {
            Self::Files => format!("url               = \"sqlite:../databases/{register}.db\"\n"),
            Self::Server(server) => server.keys(register),
        }
    }
}

impl Server {
    /// Reads where the server is. Only this machine's is taken: the demo makes and drops databases there.
    pub(super) fn parse(url: &str, password_file: Option<&Path>) -> Result<Self, Error> {
        let mut keys = toml::Table::new();
        keys.insert("url".to_owned(), url.into());
        if let Some(file) = password_file {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            keys.insert("password_file".to_owned(), file.display().to_string().into());
        }
        let source = SourceConfig::parse(Path::new(""), &keys.to_string())?;
        if matches!(source.kind, SourceKind::Sqlite(_) | SourceKind::Api(_)) {
            return Err(Error::Unfit(
                "must be a `postgres://` or `mysql://` URL; without it the demo uses SQLite files",
            ));
        }
        Ok(Self { kind: source.kind })
    }

    fn settings(&self) -> Option<&chapar_adapter::Server> {
        match &self.kind {
            SourceKind::Postgres(server) | SourceKind::Mysql(server) => Some(server),
            SourceKind::Sqlite(_) | SourceKind::Api(_) => None,
        }
    }

    fn keys(&self, register: &str) -> String {
        let Some(server) = self.settings() else { return String::new() };
        let name = name(register);
        let host = match &server.endpoint {
            Endpoint::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp(host, port) => format!("{host}:{port}"),
            Endpoint::Socket(path, port) => {
                format!("{}:{port}", path.display().to_string().replace('/', "%2F"))
            }
        };
        let password = format!("password_file     = \"../databases/{register}.password\"\n");
        match &self.kind {
            SourceKind::Postgres(server) => format!(
                "url               = \"postgres://{name}@{host}/{}\"\n{password}search_path       = \"{name}\"\n",
                server.database
            ),
            _ => format!("url               = \"mysql://{name}@{host}/{name}\"\n{password}"),
        }
    }

    /// Makes the registers anew from the files in `databases`, which also gets the roles' passwords. What an
    /// earlier demo made there is dropped.
    pub(super) async fn load(&self, databases: &Path) -> Result<(), Error> {
        let mut registers = Vec::new();
        for register in REGISTERS {
            registers.push(Register::open(register, &databases.join(format!("{register}.db")))?);
        }
        let progress = progress(registers.iter().map(Register::rows).sum());
        for register in &registers {
            progress.set_message(register.name);
            let password = password()?;
            match &self.kind {
                SourceKind::Postgres(server) => {
                    postgres::load(server, register, &password, &progress).await?
                }
                SourceKind::Mysql(server) => mysql::load(server, register, &password, &progress).await?,
                SourceKind::Sqlite(_) | SourceKind::Api(_) => {}
            }
            let file = databases.join(format!("{}.password", register.name));
            write_file(&file, password.as_bytes(), 0o600)?;
        }
        progress.finish_and_clear();
        Ok(())
    }
}

/// A new password: 128 random bits as hexadecimal digits.
fn password() -> Result<String, Error> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Unfit("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The name of a register's schema or database, and of its role.
fn name(register: &str) -> String {
    format!("chapar_demo_{register}")
}

/// A bar on standard error, if that is a terminal.
fn progress(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    // The template is our own, so the default is never used.
    let style =
        ProgressStyle::with_template("{msg:12} {wide_bar} {human_pos} of {human_len} rows, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
