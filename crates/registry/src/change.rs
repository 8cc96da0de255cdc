//! `Change` is one entry of the registry's files that is other than it was. A plan lists changes, and rules of
//! approval go by their table.

/// What happens to an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

/// One entry of the files that is other than it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// In which way.
    pub verb: Verb,
    /// The table, e.g. `grant`.
    pub kind: String,
    /// The entry's id.
    pub id: String,
    /// The member in whose file it stands; `bus` for the operator's.
    pub owner: String,
    /// A line for each key that is other than it was.
    pub details: Vec<String>,
}
