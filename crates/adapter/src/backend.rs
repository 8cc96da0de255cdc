//! `Backend` is what stands behind one method: a statement and its database, or a request and the API that
//! answers it. It says which columns it gives, what does not fit the contract, and how rows are fetched from
//! it.

mod request;
mod statement;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use chapar_contract::Method;

use self::request::RequestBackend;
use self::statement::StatementBackend;
use crate::api::Api;
use crate::bind::Binder;
use crate::fetch::FetchPlanner;
use crate::finding::Finding;
use crate::method_file::MethodFile;
use crate::observe::AskedSource;
use crate::page::Keyset;
use crate::plan::Plans;
use crate::scan::Remark;
use crate::shape::Shape;
use crate::source::{Described, Failure, Source};
use crate::unfit::Unfit;

/// What a backend has to wait for.
pub(crate) type Looking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unfit>> + Send + 'a>>;

/// A method that fits, as its backend is shown it.
#[derive(Clone, Copy)]
pub(crate) struct Fitting<'a> {
    pub(crate) method: &'a Method,
    pub(crate) plans: &'a Plans,
    pub(crate) binder: &'a Binder,
    pub(crate) described: &'a Described,
}

/// What stands behind one method.
pub(crate) trait Backend: Send + Sync {
    /// The method's file.
    fn file(&self) -> &MethodFile;

    /// What calls ask, for their spans.
    fn asks(&self) -> AskedSource;

    /// The columns that it gives.
    fn describe(&self) -> Looking<'_, Described>;

    /// What does not fit the contract.
    fn compare(&self, method: &Method, shape: &Shape, described: &Described) -> Vec<Finding>;

    /// What can be known only under row scopes.
    fn describe_scoped<'a>(&'a self, method: &'a Method) -> Looking<'a, ()>;

    /// What is wrong with how values are bound.
    fn compare_bound(&self, binder: &Binder, described: &Described) -> Vec<Finding>;

    /// By what the pages are ordered of a method whose contract has pages.
    fn keyset(&self, described: &Described) -> Result<Keyset, Finding>;

    /// Plans of at most `most` rows.
    fn planner(&self, most: u64, keyset: Option<Keyset>) -> Box<dyn FetchPlanner>;

    /// Looks at values that the source holds, and gives what an operator should know of them.
    fn look_at_values<'a>(&'a self, fitting: Fitting<'a>) -> Looking<'a, Vec<Remark>>;

    /// A failure to ask the source, as a finding at the file.
    fn refused(&self, failure: &Failure) -> Unfit;
}

/// A source that was opened.
pub(crate) enum Opened {
    Database(Arc<dyn Source>),
    Api(Arc<Api>),
}

impl Opened {
    /// The extension of its methods' files.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            Self::Database(_) => "sql",
            Self::Api(_) => "http",
        }
    }

    /// Reads a method's file.
    ///
    /// # Errors
    /// The file is invalid, whatever contract and source say.
    pub(crate) fn backend(&self, method: &Method, file: &Path) -> Result<Box<dyn Backend>, Finding> {
        if !file.is_file() {
            let what = match self {
                Self::Database(_) => "statement",
                Self::Api(_) => "request",
            };
            return Err(Finding::of_file(file, format!("there is no {what} for {}", method.path())));
        }
        Ok(match self {
            Self::Database(source) => Box::new(StatementBackend::load(file, source)?),
            Self::Api(api) => Box::new(RequestBackend::load(method, file, api)?),
        })
    }
}
