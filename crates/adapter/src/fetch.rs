//! `Fetch` gets the rows of a method under one grant, by a statement or by a request to an agency's API.
//! `FetchPlanner` makes one for each grant. Which columns and rows are granted is decided in `plan`.

mod request;
mod statement;

use std::sync::Arc;

use chapar_model::RowScopes;

pub(crate) use self::request::Requests;
pub(crate) use self::statement::Statements;
use crate::page::PageBindings;
use crate::shape::Leaf;
use crate::source::{Failure, FullScan, Parameter, Pending, Reading, Rows, Tried};

/// Fetches the granted columns of the granted rows for one request.
pub(crate) trait Fetch: Send + Sync {
    /// Fetches them for a request's values, in the order of the file's parameters, and for a page's, if the
    /// plan is one of a page.
    fn run(
        &self,
        request: &[Parameter],
        page: Option<PageBindings<'_>>,
        reading: Reading,
    ) -> Pending<'_, Rows>;

    /// Fetches once with made-up values, as a call would, for a bounded time.
    fn try_out(&self, request: &[Parameter], page: PageBindings<'_>) -> Pending<'_, Tried>;

    /// Large tables that are read as a whole, as far as the source tells.
    fn full_scans(&self, request: &[Parameter], page: PageBindings<'_>) -> Pending<'_, Vec<FullScan>>;
}

/// Plans how the rows of each grant are fetched.
pub(crate) trait FetchPlanner: Send + Sync {
    /// `selected`: the granted columns, in the order in which a row has them. `rows`: the granted rows.
    /// `is_next`: of a page that is not the first.
    ///
    /// # Errors
    /// `SCHEMA_DRIFT` if the rows cannot be told.
    fn plan(&self, selected: &[Leaf], rows: &RowScopes, is_next: bool) -> Result<Arc<dyn Fetch>, Failure>;

    /// Whether the source is asked something else under row scopes.
    fn asks_for_rows(&self) -> bool;

    /// What is bound for trying a page out; empty if there are none.
    fn sample_page(&self) -> Vec<Parameter>;
}

#[cfg(test)]
pub(crate) mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// The columns and the rows that a plan was made for.
    pub(crate) type Asked = (String, String);

    /// Keeps what it is asked for, and fetches nothing.
    #[derive(Default)]
    pub(crate) struct Recorder {
        pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    }

    struct Nothing;

    impl FetchPlanner for Recorder {
        fn plan(&self, selected: &[Leaf], rows: &RowScopes, _: bool) -> Result<Arc<dyn Fetch>, Failure> {
            let columns: Vec<&str> = selected.iter().map(|leaf| leaf.column.as_str()).collect();
            self.asked.lock().push((columns.join(" "), rows.to_header()));
            Ok(Arc::new(Nothing))
        }

        fn asks_for_rows(&self) -> bool {
            true
        }

        fn sample_page(&self) -> Vec<Parameter> {
            Vec::new()
        }
    }

    impl Fetch for Nothing {
        fn run(&self, _: &[Parameter], _: Option<PageBindings<'_>>, _: Reading) -> Pending<'_, Rows> {
            unreachable!("a test of plans fetches nothing")
        }

        fn try_out(&self, _: &[Parameter], _: PageBindings<'_>) -> Pending<'_, Tried> {
            unreachable!("a test of plans fetches nothing")
        }

        fn full_scans(&self, _: &[Parameter], _: PageBindings<'_>) -> Pending<'_, Vec<FullScan>> {
            unreachable!("a test of plans fetches nothing")
        }
    }
}
