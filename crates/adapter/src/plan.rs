//! `Plan` is a method under one grant: what fetches the granted columns of the granted rows, and encodes
//! them. At most 1,024 plans of a method are cached. How the rows are fetched is left to `fetch`.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_model::{Reason, RowScopes};
use parking_lot::RwLock;

use crate::completeness::Columns;
use crate::encode::Encoder;
use crate::fetch::{Fetch, FetchPlanner};
use crate::form::Form;
use crate::shape::{Leaf, Shape};
use crate::source::{Failure, Parameter};

/// Maximum number of plans that are kept per method, so that metadata cannot fill the memory. A method
/// normally has fewer grants.
const MAX_PLANS: usize = 1_024;

/// What to run for one grant.
pub(crate) struct Plan {
    /// Fetches the rows.
    pub(crate) fetch: Arc<dyn Fetch>,
    /// Encodes them.
    pub(crate) encoder: Arc<Encoder>,
    /// The response's field that each column fills.
    pub(crate) columns: Columns,
}

impl Plan {
    /// How many columns stand before the page's keys. SQL needs at least one column.
    pub(crate) fn width(&self) -> usize {
        self.columns.len().max(1)
    }
}

/// All plans of one method.
pub(crate) struct Plans {
    planner: Box<dyn FetchPlanner>,
    row_scopes: Vec<String>,
    shape: Shape,
    made: RwLock<HashMap<String, Arc<Plan>>>,
}

impl Plans {
    /// Plans of a method with these row scopes, whose rows `planner` fetches.
    pub(crate) fn new(planner: Box<dyn FetchPlanner>, row_scopes: &[String], shape: Shape) -> Self {
        Self { planner, row_scopes: row_scopes.to_vec(), shape, made: RwLock::default() }
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

    /// How many of [`Plans::widest`] ask the source something else.
    pub(crate) fn trials(&self) -> usize {
        if self.row_scopes.is_empty() || !self.planner.asks_for_rows() { 1 } else { 2 }
    }

    /// What is bound for trying a plan out.
    pub(crate) fn sample_page(&self) -> Vec<Parameter> {
        self.planner.sample_page()
    }

    /// Every field, as the gateway's metadata would name them.
    pub(crate) fn every_field(&self) -> String {
        let fields: Vec<&str> = self.shape.leaves.iter().map(|leaf| &*leaf.path).collect();
        fields.join(",")
    }

    /// Two plans of all fields: one without row scopes, and one with all of them, and of a later page if
    /// there are pages. Together they run every part of the statement that a grant can.
    pub(crate) fn widest(&self) -> Result<[Plan; 2], Failure> {
        let fields = self.every_field();
        let every =
            self.row_scopes.iter().map(|scope| (scope.clone(), vec!["chapar0check".to_owned()])).collect();
        let rows = RowScopes::new(every)
            .map_err(|_| Failure::new(Reason::SchemaDrift, "row scopes are malformed"))?;
        let is_next = !self.sample_page().is_empty();
        Ok([self.make(&fields, "", is_next)?, self.make(&fields, &rows.to_header(), is_next)?])
    }

    fn make(&self, fields: &str, rows: &str, is_next: bool) -> Result<Plan, Failure> {
        let drift = |detail: &'static str| Failure::new(Reason::SchemaDrift, detail);
        // The next page's token is always granted, and no column fills it.
        let is_of_columns = |path: &&str| !path.is_empty() && self.shape.token_name() != Some(path);
        let granted: Vec<&str> = fields.split(',').map(str::trim).filter(is_of_columns).collect();
        // A field that is not known means two versions of a contract. Answering the rest would hide that.
        for path in &granted {
            let names = |leaf: &Leaf| covers(path, &leaf.path) || names_inside(path, leaf);
            if !self.shape.leaves.iter().any(names) {
                return Err(drift("chapar-fields names a field that this contract does not have"));
            }
        }
        // The key column is always selected, because `is_about` compares it with the subject.
        let selected: Vec<Leaf> = self.shape.leaves.iter().filter_map(|leaf| under(leaf, &granted)).collect();
        let rows = RowScopes::from_header(rows).map_err(|_| drift("chapar-rows is malformed"))?;
        if rows.iter().any(|(scope, _)| !self.row_scopes.iter().any(|known| known == scope)) {
            return Err(drift("chapar-rows names a scope that this contract does not have"));
        }
        let fetch = self.planner.plan(&selected, &rows, is_next)?;
        let encoder = Arc::new(Encoder::new(self.shape.cardinality, selected.iter()));
        let columns = selected.iter().map(|leaf| Arc::clone(&leaf.path)).collect();
        Ok(Plan { fetch, encoder, columns })
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
    use parking_lot::Mutex;

    use super::*;
    use crate::fetch::tests::{Asked, Recorder};
    use crate::shape::Cardinality;

    fn plans() -> (Plans, Arc<Mutex<Vec<Asked>>>) {
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
        let recorder = Recorder::default();
        let asked = Arc::clone(&recorder.asked);
        (Plans::new(Box::new(recorder), &["province".to_owned()], shape), asked)
    }

    #[test]
    fn only_granted_columns_and_keys_are_fetched_of_the_granted_rows() {
        let (plans, asked) = plans();
        plans.plan("given_name,address", "province=15", false).unwrap();
        let expected = ("national_id given_name address.city".to_owned(), "province=15".to_owned());
        assert_eq!(*asked.lock(), [expected]);
    }

    #[test]
    fn a_grant_that_this_contract_does_not_know_is_not_guessed_at() {
        for (fields, rows) in [("given_nam", ""), ("given_name", "county=1"), ("given_name", "province")] {
            assert_eq!(
                plans().0.plan(fields, rows, false).err().map(|failure| failure.reason),
                Some(Reason::SchemaDrift),
                "{fields} {rows}"
            );
        }
    }

    #[test]
    fn a_plan_is_made_once_per_grant() {
        let (plans, asked) = plans();
        let first = plans.plan("given_name", "", false).unwrap();
        assert!(Arc::ptr_eq(&first, &plans.plan("given_name", "", false).unwrap()));
        assert_eq!(asked.lock().len(), 1);
    }
}
