//! Names that a draft gives to messages, enums and their values.

use std::collections::BTreeSet;

use super::super::names::{camel, upper};

/// Names of messages, enums and services that are taken. A name that is taken gets a number.
#[derive(Default)]
pub(super) struct UniqueNames(BTreeSet<String>);

impl UniqueNames {
    pub(super) fn take(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| !self.0.contains(name)).unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
}

/// Names of an enum's values, if all of them have one and no two the same.
pub(super) fn enum_names(values: &[String]) -> Option<Vec<String>> {
    let names: Vec<String> = values.iter().map(|value| upper(value)).collect::<Option<_>>()?;
    let different: BTreeSet<&String> = names.iter().collect();
    (different.len() == names.len() && !names.iter().any(|name| name == "UNSPECIFIED")).then_some(names)
}

/// `national_id` and `year` are `NationalIdAndYear`.
pub(super) fn joined(names: &[String]) -> String {
    names.iter().map(|name| camel(name)).collect::<Vec<_>>().join("And")
}
