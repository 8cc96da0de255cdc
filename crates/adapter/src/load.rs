//! `load` reads every contract, database and statement that the settings name, and checks them against each
//! other. A start and a reload use it alike.

use std::sync::Arc;

use chapar_contract::Contract;

use crate::config::{Config, Database, Limits, SourceConfig};
use crate::error::Error;
use crate::finding::Findings;
use crate::served_method::{self, Look, ServedMethod};
use crate::source::Source;
use crate::source::mysql::Mysql;
use crate::source::postgres::Postgres;
use crate::source::sqlite::Sqlite;

/// Loads everything that `config` names and checks that it fits together. Returns the names of the services,
/// and their methods.
pub(crate) async fn load(config: &Config, look: Look) -> Result<(Vec<String>, Vec<ServedMethod>), Error> {
    let mut findings = Vec::new();
    let mut services = Vec::new();
    let mut methods = Vec::new();
    for folder in &config.contracts {
        // A contract that does not compile ends the load at once, because its statements could not be
        // compared with anything.
        let contract = Contract::load(folder)?;
        let name = Config::name(folder);
        let database =
            |fault: String| Error::Database { file: config.file.clone(), name: name.to_owned(), fault };
        let settings = config.sources.get(name).ok_or_else(|| database("is missing".to_owned()))?;
        let source = open(settings).await.map_err(database)?;
        services.extend(contract.services().map(|service| service.name().to_owned()));
        methods.extend(
            served_method::load(
                folder,
                &contract,
                &source,
                settings.limits.statement_timeout,
                look,
                &mut findings,
            )
            .await,
        );
    }
    Findings::check(findings)?;
    Ok((services, methods))
}

/// Opens the database of one source.
///
/// # Errors
/// A sentence for the operator.
async fn open(settings: &SourceConfig) -> Result<Arc<dyn Source>, String> {
    let Limits { max_connections, acquire_timeout, .. } = settings.limits;
    Ok(match &settings.database {
        Database::Sqlite(file) => Arc::new(Sqlite::open(file, max_connections, acquire_timeout)?),
        Database::Postgres(server) => Arc::new(Postgres::open(server, settings.limits).await?),
        Database::Mysql(server) => Arc::new(Mysql::open(server, settings.limits).await?),
    })
}
