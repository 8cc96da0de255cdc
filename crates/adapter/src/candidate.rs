//! `Candidate` is a method with its statement and its database, and everything that is needed to find out
//! whether the three fit: at a start, at a reload, and again while it is served. What then answers calls is a
//! `ServedMethod`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapar_contract::Method;
use chapar_model::{Reason, RowScopes};

use crate::bind::Binder;
use crate::check;
use crate::dialect::{Dialect, SqlText};
use crate::finding::Finding;
use crate::page::{Keyset, PageBindings, PageKey, PageTokens, Pages};
use crate::plan::Plans;
use crate::scan::{self, Remark};
use crate::served_method::{Look, ServedMethod};
use crate::shape::{Cardinality, Shape};
use crate::source::{Cell, Described, Failure, Family, Source, TableColumn, Tried};
use crate::statement::{Name, Statement};

/// A method that may be served.
pub(crate) struct Candidate {
    pub(crate) method: Arc<Method>,
    statement: Statement,
    source: Arc<dyn Source>,
    statement_timeout: Duration,
    tokens: Arc<PageTokens>,
}

/// Why a method cannot be served now.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Contract, statement and database do not fit; at least one finding.
    Findings(Vec<Finding>),
    /// The database could not be asked.
    Unreachable(Finding),
}

impl Unfit {
    pub(crate) fn findings(self) -> Vec<Finding> {
        match self {
            Self::Findings(findings) => findings,
            Self::Unreachable(finding) => vec![finding],
        }
    }
}

impl From<Vec<Finding>> for Unfit {
    fn from(findings: Vec<Finding>) -> Self {
        Self::Findings(findings)
    }
}

impl Candidate {
    /// Reads the statement in `file`.
    ///
    /// # Errors
    /// What is wrong with the file by itself.
    pub(crate) fn load(
        method: &Arc<Method>,
        file: &Path,
        source: &Arc<dyn Source>,
        statement_timeout: Duration,
        tokens: &Arc<PageTokens>,
    ) -> Result<Self, Finding> {
        if !file.is_file() {
            return Err(Finding::of_file(file, format!("there is no statement for {}", method.path())));
        }
        let statement = Statement::load(file, source.dialect())?;
        if let Some(unknown) = statement.unknown_to_parser() {
            tracing::info!(%unknown, "the SQL parser does not know this statement, so the database decides about it");
        }
        Ok(Self {
            method: Arc::clone(method),
            statement,
            source: Arc::clone(source),
            statement_timeout,
            tokens: Arc::clone(tokens),
        })
    }

    /// Compares contract, statement and live database, and tries the statement out.
    ///
    /// # Errors
    /// All findings at once, or that the database could not be asked.
    pub(crate) async fn prepare(&self, look: Look) -> Result<ServedMethod, Unfit> {
        let Self { method, statement, source, .. } = self;
        let about = |fault: String| statement.finding_about("", fault);
        let mut shape =
            Shape::new(method).map_err(|faults| faults.into_iter().map(about).collect::<Vec<_>>())?;
        shape.convert(|column| statement.conversion_of(column));
        shape.mark_sparse(|column| statement.is_sparse(column));
        // Described without row scopes, as the agency wrote it: conditions add no column.
        let mut sql = SqlText::new(source.dialect());
        statement.write(&RowScopes::default(), &mut sql);
        let (sql, _) = sql.finish();
        let described = match source.describe(&sql).await.map_err(|failure| refused(statement, &failure)) {
            Ok(described) => Ok(described),
            Err(Unfit::Findings(findings)) => Err(findings),
            Err(unreachable) => return Err(unreachable),
        };
        // Both checks are made even if one fails, so that all findings come at once.
        let findings = match &described {
            Ok(described) => {
                shape.fit(&described.columns);
                check::compare(method, &shape, statement, described)
            }
            Err(findings) => findings.clone(),
        };
        let findings = match self.described_in_full().await {
            Ok(()) => findings,
            Err(Unfit::Findings(more)) if findings.is_empty() => more,
            Err(Unfit::Findings(_)) => findings,
            Err(unreachable) => return Err(unreachable),
        };
        let (binder, described) = match (Binder::new(method, statement), described) {
            (Ok(binder), Ok(described)) if findings.is_empty() => (binder, described),
            (Ok(_), _) => return Err(findings.into()),
            (Err(faults), _) => return Err(findings.into_iter().chain(faults).collect::<Vec<_>>().into()),
        };
        let faults = compared_as_numbers(statement, &binder, &described);
        if !faults.is_empty() {
            return Err(faults.into());
        }
        let pages = self.pages(&shape, &described).map_err(|finding| Unfit::Findings(vec![finding]))?;
        let keyset = pages.as_ref().map(|pages| pages.keyset.clone());
        let (most, excess) = match shape.cardinality {
            Cardinality::One => (1, Reason::RecordNotUnique),
            Cardinality::List(_) | Cardinality::Stream => (method.max_rows().into(), Reason::TooManyRows),
        };
        let mut remarks = Vec::new();
        if look == Look::AtValues {
            let text = binder.bound_as_text();
            let seen = scan::scan(method.path(), &shape.leaves, statement, text, &described, &**source).await;
            remarks = seen.map_err(|failure| refused(statement, &failure))?;
        }
        // One row more than the limit is asked for, which tells too many rows from exactly as many as are
        // allowed.
        let plans = Plans::new(statement.clone(), most + 1, method.row_scopes(), shape, keyset);
        // A statement that can be prepared may still fail when it runs, and the first caller must not be the
        // one to find out.
        try_out(method, statement, &plans, &binder, source, look).await?;
        if look == Look::AtValues {
            remarks.extend(full_scans(method, &plans, &binder, source).await?);
            remarks.extend(try_records(method, statement, &plans, &binder, &described, &**source).await?);
        }
        Ok(ServedMethod {
            path: method.path().clone(),
            binder,
            plans,
            pages,
            remarks,
            source: Arc::clone(source),
            timeout: method.timeout().min(self.statement_timeout),
            most,
            excess,
            described,
        })
    }
}

impl Candidate {
    /// How the pages are made of a method whose contract has pages.
    fn pages(&self, shape: &Shape, described: &Described) -> Result<Option<Pages>, Finding> {
        let Self { statement, tokens, .. } = self;
        let declared = statement.page_by();
        let Some(token) = &shape.page_token else {
            return match declared.first() {
                None => Ok(None),
                Some(key) => {
                    let text = "`page by`: the contract's response has no `page_token`";
                    Err(statement.finding_at(&key.name, text))
                }
            };
        };
        if declared.is_empty() {
            let text = "the contract has pages, and the statement does not say by what they are ordered";
            let help =
                "begin the file with `-- page by: COLUMN, …`: columns that together are another for each row";
            return Err(statement.finding_about("", text).with_help(help));
        }
        // The order of a nested query means nothing (SQL:2016 §4.16), and MariaDB would sort twice.
        if statement.is_ordered_without_limit() {
            let text = "pages are ordered by `page by`: leave the statement's own ORDER BY out";
            return Err(statement.finding_about("ORDER", text));
        }
        let keys: Vec<PageKey> = declared
            .iter()
            .map(|key| PageKey { column: key.name.text.clone(), is_descending: key.value })
            .collect();
        let keyset =
            Keyset::new(statement.dialect(), &keys, &described.columns).map_err(|(column, text)| {
                let key = declared.iter().find(|key| key.name.text == column);
                key.map_or_else(
                    || statement.finding_about("", text.as_str()),
                    |key| statement.finding_at(&key.name, text.as_str()),
                )
            })?;
        tokens.check().map_err(|fault| statement.finding_about("", fault))?;
        Ok(Some(Pages { keyset, tokens: Arc::clone(tokens), token_field: token.number() }))
    }

    /// Has the database look at the statement with a value for every row scope: what stands in `chapar_rows`
    /// is left out of the statement without scopes.
    async fn described_in_full(&self) -> Result<(), Unfit> {
        let Self { method, statement, source, .. } = self;
        if statement.scoping().placed.is_empty() {
            return Ok(());
        }
        let scopes = method.row_scopes().iter().map(|scope| (scope.clone(), vec!["chapar0check".to_owned()]));
        let about = |_| Unfit::Findings(vec![statement.finding_about("", "row scopes are malformed")]);
        let rows = RowScopes::new(scopes.collect()).map_err(about)?;
        let mut sql = SqlText::new(source.dialect());
        statement.write(&rows, &mut sql);
        let (sql, _) = sql.finish();
        source.describe(&sql).await.map(drop).map_err(|failure| refused(statement, &failure))
    }
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
    look: Look,
) -> Result<(), Unfit> {
    let refused = |failure: Failure| refused(statement, &failure);
    let after = plans.sample_page();
    let page = PageBindings { after: &after, rows: 1 };
    // Without row scopes both are the same.
    let several = if method.row_scopes().is_empty() { 1 } else { 2 };
    for plan in plans.widest().map_err(refused)?.iter().take(several) {
        match source.try_out(&plan.sql, &plan.bind(&binder.samples(), Some(page))).await.map_err(refused)? {
            Tried::Ran => {}
            _ if look == Look::Again => {}
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

/// Remarks on large tables that the statement reads as a whole.
async fn full_scans(
    method: &Method,
    plans: &Plans,
    binder: &Binder,
    source: &Arc<dyn Source>,
) -> Result<Vec<Remark>, Unfit> {
    let Ok([widest, _]) = plans.widest() else { return Ok(Vec::new()) };
    let after = plans.sample_page();
    let page = PageBindings { after: &after, rows: 1 };
    // A database that does not explain the statement has run it all the same.
    let scans =
        source.full_scans(&widest.sql, &widest.bind(&binder.samples(), Some(page))).await.unwrap_or_default();
    Ok(scans
        .into_iter()
        .map(|scan| Remark {
            method: method.path().clone(),
            column: scan.table,
            looked_at: scan.rows,
            count: scan.rows,
            what:
                "the whole table is read for each call, as the database estimates: add an index on what the \
                   statement compares"
                    .to_owned(),
        })
        .collect())
}

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
) -> Result<Option<Remark>, Unfit> {
    let refused = |failure: Failure| refused(statement, &failure);
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
    let after = plans.sample_page();
    let page = PageBindings { after: &after, rows: 1 };
    let mut failures = Vec::new();
    for record in &records {
        let mut values = binder.samples();
        values[number] = record.clone();
        match source.try_out(&widest.sql, &widest.bind(&values, Some(page))).await {
            Ok(Tried::Ran | Tried::Slow) => {}
            // That it runs with NULL says nothing here: a record has been found by a real value.
            Ok(Tried::RefusesTheSample(words)) => failures.push(words),
            Err(failure) => failures.push(failure.detail.into_owned()),
        }
    }
    let Some(failure) = failures.first() else { return Ok(None) };
    if failures.len() == records.len() {
        let text = format!("the statement fails for every record that was looked up: {failure}");
        return Err(vec![statement.finding_about("", text)].into());
    }
    Ok(Some(Remark {
        method: method.path().clone(),
        column: format!("{}.{}", column.table, column.column),
        looked_at: records.len() as u64,
        count: failures.len() as u64,
        what: format!("the statement fails for their records: {failure}"),
    }))
}

/// The database's refusal, after the parser's message if the parser did not know the statement.
fn refused(statement: &Statement, failure: &Failure) -> Unfit {
    if matches!(failure.reason, Reason::SourceDown | Reason::SourceBusy | Reason::SourceTimeout) {
        let text = format!("the database could not be asked: {}", failure.detail);
        return Unfit::Unreachable(statement.finding_about("", text));
    }
    let text = format!("the database does not take this statement: {}", failure.detail);
    Unfit::Findings(vec![match statement.unknown_to_parser() {
        None => statement.finding_about("", text),
        Some(unknown) => unknown.clone().followed_by(&text),
    }])
}
