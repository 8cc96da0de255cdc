//! `Operators` says which identities operate the bus, and in which roles. Rights to agencies' records are
//! grants; an operator has none by being one.

use std::collections::{BTreeMap, BTreeSet};

use chapar_model::SubsystemId;

/// What an operator may do at a gateway (`chapar.admin.v1`, `chapar.evidence.v1`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Sees state and traces, and changes nothing.
    Viewer,
    /// Reads evidence: follows gateways' logs (`chapar.evidence.v1`).
    Auditor,
}

impl Role {
    /// All roles, as the registry writes them.
    pub(crate) const NAMES: &[&str] = &["viewer", "auditor"];

    /// The role that the registry writes so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "viewer" => Some(Self::Viewer),
            "auditor" => Some(Self::Auditor),
            _ => None,
        }
    }
}

/// The operators of a bus with their roles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operators(pub(crate) BTreeMap<SubsystemId, BTreeSet<Role>>);

impl Operators {
    pub(crate) fn has(&self, subsystem: &SubsystemId, role: Role) -> bool {
        self.0.get(subsystem).is_some_and(|roles| roles.contains(&role))
    }
}
