//! `Plan` is a method's statement under one grant: the agency's SQL as a subquery, of which only granted
//! columns are selected and only the grant's rows pass. At most 1,024 plans of a method are cached.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_model::{Reason, RowScopes};
use parking_lot::RwLock;

use crate::completeness::Columns;
use crate::dialect::{Binding, SqlText};
use crate::encode::Encoder;
use crate::form::Form;
use crate::page::{Keyset, PageBindings};
use crate::shape::{Leaf, Shape};
use crate::source::{Failure, Parameter};
use crate::statement::Statement;

/// Maximum number of plans that are kept per method, so that metadata cannot fill the memory. A method
/// normally has fewer grants.
const MAX_PLANS: usize = 1_024;

/// What to run for one grant.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The wrapped statement.
    pub(crate) sql: Arc<str>,
    /// Encodes the rows of the statement.
    pub(crate) encoder: Arc<Encoder>,
    /// The response's field that each column fills.
    pub(crate) columns: Columns,
    /// The values to bind, in order.
    bindings: Vec<Binding>,
    /// The request's field behind each of them; `None` for a value of a row scope.
    pub(crate) fields: Arc<[Option<Arc<str>>]>,
}

impl Plan {
    /// How many columns stand before the page's keys. SQL needs at least one column.
    pub(crate) fn width(&self) -> usize {
        self.columns.len().max(1)
    }

    /// The values to bind for a request's, in the order of the statement's parameters, and for a page's, if the
    /// plan is one of a page.
    pub(crate) fn bind(&self, request: &[Parameter], page: Option<PageBindings<'_>>) -> Vec<Parameter> {
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

/// All plans of one method.
#[derive(Debug)]
pub(crate) struct Plans {
    inner: Statement,
    limit: u64,
    row_scopes: Vec<String>,
    shape: Shape,
    keyset: Option<Keyset>,
    made: RwLock<HashMap<String, Arc<Plan>>>,
}

impl Plans {
    /// Plans around the statement `inner`, of which at most `limit` rows are ever read; `keyset` orders its
    /// pages, if it has any.
    pub(crate) fn new(
        inner: Statement,
        limit: u64,
        row_scopes: &[String],
        shape: Shape,
        keyset: Option<Keyset>,
    ) -> Self {
        Self { inner, limit, row_scopes: row_scopes.to_vec(), shape, keyset, made: RwLock::default() }
    }

    /// The response's columns.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The plan for the granted `fields` (`a,b.c`) and `rows` (`province=15`), both as the gateway's metadata
    /// has them. `is_next`: of a page that is not the first.
    ///
    /// # Errors
    /// `SCHEMA_DRIFT` if they name something that this contract does not have: then gateway and adapter hold
    /// different contracts, and nothing is answered.
    pub(crate) fn plan(&self, fields: &str, rows: &str, is_next: bool) -> Result<Arc<Plan>, Failure> {
        // The key is the metadata itself: the same grant sends the same text.
        let key = format!("{fields};{rows};{is_next}");
        if let Some(plan) = self.made.read().get(&key) {
            return Ok(Arc::clone(plan));
        }
        // Built outside of the lock. Two calls may build the same plan at once, which costs only time.
        let plan = Arc::new(self.make(fields, rows, is_next)?);
        let mut made = self.made.write();
        // At the maximum all plans are dropped together. This is rare, and saves the bookkeeping of an LRU
        // cache.
        if made.len() >= MAX_PLANS {
            made.clear();
        }
        made.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    /// The plan of all fields and rows.
    pub(crate) fn whole(&self, is_next: bool) -> Result<Plan, Failure> {
        self.make(&self.every_field(), "", is_next)
    }

    /// What is bound for trying a plan out.
    pub(crate) fn sample_page(&self) -> Vec<Parameter> {
        self.keyset.as_ref().map(Keyset::sample).unwrap_or_default()
    }

    /// Every field, as the gateway's metadata would name them.
    pub(crate) fn every_field(&self) -> String {
        let fields: Vec<&str> = self.shape.leaves.iter().map(|leaf| &*leaf.path).collect();
        fields.join(",")
    }

    /// Two plans of all fields: one without row scopes, and one with all of them, and of a later page if there
    /// are pages. Together they run every part of the statement that a grant can.
    pub(crate) fn widest(&self) -> Result<[Plan; 2], Failure> {
        let fields = self.every_field();
        let every =
            self.row_scopes.iter().map(|scope| (scope.clone(), vec!["chapar0check".to_owned()])).collect();
        let rows = RowScopes::new(every)
            .map_err(|_| Failure::new(Reason::SchemaDrift, "row scopes are malformed"))?;
        let is_next = self.keyset.is_some();
        Ok([self.make(&fields, "", is_next)?, self.make(&fields, &rows.to_header(), is_next)?])
    }

    fn make(&self, fields: &str, rows: &str, is_next: bool) -> Result<Plan, Failure> {
        let drift = |detail: String| Failure::new(Reason::SchemaDrift, detail);
        // The next page's token is always granted, and no column fills it.
        let is_of_columns = |path: &&str| !path.is_empty() && self.shape.token_name() != Some(path);
        let granted: Vec<&str> = fields.split(',').map(str::trim).filter(is_of_columns).collect();
        // A field that is not known means two versions of a contract. Answering the rest would hide that.
        for path in &granted {
            let names = |leaf: &Leaf| covers(path, &leaf.path) || names_inside(path, leaf);
            if !self.shape.leaves.iter().any(names) {
                return Err(drift("chapar-fields names a field that this contract does not have".to_owned()));
            }
        }
        // The key column is always selected, because `is_about` compares it with the subject.
        let selected: Vec<Leaf> = self.shape.leaves.iter().filter_map(|leaf| under(leaf, &granted)).collect();
        let rows = RowScopes::from_header(rows).map_err(|_| drift("chapar-rows is malformed".to_owned()))?;
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
        self.inner.write(&rows, &mut sql);
        // The line's end keeps a closing comment of the statement from swallowing the bracket.
        sql.push("\n) AS q");
        let mut word = "WHERE";
        for (column, values) in rows.iter() {
            if !self.row_scopes.iter().any(|known| known == column) {
                return Err(drift("chapar-rows names a scope that this contract does not have".to_owned()));
            }
            // A scope that the statement places itself must not be applied outside again: its column need not
            // be selected there.
            let scoping = self.inner.scoping();
            if scoping.placed.iter().any(|placed| placed.scope == column) {
                continue;
            }
            if scoping.not_outside.is_some() {
                // The check at start refuses such a statement.
                return Err(drift("chapar-rows names a scope that the statement does not place".to_owned()));
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
        let encoder = Arc::new(Encoder::new(self.shape.cardinality, selected.iter()));
        let (sql, bindings) = sql.finish();
        let field = |binding: &Binding| match binding {
            Binding::Request(number) => {
                self.inner.parameters().get(*number).map(|name| name.text.as_str().into())
            }
            Binding::Scope(_) | Binding::PageKey(_) | Binding::PageRows => None,
        };
        let fields = bindings.iter().map(field).collect();
        let columns = selected.iter().map(|leaf| Arc::clone(&leaf.path)).collect();
        Ok(Plan { sql: sql.into(), encoder, columns, bindings, fields })
    }
}

/// A granted path covers a field that it names, and the fields of a message that it names.
fn covers(granted: &str, path: &str) -> bool {
    match path.strip_prefix(granted) {
        Some(rest) => rest.is_empty() || rest.starts_with('.'),
        None => false,
    }
}

/// Whether a granted path names a field inside of the one that the leaf fills with JSON.
fn names_inside(granted: &str, leaf: &Leaf) -> bool {
    leaf.inside.iter().any(|inside| covers(granted, inside))
}

/// What a grant leaves of a leaf: all, nothing, or a part of its JSON.
fn under(leaf: &Leaf, granted: &[&str]) -> Option<Leaf> {
    if leaf.key || granted.iter().any(|path| covers(path, &leaf.path)) {
        return Some(leaf.clone());
    }
    let kept = leaf.inside.iter().filter(|inside| granted.iter().any(|path| covers(path, inside)));
    let kept: Vec<String> = kept.map(|inside| leaf.relative(inside).to_owned()).collect();
    match &leaf.form {
        Form::Json(field) if !kept.is_empty() => {
            Some(Leaf { form: Form::Json(field.keeping(kept)), ..leaf.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::shape::Cardinality;

    fn plans() -> Plans {
        let leaf = |(number, path): (u32, &str)| Leaf {
            path: path.into(),
            column: path.to_owned(),
            numbers: vec![number],
            form: Form::String,
            presence: false,
            key: path == "national_id",
            conversion: None,
            inside: Vec::new(),
            is_array: false,
            is_sparse: false,
        };
        let leaves =
            (1..).zip(["national_id", "given_name", "address.city", "life_status"]).map(leaf).collect();
        let message = prost_reflect::DescriptorPool::global();
        let message = message.get_message_by_name("google.protobuf.Empty").unwrap();
        let shape = Shape { message, cardinality: Cardinality::One, leaves, page_token: None };
        let text = "SELECT * FROM person WHERE national_id = :national_id".to_owned();
        let statement = Statement::parse(std::path::Path::new("m.sql"), text, Dialect::Sqlite).unwrap();
        Plans::new(statement, 2, &["province".to_owned()], shape, None)
    }

    #[test]
    fn only_granted_columns_and_keys_are_selected() {
        let plan = plans().plan("given_name,address", "", false).unwrap();
        assert_eq!(
            &*plan.sql,
            "SELECT q.\"national_id\", q.\"given_name\", q.\"address.city\"\nFROM (\nSELECT * FROM person WHERE \
             national_id = :national_id\n) AS q\nLIMIT 2"
        );
        assert_eq!(plan.bind(&[Parameter::Integer(7)], None), [Parameter::Integer(7)]);
    }

    #[test]
    fn row_scopes_are_bound_and_never_written_into_the_statement() {
        let plan = plans().plan("given_name", "province=15,16", false).unwrap();
        assert!(plan.sql.ends_with("(SELECT q.\"province\" AS v)) IN (?, ?))\nLIMIT 2"), "{}", plan.sql);
        let text = |text: &str| Parameter::Text(text.to_owned());
        assert_eq!(plan.bind(&[text("id")], None), [text("id"), text("15"), text("16")]);
    }

    #[test]
    fn a_grant_that_this_contract_does_not_know_is_not_guessed_at() {
        for (fields, rows) in [("given_nam", ""), ("given_name", "county=1"), ("given_name", "province")] {
            assert_eq!(
                plans().plan(fields, rows, false).unwrap_err().reason,
                Reason::SchemaDrift,
                "{fields} {rows}"
            );
        }
    }

    #[test]
    fn a_plan_is_made_once_per_grant() {
        let plans = plans();
        let first = plans.plan("given_name", "", false).unwrap();
        assert!(Arc::ptr_eq(&first, &plans.plan("given_name", "", false).unwrap()));
    }
}
