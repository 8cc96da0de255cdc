//! `PublishedMethod` is a method with its state: open, or closed because contract, statement and live
//! database do not fit each other any more. A closed method answers `SCHEMA_DRIFT` and asks the database
//! nothing; the others go on. `look` compares the method with the database again.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chapar_contract::Method;
use chapar_model::{MethodPath, Reason};

use crate::candidate::Candidate;
use crate::finding::Finding;
use crate::served_method::{Look, ServedMethod};
use crate::source::Failure;
use crate::unfit::Unfit;

/// A method of the contract and whether it is served now.
pub(crate) struct PublishedMethod {
    candidate: Candidate,
    state: ArcSwap<MethodState>,
}

/// Whether a method is served.
pub(crate) enum MethodState {
    Open(Box<ServedMethod>),
    /// At least one finding.
    Closed(Vec<Finding>),
}

impl PublishedMethod {
    pub(crate) fn open(candidate: Candidate, served: ServedMethod) -> Self {
        Self { candidate, state: ArcSwap::from_pointee(MethodState::Open(Box::new(served))) }
    }

    pub(crate) fn closed(candidate: Candidate, findings: Vec<Finding>) -> Self {
        Self { candidate, state: ArcSwap::from_pointee(MethodState::Closed(findings)) }
    }

    pub(crate) fn path(&self) -> &MethodPath {
        self.candidate.method.path()
    }

    /// The method of the contract.
    pub(crate) fn contract(&self) -> &Arc<Method> {
        &self.candidate.method
    }

    /// The state for one call.
    pub(crate) fn state(&self) -> Arc<MethodState> {
        self.state.load_full()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(**self.state.load(), MethodState::Open(_))
    }

    /// What is wrong, if the method is closed.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        match &**self.state.load() {
            MethodState::Open(_) => Vec::new(),
            MethodState::Closed(findings) => findings.clone(),
        }
    }

    /// Compares contract, statement and live database again, and opens or closes the method. Returns whether
    /// that changed.
    pub(crate) async fn look(&self) -> bool {
        let prepared = self.candidate.prepare(Look::Again).await;
        let state = self.state.load_full();
        match (&*state, prepared) {
            // A database that cannot be asked says nothing about its schema, and calls are told by
            // themselves.
            (_, Err(Unfit::Unreachable(_))) => false,
            (MethodState::Open(served), Ok(now)) => {
                // Another type that fits as well is read another way from now on.
                if served.described != now.described {
                    tracing::info!(method = %self.path(), "the database's schema has changed, and the method still fits");
                    self.state.store(Arc::new(MethodState::Open(Box::new(now))));
                }
                false
            }
            (MethodState::Closed(_), Ok(now)) => {
                tracing::info!(method = %self.path(), "the method fits the database again and is open");
                self.state.store(Arc::new(MethodState::Open(Box::new(now))));
                true
            }
            (MethodState::Open(_), Err(Unfit::Findings(findings))) => {
                tell(self.path(), &findings);
                self.state.store(Arc::new(MethodState::Closed(findings)));
                true
            }
            (MethodState::Closed(known), Err(Unfit::Findings(findings))) => {
                let is_news =
                    known.iter().map(ToString::to_string).ne(findings.iter().map(ToString::to_string));
                if is_news {
                    tell(self.path(), &findings);
                    self.state.store(Arc::new(MethodState::Closed(findings)));
                }
                false
            }
        }
    }
}

/// Tells the operator why a method is closed.
pub(crate) fn tell(method: &MethodPath, findings: &[Finding]) {
    for finding in findings {
        tracing::error!(
            %method, %finding,
            "the method does not fit the database and is closed; it opens by itself once it fits, or after a reload \
             of a corrected statement"
        );
    }
}

/// The failure of a call of a closed method.
pub(crate) fn is_closed() -> Failure {
    Failure::new(Reason::SchemaDrift, "the method is closed: it does not fit the database")
}
