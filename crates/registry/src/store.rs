//! `Store` keeps registries as numbered generations, each a folder with the registry's digest. A change is
//! put in as a whole, and only if the generation that it was planned against is still in force
//! (compare-and-swap). An old generation can be put in force again. Whether a change is allowed is decided
//! before.

mod directory;

use std::path::PathBuf;

pub use directory::Directory;
use jiff::Timestamp;

/// One registry that is, or was, in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Generation {
    /// From 1, without gaps.
    pub number: u64,
    /// The digest of its files.
    pub digest: String,
    /// When it was put in force.
    pub at: Timestamp,
    /// Where its files are.
    pub folder: PathBuf,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another change came first: the expected generation is not in force.
    #[error("{} is in force now, not the base of the plan: plan again", show(*found))]
    Moved {
        /// The number of the generation in force.
        found: Option<u64>,
    },
    /// The store has generations, and nothing says which is in force.
    #[error(
        "the store has {generations} generations, and the link {} is missing, which says which of them is in \
         force. Put it back: `ln -s generations/NNNNNN/registry {}`, with the number that the store's journal \
         names last",
        link.display(), link.display()
    )]
    LinkMissing {
        /// Where it should be.
        link: PathBuf,
        /// How many generations there are.
        generations: usize,
    },
    /// The files put in have another digest than was said.
    #[error("the files are not those of the plan: their digest is {found}")]
    Altered {
        /// The digest of the files.
        found: String,
    },
    /// There is no such generation.
    #[error("there is no generation {0}")]
    Unknown(u64),
    /// Something on disk that is no store, or cannot be read or written.
    #[error("the registry store cannot read or write {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// A store of generations. [`Directory`] keeps them in a folder; another store could keep them in a database
/// for replicas.
pub trait Store {
    /// The generation in force; `None` in a new store.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn current(&self) -> Result<Option<Generation>, StoreError>;

    /// Every generation, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn generations(&self) -> Result<Vec<Generation>, StoreError>;

    /// Puts the files of a folder in force, whole or not at all, if the generation in force has the number
    /// `expected`. Not the digest: a rollback brings an old digest back, and what was approved for the old
    /// generation was not approved for the new one. `note` is kept beside them: the plan with its approvals.
    ///
    /// # Errors
    /// [`StoreError::Moved`] if another is in force, [`StoreError::Altered`] if the files have another digest
    /// than `digest`.
    fn put(&self, expected: Option<u64>, files: &Files<'_>, at: Timestamp) -> Result<Generation, StoreError>;
}

fn show(number: Option<u64>) -> String {
    number.map_or_else(|| "no generation".to_owned(), |number| format!("generation {number}"))
}

/// The files that are put in force.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Where the files are now; they are copied.
    pub folder: &'a std::path::Path,
    /// The digest that they must have.
    pub digest: &'a str,
    /// A text that is kept beside them: the plan with its approvals.
    pub note: &'a str,
}
