//! `StatementBackend` is a statement and its database. It has the database describe the statement, compares
//! both with the contract, and looks records up as calls will.

use std::path::Path;
use std::sync::Arc;

use chapar_contract::Method;
use chapar_model::{Reason, RowScopes};

use super::{Backend, Fitting, Looking};
use crate::bind::Binder;
use crate::check;
use crate::dialect::{Dialect, SqlText};
use crate::fetch::{FetchPlanner, Statements};
use crate::finding::Finding;
use crate::method_file::{MethodFile, Name};
use crate::observe::AskedSource;
use crate::page::{Keyset, PageBindings, PageKey};
use crate::scan::{self, Remark};
use crate::shape::Shape;
use crate::source::{Cell, Described, Failure, Family, Source, TableColumn, Tried};
use crate::statement::Statement;
use crate::unfit::Unfit;

/// A statement and its database.
pub(crate) struct StatementBackend {
    statement: Statement,
    source: Arc<dyn Source>,
}

impl StatementBackend {
    /// Reads the statement in `file`.
    ///
    /// # Errors
    /// The file is invalid, whatever contract and source say.
    pub(crate) fn load(file: &Path, source: &Arc<dyn Source>) -> Result<Self, Finding> {
        let statement = Statement::load(file, source.dialect())?;
        if let Some(unknown) = statement.unknown_to_parser() {
            tracing::info!(%unknown, "the SQL parser does not know this statement, so the database decides about it");
        }
        Ok(Self { statement, source: Arc::clone(source) })
    }

    /// Has the database describe the statement under these row scopes.
    async fn described(&self, rows: &RowScopes) -> Result<Described, Unfit> {
        let mut sql = SqlText::new(self.source.dialect());
        self.statement.write(rows, &mut sql);
        let (sql, _) = sql.finish();
        self.source.describe(&sql).await.map_err(|failure| self.refused(&failure))
    }
}

impl Backend for StatementBackend {
    fn file(&self) -> &MethodFile {
        self.statement.file()
    }

    fn asks(&self) -> AskedSource {
        AskedSource::Database(self.source.system())
    }

    fn describe(&self) -> Looking<'_, Described> {
        // Described without row scopes, as the agency wrote it: conditions add no column.
        Box::pin(async { self.described(&RowScopes::default()).await })
    }

    fn compare(&self, method: &Method, shape: &Shape, described: &Described) -> Vec<Finding> {
        check::compare(method, shape, &self.statement, described)
    }

    /// Has the database look at the statement with a value for every row scope: what stands in `chapar_rows`
    /// is left out of the statement without scopes.
    fn describe_scoped<'a>(&'a self, method: &'a Method) -> Looking<'a, ()> {
        Box::pin(async move {
            if self.statement.scoping().placed.is_empty() {
                return Ok(());
            }
            let scope = |scope: &String| (scope.clone(), vec!["chapar0check".to_owned()]);
            let scopes = method.row_scopes().iter().map(scope).collect();
            let about = |_| Unfit::Findings(vec![self.file().finding_about("", "row scopes are malformed")]);
            let rows = RowScopes::new(scopes).map_err(about)?;
            self.described(&rows).await.map(drop)
        })
    }

    fn compare_bound(&self, binder: &Binder, described: &Described) -> Vec<Finding> {
        compared_as_numbers(&self.statement, binder, described)
    }

    fn keyset(&self, described: &Described) -> Result<Keyset, Finding> {
        let statement = &self.statement;
        let file = self.file();
        // The order of a nested query means nothing (SQL:2016 §4.16), and MariaDB would sort twice.
        if statement.is_ordered_without_limit() {
            let text = "pages are ordered by `page by`: leave the statement's own ORDER BY out";
            return Err(file.finding_about("ORDER", text));
        }
        let declared = file.page_by();
        let keys: Vec<PageKey> = declared
            .iter()
            .map(|key| PageKey { column: key.name.text.clone(), is_descending: key.value })
            .collect();
        Keyset::new(statement.dialect(), &keys, &described.columns).map_err(|(column, text)| {
            let key = declared.iter().find(|key| key.name.text == column);
            key.map_or_else(
                || file.finding_about("", text.as_str()),
                |key| file.finding_at(&key.name, text.as_str()),
            )
        })
    }

    fn planner(&self, most: u64, keyset: Option<Keyset>) -> Box<dyn FetchPlanner> {
        // One row more than the limit is asked for, which tells too many rows from exactly as many as are
        // allowed.
        Box::new(Statements::new(self.statement.clone(), Arc::clone(&self.source), most + 1, keyset))
    }

    fn look_at_values<'a>(&'a self, fitting: Fitting<'a>) -> Looking<'a, Vec<Remark>> {
        Box::pin(async move {
            let Fitting { method, plans, binder, described } = fitting;
            let leaves = &plans.shape().leaves;
            let text = binder.bound_as_text();
            let seen = scan::scan(method.path(), leaves, &self.statement, text, described, &*self.source);
            let mut remarks = seen.await.map_err(|failure| self.refused(&failure))?;
            remarks.extend(self.full_scans(fitting).await?);
            remarks.extend(self.try_records(fitting).await?);
            Ok(remarks)
        })
    }

    /// The database's refusal, after the parser's message if the parser did not know the statement.
    fn refused(&self, failure: &Failure) -> Unfit {
        let file = self.file();
        if matches!(failure.reason, Reason::SourceDown | Reason::SourceBusy | Reason::SourceTimeout) {
            let text = format!("the database could not be asked: {}", failure.detail);
            return Unfit::Unreachable(file.finding_about("", text));
        }
        let text = format!("the database does not take this statement: {}", failure.detail);
        Unfit::Findings(vec![match self.statement.unknown_to_parser() {
            None => file.finding_about("", text),
            Some(unknown) => unknown.clone().followed_by(&text),
        }])
    }
}

/// Number of records that the check looks up.
const RECORDS: u64 = 5;

impl StatementBackend {
    /// Remarks on large tables that the statement reads as a whole.
    async fn full_scans(&self, fitting: Fitting<'_>) -> Result<Vec<Remark>, Unfit> {
        let Fitting { method, plans, binder, .. } = fitting;
        let Ok([widest, _]) = plans.widest() else { return Ok(Vec::new()) };
        let after = plans.sample_page();
        let page = PageBindings { after: &after, rows: 1 };
        // A database that does not explain the statement has run it all the same.
        let scans = widest.fetch.full_scans(&binder.samples(), page).await.unwrap_or_default();
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

    /// Runs the statement for records that the table holds: some statements fail only once there is a row,
    /// such as a MATCH on a column that has no index for it. If it fails for all of them, that is a finding,
    /// for some, a remark.
    async fn try_records(&self, fitting: Fitting<'_>) -> Result<Option<Remark>, Unfit> {
        let Fitting { method, plans, binder, described } = fitting;
        let statement = &self.statement;
        let file = self.file();
        let refused = |failure: Failure| self.refused(&failure);
        let keys = |(number, name): (usize, &Name)| {
            let is_compared = |column: &&TableColumn| {
                let mut names = statement.compared_with(&name.text).flat_map(|compared| &compared.columns);
                names.any(|compared| compared.eq_ignore_ascii_case(&column.column))
            };
            described.reads.iter().find(is_compared).map(|column| (number, column))
        };
        // One parameter is enough to find a record by. A statement that compares none is left to the first
        // trial.
        let Some((number, column)) = file.parameters().iter().enumerate().find_map(keys) else {
            return Ok(None);
        };
        let mut records = Vec::new();
        let keep = &mut |cell: Cell<'_>| records.extend(binder.real(number, cell));
        self.source.sample(column, RECORDS, keep).await.map_err(refused)?;
        let [widest, _] = plans.widest().map_err(refused)?;
        let after = plans.sample_page();
        let page = PageBindings { after: &after, rows: 1 };
        let mut failures = Vec::new();
        for record in &records {
            let mut values = binder.samples();
            values[number] = record.clone();
            match widest.fetch.try_out(&values, page).await {
                Ok(Tried::Ran | Tried::Slow) => {}
                // That it runs with NULL says nothing here: a record has been found by a real value.
                Ok(Tried::RefusesTheSample(words)) => failures.push(words),
                Err(failure) => failures.push(failure.detail.into_owned()),
            }
        }
        let Some(failure) = failures.first() else { return Ok(None) };
        if failures.len() == records.len() {
            let text = format!("the statement fails for every record that was looked up: {failure}");
            return Err(vec![file.finding_about("", text)].into());
        }
        Ok(Some(Remark {
            method: method.path().clone(),
            column: format!("{}.{}", column.table, column.column),
            looked_at: records.len() as u64,
            count: failures.len() as u64,
            what: format!("the statement fails for their records: {failure}"),
        }))
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
        let Some(name) = statement.file().parameters().get(number) else { continue };
        let is_number = |column: &&TableColumn| {
            let mut compared = statement.compared_with(&name.text).flat_map(|compared| &compared.columns);
            matches!(column.family, Family::Integer | Family::Real | Family::Decimal)
                && compared.any(|name| name.eq_ignore_ascii_case(&column.column))
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
            findings.push(statement.file().finding_at(name, text).with_help(help));
        }
    }
    findings
}
