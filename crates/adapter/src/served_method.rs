//! `ServedMethod` answers the calls of one method: contract, file, source and plans, which fit each
//! other.

use std::time::Duration;

use chapar_model::{MethodPath, Reason};

use crate::bind::Binder;
use crate::observe::AskedSource;
use crate::page::Pages;
use crate::plan::Plans;
use crate::scan::Remark;
use crate::source::Described;

/// A method that is ready to be called.
pub(crate) struct ServedMethod {
    pub(crate) path: MethodPath,
    pub(crate) binder: Binder,
    pub(crate) plans: Plans,
    /// What is asked, for spans.
    pub(crate) asks: AskedSource,
    /// The longest that its source may take: the contract's timeout or the source's, whichever is shorter.
    pub(crate) timeout: Duration,
    /// How its pages are made, if it answers page by page.
    pub(crate) pages: Option<Pages>,
    /// Remarks from sampling the tables, if that was asked for.
    pub(crate) remarks: Vec<Remark>,
    /// Maximum number of rows of an answer, and the reason for more.
    pub(crate) most: u64,
    pub(crate) excess: Reason,
    /// What the source gives.
    pub(crate) described: Described,
}

/// What is checked besides contract and statements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Look {
    /// Nothing more: for a start or a reload.
    AtStatements,
    /// The same while the method is served: nothing is said again of what was said at the start.
    Again,
    /// Also values of the tables' columns: for `chapar adapter check`.
    AtValues,
}
