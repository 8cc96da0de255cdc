//! This module loads `[[operator]]` of `bus.toml`: identities that operate the bus, with their roles.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Loader;
use crate::finding::Kind;
use crate::operator::{Operators, Role};
use crate::raw;
use crate::source::Source;

impl Loader<'_> {
    pub(super) fn operators(&mut self, source: &Arc<Source>, raw: &[raw::Operator]) -> Operators {
        let mut operators = Operators::default();
        for operator in raw {
            let roles = self.roles(source, operator);
            // A group's members are in many files, and who operates the bus is to be read in one, so an
            // operator is one subsystem.
            let Some(id) = self.subsystem(source, &operator.id) else { continue };
            if operators.0.contains_key(&id) {
                let message = format!("the operator `{id}` is there twice");
                self.findings.at(source, operator.id.span(), Kind::Duplicate, message);
            }
            operators.0.insert(id, roles);
        }
        operators
    }

    fn roles(&mut self, source: &Arc<Source>, operator: &raw::Operator) -> BTreeSet<Role> {
        if operator.roles.get_ref().is_empty() {
            self.malformed(source, operator.roles.span(), "an operator has a role at least");
        }
        let mut roles = BTreeSet::new();
        for name in operator.roles.get_ref() {
            match Role::from_name(name.get_ref()) {
                Some(role) => _ = roles.insert(role),
                None => {
                    let message = format!("`{}` is no role of an operator", name.get_ref());
                    let finding = self.findings.at(source, name.span(), Kind::Malformed, message);
                    finding.suggest(name.get_ref(), Role::NAMES.iter().copied());
                }
            }
        }
        roles
    }
}
