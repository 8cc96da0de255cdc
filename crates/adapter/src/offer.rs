//! One method that the adapter answers: its contract, statement, source and plans, proven to fit each other. Also the
//! loading of a contract folder into offers, with all findings at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapar_contract::{Contract, Method};
use chapar_model::{MethodPath, Reason, RowScopes};

use crate::bind::Binder;
use crate::check;
use crate::finding::{Finding, did_you_mean};
use crate::plan::Plans;
use crate::shape::{Cardinality, Shape};
use crate::source::Source;
use crate::statement::Statement;

/// A method that is ready to be called.
pub(crate) struct Offer {
    pub(crate) path: MethodPath,
    pub(crate) binder: Binder,
    pub(crate) plans: Plans,
    pub(crate) source: Arc<dyn Source>,
    /// The longest that its statement may run: the contract's timeout or the source's, whichever is shorter.
    pub(crate) timeout: Duration,
    /// The most rows of an answer, and the word for more.
    pub(crate) most: u64,
    pub(crate) excess: Reason,
}

/// Makes an offer of every method of the contract in `folder`.
pub(crate) fn load(
    folder: &Path,
    contract: &Contract,
    source: &Arc<dyn Source>,
    statement_timeout: Duration,
    findings: &mut Vec<Finding>,
) -> Vec<Offer> {
    let mut offers = Vec::new();
    for service in contract.services() {
        let statements = statement_folder(folder, service.name());
        for method in service.methods() {
            let file = statements.join(format!("{}.sql", method.path().method()));
            match offer(method, &file, source, statement_timeout) {
                Ok(offer) => offers.push(offer),
                Err(mut faults) => findings.append(&mut faults),
            }
        }
        let known: Vec<&str> = service.methods().iter().map(|method| method.path().method()).collect();
        findings.extend(strays(&statements, service.name(), &known));
    }
    offers
}

/// `civil/v1/CivilRegistry` beside the `.proto` of `civil.v1.CivilRegistry`, from the folder's parent or, if the folder does
/// not repeat the package, from the folder itself.
fn statement_folder(folder: &Path, service: &str) -> PathBuf {
    let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
    let packaged: PathBuf = package.split('.').chain([name]).collect();
    let root = folder.parent().unwrap_or(Path::new(""));
    let candidates = [root.join(&packaged), folder.join(&packaged), folder.join(name)];
    let [first, ..] = &candidates;
    candidates.iter().find(|candidate| candidate.is_dir()).unwrap_or(first).clone()
}

fn offer(
    method: &Arc<Method>,
    file: &Path,
    source: &Arc<dyn Source>,
    statement_timeout: Duration,
) -> Result<Offer, Vec<Finding>> {
    if !file.is_file() {
        return Err(vec![Finding::of_file(file, format!("there is no statement for {}", method.path()))]);
    }
    let statement = Statement::load(file).map_err(|finding| vec![finding])?;
    let about = |fault: String| statement.finding_about("", fault);
    let shape = Shape::new(method).map_err(|faults| faults.into_iter().map(about).collect::<Vec<_>>())?;
    let described = source
        .describe(&statement.sql(&RowScopes::default()).0)
        .map_err(|failure| vec![about(format!("the database does not take this statement: {}", failure.detail))]);
    let mut findings = match &described {
        Ok(described) => check::compare(method, &shape, &statement, described),
        Err(findings) => findings.clone(),
    };
    let binder = match Binder::new(method, &statement) {
        Ok(binder) if findings.is_empty() => binder,
        Ok(_) => return Err(findings),
        Err(mut faults) => {
            findings.append(&mut faults);
            return Err(findings);
        }
    };
    if !statement.scoping().placed.is_empty() {
        let every = method.row_scopes().iter().map(|scope| (scope.clone(), vec!["0".to_owned()])).collect();
        let scoped = RowScopes::new(every).map(|every| statement.sql(&every).0).unwrap_or_default();
        if let Err(failure) = source.describe(&scoped) {
            let text = format!("the database does not take this statement with its row scopes: {}", failure.detail);
            return Err(vec![about(text)]);
        }
    }
    let (most, excess) = match shape.cardinality {
        Cardinality::One => (1, Reason::RecordNotUnique),
        Cardinality::List(_) | Cardinality::Stream => (method.max_rows().into(), Reason::TooManyRows),
    };
    Ok(Offer {
        path: method.path().clone(),
        binder,
        plans: Plans::new(statement, most + 1, method.row_scopes(), shape),
        source: Arc::clone(source),
        timeout: method.timeout().min(statement_timeout),
        most,
        excess,
    })
}

/// Statements of no method: most likely a slip in a file's name.
fn strays(folder: &Path, service: &str, known: &[&str]) -> Vec<Finding> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sql")) {
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !known.contains(&name) {
            let finding = Finding::of_file(file, format!("{service} has no method `{name}`"));
            findings.push(match did_you_mean(name, known.iter().copied()) {
                Some(help) => finding.with_help(help),
                None => finding,
            });
        }
    }
    findings
}
