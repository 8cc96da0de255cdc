//! `ServedMethod` is one method that the adapter answers: contract, statement, source and plans, checked
//! against each other. `load` builds them from a contract folder and reports all findings at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapar_contract::{Contract, Method};
use chapar_model::{MethodPath, Reason, RowScopes};

use crate::bind::Binder;
use crate::check;
use crate::dialect::{Dialect, SqlText};
use crate::finding::{Finding, did_you_mean};
use crate::plan::Plans;
use crate::scan::{self, Remark};
use crate::shape::{Cardinality, Shape};
use crate::source::{Cell, Described, Failure, Family, Source, TableColumn, Tried};
use crate::statement::{Name, Statement};

/// A method that is ready to be called.
pub(crate) struct ServedMethod {
    pub(crate) path: MethodPath,
    pub(crate) binder: Binder,
    pub(crate) plans: Plans,
    pub(crate) source: Arc<dyn Source>,
    /// The longest that its statement may run: the contract's timeout or the source's, whichever is shorter.
    pub(crate) timeout: Duration,
    /// Remarks from sampling the tables, if that was asked for.
    pub(crate) remarks: Vec<Remark>,
    /// Maximum number of rows of an answer, and the reason for more.
    pub(crate) most: u64,
    pub(crate) excess: Reason,
}

/// What is checked besides contract and statements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Look {
    /// Nothing more: for a start or a reload.
    AtStatements,
    /// Also values of the tables' columns: for `chapar adapter check`.
    AtValues,
}

/// Prepares every method of the contract in `folder`.
pub(crate) async fn load(
    folder: &Path,
    contract: &Contract,
    source: &Arc<dyn Source>,
    statement_timeout: Duration,
    look: Look,
    findings: &mut Vec<Finding>,
) -> Vec<ServedMethod> {
    let mut methods = Vec::new();
    for service in contract.services() {
        let statements = statement_folder(folder, service.name());
        for method in service.methods() {
            let file = statements.join(format!("{}.sql", method.path().method()));
            match one(method, &file, source, statement_timeout, look).await {
                Ok(served) => methods.push(served),
                Err(mut faults) => findings.append(&mut faults),
            }
        }
        let known: Vec<&str> = service.methods().iter().map(|method| method.path().method()).collect();
        // A statement that belongs to no method is reported, because the method it was meant for may have
        // another file.
        findings.extend(strays(&statements, service.name(), &known));
    }
    methods
}

/// `civil/v1/CivilRegistry` beside the `.proto` of `civil.v1.CivilRegistry`, from the folder's parent or, if
/// the folder does not repeat the package, from the folder itself.
fn statement_folder(folder: &Path, service: &str) -> PathBuf {
    let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
    let packaged: PathBuf = package.split('.').chain([name]).collect();
    let root = folder.parent().unwrap_or(Path::new(""));
    let candidates = [root.join(&packaged), folder.join(&packaged), folder.join(name)];
    // If there is no folder at all, the findings name the first candidate.
    let [first, ..] = &candidates;
    candidates.iter().find(|candidate| candidate.is_dir()).unwrap_or(first).clone()
}

async fn one(
    method: &Arc<Method>,
    file: &Path,
    source: &Arc<dyn Source>,
    statement_timeout: Duration,
    look: Look,
) -> Result<ServedMethod, Vec<Finding>> {
    if !file.is_file() {
        return Err(vec![Finding::of_file(file, format!("there is no statement for {}", method.path()))]);
    }
    let statement = Statement::load(file, source.dialect()).map_err(|finding| vec![finding])?;
    let about = |fault: String| statement.finding_about("", fault);
    let mut shape = Shape::new(method).map_err(|faults| faults.into_iter().map(about).collect::<Vec<_>>())?;
    shape.convert(|column| statement.conversion_of(column));
    // Described without row scopes, as the agency wrote it: conditions add no column.
    let mut sql = SqlText::new(source.dialect());
    statement.write(&RowScopes::default(), &mut sql);
    let (sql, _) = sql.finish();
    let described = source.describe(&sql).await.map_err(|failure| vec![refused(&statement, &failure)]);
    if let Ok(described) = &described {
        shape.fit(&described.columns);
    }
    // Both checks are made even if one fails, so that all findings come at once.
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
    if let Ok(described) = &described {
        let faults = compared_as_numbers(&statement, &binder, described);
        if !faults.is_empty() {
            return Err(faults);
        }
    }
    let (most, excess) = match shape.cardinality {
        Cardinality::One => (1, Reason::RecordNotUnique),
        Cardinality::List(_) | Cardinality::Stream => (method.max_rows().into(), Reason::TooManyRows),
    };
    if let Some(unknown) = statement.unknown_to_parser() {
        tracing::info!(
            %unknown,
            "the SQL parser does not know this statement; the database accepts it and says that it only reads"
        );
    }
    let remarks = match (&described, look) {
        (Ok(described), Look::AtValues) => {
            let path = method.path();
            let text = binder.bound_as_text();
            let seen = scan::scan(path, &shape.leaves, &statement, text, described, &**source).await;
            seen.map_err(|failure| vec![refused(&statement, &failure)])?
        }
        _ => Vec::new(),
    };
    // One row more than the limit is asked for, which tells too many rows from exactly as many as are
    // allowed.
    let plans = Plans::new(statement.clone(), most + 1, method.row_scopes(), shape);
    // A statement that can be prepared may still fail when it runs, and the first caller must not be the one
    // to find out.
    try_out(method, &statement, &plans, &binder, source).await?;
    let mut remarks = remarks;
    if let (Ok(described), Look::AtValues) = (&described, look) {
        remarks.extend(try_records(method, &statement, &plans, &binder, described, &**source).await?);
    }
    Ok(ServedMethod {
        path: method.path().clone(),
        binder,
        plans,
        remarks,
        source: Arc::clone(source),
        timeout: method.timeout().min(statement_timeout),
        most,
        excess,
    })
}

/// Findings for texts that are compared with a number: MariaDB reads `1x` as 1 there, and finds another's
/// record. A field with a format holds digits only where its column is a number.
fn compared_as_numbers(statement: &Statement, binder: &Binder, described: &Described) -> Vec<Finding> {
    if statement.dialect() != Dialect::Mysql {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for number in binder.bound_as_free_text() {
        let Some(name) = statement.parameters().get(number) else { continue };
        let compared = statement.compared_with(&name.text);
        let is_number = |column: &&TableColumn| {
            matches!(column.family, Family::Integer | Family::Real | Family::Decimal)
                && compared.iter().any(|name| name.eq_ignore_ascii_case(&column.column))
        };
        if let Some(column) = described.reads.iter().find(is_number) {
            let text = format!(
                "`:{}` is text and the column `{}` a number: the database would read `1x` as 1",
                name.text, column.column
            );
            let help = format!(
                "write `CAST({} AS CHAR) = :{}`, or make the field a number",
                column.column, name.text
            );
            findings.push(statement.finding_at(name, text).with_help(help));
        }
    }
    findings
}

/// Runs the statement as calls will run it, under the widest grants that there can be.
async fn try_out(
    method: &Method,
    statement: &Statement,
    plans: &Plans,
    binder: &Binder,
    source: &Arc<dyn Source>,
) -> Result<(), Vec<Finding>> {
    let refused = |failure: Failure| vec![refused(statement, &failure)];
    // Without row scopes both are the same.
    let several = if method.row_scopes().is_empty() { 1 } else { 2 };
    for plan in plans.widest().map_err(refused)?.iter().take(several) {
        match source.try_out(&plan.sql, &plan.bind(&binder.samples())).await.map_err(refused)? {
            Tried::Ran => {}
            Tried::Slow => tracing::warn!(
                method = %method.path(),
                "the statement is slow for a value that no record has, so it probably scans whole tables: \
                 add an index"
            ),
            Tried::RefusesTheSample(words) => tracing::info!(
                method = %method.path(), %words,
                "the statement fails with made-up parameter values but runs with NULL: try it with real \
                 values"
            ),
        }
    }
    Ok(())
}

/// Number of records that the check looks up.
const RECORDS: u64 = 5;

/// Runs the statement for records that the table holds: some statements fail only once there is a row, such
/// as a MATCH on a column that has no index for it. If it fails for all of them, that is a finding, for some,
/// a remark.
async fn try_records(
    method: &Method,
    statement: &Statement,
    plans: &Plans,
    binder: &Binder,
    described: &Described,
    source: &dyn Source,
) -> Result<Option<Remark>, Vec<Finding>> {
    let refused = |failure: Failure| vec![refused(statement, &failure)];
    let keys = |(number, name): (usize, &Name)| {
        let is_compared = |column: &&TableColumn| {
            let mut names = statement.compared_with(&name.text).into_iter();
            names.any(|compared| compared.eq_ignore_ascii_case(&column.column))
        };
        described.reads.iter().find(is_compared).map(|column| (number, column))
    };
    // One parameter is enough to find a record by. A statement that compares none is left to the first trial.
    let Some((number, column)) = statement.parameters().iter().enumerate().find_map(keys) else {
        return Ok(None);
    };
    let mut records = Vec::new();
    let keep = &mut |cell: Cell<'_>| records.extend(binder.real(number, cell));
    source.sample(column, RECORDS, keep).await.map_err(refused)?;
    let [widest, _] = plans.widest().map_err(refused)?;
    let mut failures = Vec::new();
    for record in &records {
        let mut values = binder.samples();
        values[number] = record.clone();
        match source.try_out(&widest.sql, &widest.bind(&values)).await {
            Ok(Tried::Ran | Tried::Slow) => {}
            // That it runs with NULL says nothing here: a record has been found by a real value.
            Ok(Tried::RefusesTheSample(words)) => failures.push(words),
            Err(failure) => failures.push(failure.detail.into_owned()),
        }
    }
    let Some(failure) = failures.first() else { return Ok(None) };
    if failures.len() == records.len() {
        let text = format!("the statement fails for every record that was looked up: {failure}");
        return Err(vec![statement.finding_about("", text)]);
    }
    Ok(Some(Remark {
        method: method.path().clone(),
        column: format!("{}.{}", column.table, column.column),
        looked_at: records.len() as u64,
        count: failures.len() as u64,
        what: format!("the statement fails for their records: {failure}"),
    }))
}

/// A finding with the database's message, after the parser's message if the parser did not know the
/// statement.
fn refused(statement: &Statement, failure: &Failure) -> Finding {
    let text = format!("the database does not take this statement: {}", failure.detail);
    match statement.unknown_to_parser() {
        None => statement.finding_about("", text),
        Some(unknown) => unknown.clone().followed_by(&text),
    }
}

/// Findings for statement files that belong to no method, most likely because of a misspelt name.
fn strays(folder: &Path, service: &str, known: &[&str]) -> Vec<Finding> {
    // A folder that is missing is reported by its methods, each of which then lacks a statement.
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
