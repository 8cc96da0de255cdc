//! `Change` is one entry of the registry's files that differs between two versions. A plan lists changes, and
//! rules of approval go by their table.

/// What a change does to an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// The entry is new.
    Added,
    /// A key of the entry has another value.
    Changed,
    /// The entry is removed.
    Removed,
}

/// One entry of the registry's files that differs between two versions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// What the change does to the entry.
    pub verb: Verb,
    /// The table, e.g. `grant`.
    pub kind: String,
    /// The entry's id.
    pub id: String,
    /// The member in whose file the entry is; `bus` for files of the operator.
    pub owner: String,
    /// One line for each key whose value differs: all keys of a new entry, none of a removed one.
    pub details: Vec<String>,
}
