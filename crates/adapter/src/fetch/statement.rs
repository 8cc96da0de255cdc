//! `Statements` plans how a statement fetches the rows of a grant: the agency's SQL as a subquery, of which
//! only granted columns are selected and only the grant's rows pass. Row scopes that the statement places
//! itself are left to it.

use std::sync::Arc;

use chapar_model::{Reason, RowScopes};

use super::{Fetch, FetchPlanner};
use crate::dialect::{Binding, SqlText};
use crate::page::{Keyset, PageBindings};
use crate::shape::Leaf;
use crate::source::{Failure, FullScan, Parameter, Pending, Query, Reading, Rows, Source, Tried};
use crate::statement::Statement;

/// One method's statement on its database.
pub(crate) struct Statements {
    inner: Statement,
    source: Arc<dyn Source>,
    limit: u64,
    keyset: Option<Keyset>,
}

/// The statement of one grant.
pub(crate) struct StatementFetch {
    source: Arc<dyn Source>,
    /// The wrapped statement.
    sql: Arc<str>,
    /// The values to bind, in order.
    bindings: Vec<Binding>,
    /// The request's field behind each of them; `None` for a value of a row scope.
    fields: Arc<[Option<Arc<str>>]>,
}

impl Statements {
    /// Plans around the statement `inner`, of which at most `limit` rows are ever read; `keyset` orders its
    /// pages, if it has any.
    pub(crate) fn new(inner: Statement, source: Arc<dyn Source>, limit: u64, keyset: Option<Keyset>) -> Self {
        Self { inner, source, limit, keyset }
    }

    fn wrap(&self, selected: &[Leaf], rows: &RowScopes, is_next: bool) -> Result<StatementFetch, Failure> {
        let dialect = self.inner.dialect();
        let mut sql = SqlText::new(dialect);
        sql.push("SELECT ");
        for (index, leaf) in selected.iter().enumerate() {
            if index > 0 {
                sql.push(", ");
            }
            let column = format!("q.{}", dialect.quoted(&leaf.column));
            sql.push(&if leaf.is_array { dialect.json_of_array(&column) } else { column });
        }
        // SQL needs at least one column, also for a grant without fields.
        if selected.is_empty() {
            sql.push("1");
        }
        if let Some(keyset) = &self.keyset {
            keyset.select(&mut sql);
        }
        sql.push("\nFROM (\n");
        self.inner.write(rows, &mut sql);
        // The line's end keeps a closing comment of the statement from swallowing the bracket.
        sql.push("\n) AS q");
        let mut word = "WHERE";
        for (column, values) in rows.iter() {
            // A scope that the statement places itself must not be applied outside again: its column need not
            // be selected there.
            let scoping = self.inner.scoping();
            if scoping.placed.iter().any(|placed| placed.scope == column) {
                continue;
            }
            if scoping.not_outside.is_some() {
                // The check at start refuses such a statement.
                let detail = "chapar-rows names a scope that the statement does not place";
                return Err(Failure::new(Reason::SchemaDrift, detail));
            }
            sql.push(&format!("\n{word} "));
            sql.one_of(&format!("q.{}", dialect.quoted(column)), values);
            word = "AND";
        }
        match &self.keyset {
            Some(keyset) => {
                if is_next {
                    sql.push(&format!("\n{word} "));
                    keyset.after(&mut sql);
                }
                keyset.order(&mut sql);
                sql.push("\nLIMIT ");
                sql.page_rows();
            }
            // One row above the limit is read, which tells a full answer from one that was cut.
            None => sql.push(&format!("\nLIMIT {}", self.limit)),
        }
        let (sql, bindings) = sql.finish();
        let field = |binding: &Binding| match binding {
            Binding::Request(number) => {
                self.inner.file().parameters().get(*number).map(|name| name.text.as_str().into())
            }
            Binding::Scope(_) | Binding::PageKey(_) | Binding::PageRows => None,
        };
        let fields = bindings.iter().map(field).collect();
        Ok(StatementFetch { source: Arc::clone(&self.source), sql: sql.into(), bindings, fields })
    }
}

impl FetchPlanner for Statements {
    fn plan(&self, selected: &[Leaf], rows: &RowScopes, is_next: bool) -> Result<Arc<dyn Fetch>, Failure> {
        Ok(Arc::new(self.wrap(selected, rows, is_next)?))
    }

    fn asks_for_rows(&self) -> bool {
        true
    }

    fn sample_page(&self) -> Vec<Parameter> {
        self.keyset.as_ref().map(Keyset::sample).unwrap_or_default()
    }
}

impl StatementFetch {
    fn bind(&self, request: &[Parameter], page: Option<PageBindings<'_>>) -> Vec<Parameter> {
        let after = |number: usize| page.and_then(|page| page.after.get(number).cloned());
        let value = |binding: &Binding| match binding {
            // Numbers and values both come from the statement's parameters, so the default is never used.
            Binding::Request(number) => request.get(*number).cloned().unwrap_or(Parameter::Null),
            Binding::Scope(value) => Parameter::Text(value.clone()),
            // A plan of a page is bound for one, so the defaults are never used; with them no row is found.
            Binding::PageKey(number) => after(*number).unwrap_or(Parameter::Null),
            Binding::PageRows => {
                let rows = page.map_or(0, |page| i64::try_from(page.rows).unwrap_or(i64::MAX));
                Parameter::Integer(rows)
            }
        };
        self.bindings.iter().map(value).collect()
    }
}

impl Fetch for StatementFetch {
    fn run(
        &self,
        request: &[Parameter],
        page: Option<PageBindings<'_>>,
        reading: Reading,
    ) -> Pending<'_, Rows> {
        self.source.run(Query {
            sql: Arc::clone(&self.sql),
            parameters: self.bind(request, page),
            fields: Arc::clone(&self.fields),
            reading,
        })
    }

    fn try_out(&self, request: &[Parameter], page: PageBindings<'_>) -> Pending<'_, Tried> {
        let values = self.bind(request, Some(page));
        Box::pin(async move { self.source.try_out(&self.sql, &values).await })
    }

    fn full_scans(&self, request: &[Parameter], page: PageBindings<'_>) -> Pending<'_, Vec<FullScan>> {
        let values = self.bind(request, Some(page));
        Box::pin(async move { self.source.full_scans(&self.sql, &values).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::form::Form;
    use crate::source::sqlite::Sqlite;

    fn leaf(path: &str) -> Leaf {
        Leaf {
            path: path.into(),
            column: path.to_owned(),
            numbers: vec![1],
            form: Form::String,
            presence: false,
            key: false,
            conversion: None,
            inside: Vec::new(),
            is_array: false,
            is_sparse: false,
        }
    }

    fn wrapped(rows: &str) -> StatementFetch {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reg.db");
        rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE person (id TEXT)").unwrap();
        let limits = crate::config::Limits {
            max_connections: 1,
            statement_timeout: std::time::Duration::from_secs(1),
            acquire_timeout: std::time::Duration::from_secs(1),
        };
        let source = Arc::new(Sqlite::open(&file, limits, Default::default()).unwrap());
        let text = "SELECT * FROM person WHERE national_id = :national_id".to_owned();
        let statement = Statement::parse(std::path::Path::new("m.sql"), text, Dialect::Sqlite).unwrap();
        let leaves = ["national_id", "given_name", "address.city"].map(leaf);
        let rows = RowScopes::from_header(rows).unwrap();
        Statements::new(statement, source, 2, None).wrap(&leaves, &rows, false).unwrap()
    }

    #[test]
    fn only_the_selected_columns_are_selected() {
        let fetch = wrapped("");
        assert_eq!(
            &*fetch.sql,
            "SELECT q.\"national_id\", q.\"given_name\", q.\"address.city\"\nFROM (\nSELECT * FROM person WHERE \
             national_id = :national_id\n) AS q\nLIMIT 2"
        );
        assert_eq!(fetch.bind(&[Parameter::Integer(7)], None), [Parameter::Integer(7)]);
    }

    #[test]
    fn row_scopes_are_bound_and_never_written_into_the_statement() {
        let fetch = wrapped("province=15,16");
        assert!(fetch.sql.ends_with("(SELECT q.\"province\" AS v)) IN (?, ?))\nLIMIT 2"), "{}", fetch.sql);
        let text = |text: &str| Parameter::Text(text.to_owned());
        assert_eq!(fetch.bind(&[text("id")], None), [text("id"), text("15"), text("16")]);
    }
}
