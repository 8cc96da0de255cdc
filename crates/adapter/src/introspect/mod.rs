//! `introspect` drafts a first contract folder from a live database: a message for each table or view that
//! has a key, methods for its keys and references, and a statement for each method. Nothing can be published
//! as it is: every field is secret and no method has a purpose until a person decides.
//!
//! Left out: access rights, purposes, row scopes, and which of the tables should be published at all.

mod draft;
mod guess;
mod names;
mod numbers;
mod write;

use std::path::{Path, PathBuf};

use chapar_telemetry::SourceFigures;

use self::draft::Draft;
use self::guess::Guesses;
use self::numbers::Numbers;
pub use self::write::Written;
use crate::backend::Opened;
use crate::config::SourceConfig;
use crate::load;

/// What to draft.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// The contract's package, e.g. `civil.v1`.
    pub package: String,
    /// The service's name, e.g. `CivilRegistry`.
    pub service: String,
    /// The tables and views to draft; all, if there is none.
    pub relations: Vec<String>,
    /// The folder that gets the contract.
    pub folder: PathBuf,
}

/// What was drafted.
#[derive(Clone, Debug, Default)]
pub struct Introspected {
    /// Every file, and what was done to it.
    pub files: Vec<(PathBuf, Written)>,
    /// What a person has to know or decide, one sentence each.
    pub remarks: Vec<String>,
}

/// Drafts a contract from the database of `source`.
///
/// # Errors
/// A sentence: the database cannot be used, a name is none, a file cannot be written.
pub async fn introspect(source: &SourceConfig, wanted: &Introspection) -> Result<Introspected, String> {
    if !names::is_package(&wanted.package) {
        return Err(format!("`{}` is no package with a version, such as `civil.v1`", wanted.package));
    }
    if !names::is_message(&wanted.service) {
        return Err(format!("`{}` is no name of a service, such as `CivilRegistry`", wanted.service));
    }
    // A file of the package `civil.v1` is known as `civil/v1/civil.proto`, so its folder is `civil`.
    let first = wanted.package.split('.').next().unwrap_or_default();
    if wanted.folder.file_name().is_none_or(|name| name != first) {
        return Err(format!("the folder of `{}` must be named `{first}`", wanted.package));
    }
    let Opened::Database(source) = load::open(source, SourceFigures::default()).await? else {
        return Err("a contract is drafted from a database, and this source is an API".to_owned());
    };
    let mut catalogue = source.catalogue().await.map_err(|failure| failure.detail.into_owned())?;
    for name in &wanted.relations {
        if !catalogue.relations.iter().any(|relation| relation.name == *name) {
            let known: Vec<&str> =
                catalogue.relations.iter().map(|relation| relation.name.as_str()).collect();
            let help = crate::finding::did_you_mean(name, known.iter().copied()).unwrap_or_default();
            return Err(format!("no table or view that the role may read is named `{name}`; {help}"));
        }
    }
    if !wanted.relations.is_empty() {
        catalogue.relations.retain(|relation| wanted.relations.contains(&relation.name));
    }
    let guesses = Guesses::of(&*source, &catalogue).await;
    let mut numbers = Numbers::load(&lock_file(&wanted.folder))?;
    let draft = Draft::new(wanted, source.dialect(), &catalogue, &guesses, &mut numbers);
    let mut done = Introspected { remarks: draft.remarks.clone(), ..Introspected::default() };
    done.files = write::write(&wanted.folder, draft.files())?;
    numbers.save(&lock_file(&wanted.folder))?;
    Ok(done)
}

/// Numbers of fields, which stay the same when the draft is made again.
fn lock_file(folder: &Path) -> PathBuf {
    folder.join("introspect.lock")
}
