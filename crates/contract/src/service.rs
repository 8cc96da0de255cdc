//! `Service` is one service of a contract, with its methods.

use std::sync::Arc;

use crate::method::Method;

/// One service of a contract.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) name: String,
    pub(crate) methods: Vec<Arc<Method>>,
}

impl Service {
    /// The full name, e.g. `civil.v1.CivilRegistry`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its methods, as declared.
    pub fn methods(&self) -> &[Arc<Method>] {
        &self.methods
    }
}
