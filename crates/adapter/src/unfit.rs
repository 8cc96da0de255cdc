//! `Unfit` says why a method cannot be served: contract, file and source do not fit, or the source cannot be
//! asked.

use crate::finding::Finding;

/// Why a method cannot be served now.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Contract, file and source do not fit; at least one finding.
    Findings(Vec<Finding>),
    /// The source could not be asked.
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
