//! This module implements `chapar adapter introspect`: a first contract from a live database.

use std::path::PathBuf;

use chapar_adapter::{Introspection, SourceConfig, Written, introspect};

use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Draft a contract and its statements from a live database
///
/// Each table or view that has a key becomes a message, with a method for each key and for each reference to
/// another table. Comments, NULL, enums and CHECK … IN are taken over; formats of Iranian identifiers and
/// Jalali dates are guessed from up to 50 values of each text column, which are looked at and neither kept
/// nor shown.
///
/// Nothing can be published as it is: every field is secret, and no method has a purpose, until a person
/// decides. Run again, fields keep their numbers, and what a person changed is merged with what is new.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar adapter introspect postgres://civil_ro@db.example/civil --ca db-ca.crt \\\n      --password-file civil.password --package civil.v1 --service CivilRegistry --out contracts/civil"
)]
pub(super) struct Args {
    /// The database, as in `adapter.toml`: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`,
    /// `mysql://USER@HOST/DATABASE`
    url: String,
    /// The contract's package, with its version
    #[arg(long, value_name = "PACKAGE")]
    package: String,
    /// The service's name
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The folder that gets the contract; its name is the package's first word
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A table or view to draft; may be repeated. All that the role may read, if there is none
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// How the database is reached, by the names of the keys in `adapter.toml`.
#[derive(Debug, clap::Args)]
pub(super) struct Connection {
    /// The file that holds the role's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The CA of the server's certificate
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that the server asks for
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Reach a server on another machine without TLS
    #[arg(long)]
    plaintext: bool,
    /// Schemas of tables that are named without one (PostgreSQL)
    #[arg(long, value_name = "NAMES")]
    search_path: Option<String>,
    /// A pooler gives each transaction another connection (PostgreSQL)
    #[arg(long)]
    pooler: bool,
}

impl Connection {
    /// The keys of a `[source.NAME]` table.
    pub(super) fn toml(&self, url: &str) -> toml::Table {
        let mut table = toml::Table::new();
        let mut set = |key: &str, value: Option<toml::Value>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), value);
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string().into());
        set("url", Some(url.into()));
        set("password_file", path(&self.password_file));
        set("ca", path(&self.ca));
        set("cert", path(&self.cert));
        set("key", path(&self.key));
        set("plaintext", self.plaintext.then_some(true.into()));
        set("search_path", self.search_path.clone().map(Into::into));
        set("pooler", self.pooler.then_some(true.into()));
        table
    }
}

pub(super) async fn run(args: Args) -> Outcome {
    let table = args.connection.toml(&args.url);
    let here = std::env::current_dir().map_err(|error| Failure::new(Exit::Finding, error))?;
    let source = SourceConfig::parse(&here, &table.to_string()).map_err(Failure::finding)?;
    let wanted = Introspection {
        package: args.package,
        service: args.service,
        relations: args.tables,
        folder: args.out,
    };
    let done = Box::pin(introspect(&source, &wanted)).await;
    let done = done.map_err(|error| Failure::new(Exit::Finding, error))?;
    let mut has_conflict = false;
    for (file, written) in &done.files {
        let what = match written {
            Written::New => "new",
            Written::Unchanged => "unchanged",
            Written::Replaced => "replaced",
            Written::Merged => "merged",
            Written::Deleted => "deleted",
            Written::Conflict => "conflict",
            Written::Left => "left",
        };
        // All files are told of before the command fails, so that one look shows what is left to merge.
        has_conflict |= *written == Written::Conflict;
        out::data(format!("{what:9} {}", file.display()));
    }
    done.remarks.iter().for_each(out::say);
    if has_conflict {
        return Err(Failure::new(
            Exit::Finding,
            "you and the database changed the same lines, so nothing was written: `FILE.conflict` has both; take what you want into \
             FILE, delete `FILE.conflict`, and draft again",
        ));
    }
    out::say("next: give each field its class and each method its purposes, then `chapar contract check`");
    Ok(Exit::Ok)
}
