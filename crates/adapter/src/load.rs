//! `load` reads every contract, database and statement that the settings name, and checks them against each
//! other. `Loaded` holds what was read; a start takes the methods that fit, a reload and a check want all.

use std::sync::Arc;

use chapar_contract::Contract;
use chapar_model::Clock;
use chapar_telemetry::{SourceFigures, SourceMetrics};

use crate::api::Api;
use crate::backend::Opened;
use crate::config::{Config, SourceConfig, SourceKind};
use crate::error::Error;
use crate::finding::{Finding, Findings};
use crate::method_folder;
use crate::page::PageTokens;
use crate::published::{self, PublishedMethod};
use crate::scan::Remark;
use crate::served_method::Look;
use crate::source::mysql::Mysql;
use crate::source::postgres::Postgres;
use crate::source::sqlite::Sqlite;

/// What the settings name.
pub(crate) struct Loaded {
    /// Every method, open or closed.
    pub(crate) methods: Vec<PublishedMethod>,
    /// Remarks from sampling the tables, if that was asked for.
    pub(crate) remarks: Vec<Remark>,
}

impl Loaded {
    /// All methods, if each of them fits.
    ///
    /// # Errors
    /// The findings of all that do not.
    pub(crate) fn whole(self) -> Result<Self, Findings> {
        Findings::check(self.findings())?;
        Ok(self)
    }

    /// Returns the methods that fit, if any. The others are closed, and the log says so.
    ///
    /// # Errors
    /// The findings of all, if none fits.
    pub(crate) fn in_part(self) -> Result<Self, Findings> {
        if !self.methods.iter().any(PublishedMethod::is_open) {
            return self.whole();
        }
        for method in &self.methods {
            published::tell(method.path(), &method.findings());
        }
        Ok(self)
    }

    fn findings(&self) -> Vec<Finding> {
        self.methods.iter().flat_map(PublishedMethod::findings).collect()
    }
}

/// Loads everything that `config` names and checks whether it fits together. Connections to the databases are
/// counted in `metrics`.
///
/// # Errors
/// [`Error`]: a contract or a file that is wrong by itself, a database that cannot be used.
pub(crate) async fn load(config: &Config, look: Look, metrics: &SourceMetrics) -> Result<Loaded, Error> {
    let mut findings = Vec::new();
    let mut candidates = Vec::new();
    let tokens = Arc::new(PageTokens::new(&config.state, config.page_key.as_deref(), Clock::system()));
    for folder in &config.contracts {
        // A contract that does not compile ends the load at once, because its statements could not be
        // compared with anything.
        let contract = Contract::load(folder)?;
        let name = Config::name(folder);
        let database =
            |fault: String| Error::Database { file: config.file.clone(), name: name.to_owned(), fault };
        let settings = config.sources.get(name).ok_or_else(|| database("is missing".to_owned()))?;
        let source = open(settings, metrics.source(name)).await.map_err(database)?;
        let timeout = settings.limits.statement_timeout;
        candidates.extend(method_folder::candidates(
            folder,
            &contract,
            &source,
            timeout,
            &tokens,
            &mut findings,
        ));
    }
    let mut loaded = Loaded { methods: Vec::new(), remarks: Vec::new() };
    for candidate in candidates {
        loaded.methods.push(match candidate.prepare(look).await {
            Ok(mut served) => {
                loaded.remarks.append(&mut served.remarks);
                PublishedMethod::open(candidate, served)
            }
            Err(unfit) => PublishedMethod::closed(candidate, unfit.findings()),
        });
    }
    // A file that is wrong by itself will not be right by itself, so it ends a start; all findings come at
    // once.
    if !findings.is_empty() {
        findings.extend(loaded.findings());
    }
    Findings::check(findings)?;
    Ok(loaded)
}

/// Opens one source.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn open(settings: &SourceConfig, figures: SourceFigures) -> Result<Opened, String> {
    let limits = settings.limits;
    Ok(match &settings.kind {
        SourceKind::Sqlite(file) => Opened::Database(Arc::new(Sqlite::open(file, limits, figures)?)),
        SourceKind::Postgres(server) => {
            Opened::Database(Arc::new(Postgres::open(server, limits, figures).await?))
        }
        SourceKind::Mysql(server) => Opened::Database(Arc::new(Mysql::open(server, limits, figures).await?)),
        SourceKind::Api(server) => Opened::Api(Arc::new(Api::open(server, limits, figures)?)),
    })
}
