//! `Plan` is the preview (diff) of a registry change: which entries are added, changed and removed, who may
//! see more or less, and whose approval it needs. It compares two folders and writes nothing.

mod access;
mod text;

use std::path::Path;

use chapar_contract::{Class, Contract};
use chapar_model::{MemberId, MethodPath};
use jiff::Timestamp;

use crate::approval::Need;
use crate::change::{Change, Verb};
use crate::entries::{self, Key};
use crate::finding::LoadErrors;
use crate::registry::Registry;

/// What callers gain and lose in one method, by all changes together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Effect {
    /// The subsystems that gain and lose the same.
    pub callers: Vec<String>,
    /// The method that they call.
    pub method: MethodPath,
    /// The member whose right is used, for a delegated right.
    pub on_behalf_of: Option<MemberId>,
    /// What they may see from now on, or on a later day.
    pub gained: Vec<Seen>,
    /// What they no longer may see.
    pub lost: Vec<Seen>,
    /// Whether they may see other rows than before.
    pub rows: bool,
    /// Whether they may call the method at all, before and after.
    pub access: (bool, bool),
}

/// A field, seen for a purpose.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Seen {
    /// The purpose; empty where the contract has none.
    pub purpose: String,
    /// The path of the response's field.
    pub field: String,
    /// How sensitive it is.
    pub class: Class,
}

/// A change of the registry.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The digest of the registry that is changed.
    pub base: String,
    /// The digest of the registry that it becomes.
    pub new: String,
    /// The changed entries.
    pub changes: Vec<Change>,
    /// The effects on callers.
    pub effects: Vec<Effect>,
    /// Number of tests of the new registry, all of which hold.
    pub tests: usize,
    /// Whose approval it needs, by the rules of the registry that is changed.
    pub needs: Vec<Need>,
}

impl Plan {
    /// Compares the registry in `new` with that in `base`; each is loaded with its contracts. Effects are
    /// those of `now` and later.
    ///
    /// # Errors
    /// [`LoadErrors`] of the one that does not load.
    pub fn between(
        (base, base_contracts): (&Path, &[Contract]),
        (new, new_contracts): (&Path, &[Contract]),
        now: Timestamp,
    ) -> Result<Self, LoadErrors> {
        let before = Registry::load(base, base_contracts)?;
        let after = Registry::load(new, new_contracts)?;
        let changes = changes(base, new)?;
        // The rules in force decide, so that a change of the rules cannot lower the approval that it needs
        // itself.
        let needs = before.approvals.needs(&changes);
        Ok(Self {
            base: before.digest().to_owned(),
            new: after.digest().to_owned(),
            effects: access::effects(&before, &after, now),
            tests: after.tests,
            changes,
            needs,
        })
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.base == self.new
    }
}

fn changes(base: &Path, new: &Path) -> Result<Vec<Change>, LoadErrors> {
    // Entries are compared and not texts, so that a file that was only reformatted has no change.
    let before = entries::read(base)?;
    let after = entries::read(new)?;
    let mut changes = Vec::new();
    let mut tell = |verb, key: &Key, details| {
        let Key { owner, kind, id } = key.clone();
        changes.push(Change { verb, kind, id, owner, details });
    };
    for (key, values) in &after {
        match before.get(key) {
            None => tell(
                Verb::Added,
                key,
                values.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
            ),
            Some(was) if was == values => {}
            Some(was) => {
                let names = was.keys().chain(values.keys().filter(|name| !was.contains_key(*name)));
                let detail = |name: &String| {
                    // A key that is in one version only is shown against `nothing`.
                    let word = |of: Option<&String>| of.cloned().unwrap_or_else(|| "nothing".to_owned());
                    let was = was.get(name);
                    let now = values.get(name);
                    (was != now).then(|| format!("{name}: {} → {}", word(was), word(now)))
                };
                tell(Verb::Changed, key, names.filter_map(detail).collect());
            }
        }
    }
    // Removed entries come last and without values, which are still in the old registry.
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        tell(Verb::Removed, key, Vec::new());
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
