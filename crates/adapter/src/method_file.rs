//! `MethodFile` is the file behind one method, an `.sql` statement or an `.http` request, as far as both are
//! alike: its text, the request fields that it names, what its leading comments declare, and findings with
//! their place in it.

mod header;

use std::path::{Path, PathBuf};

pub(crate) use self::header::{BoundForm, Comment, Declared, Header};
use crate::conversion::Conversion;
use crate::finding::Finding;

/// Maximum size of a method's file, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;

/// How a file marks comments and request fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Syntax {
    /// `-- comment` and `:name`, in which `__` parts a message from its field.
    Sql,
    /// `# comment` and `{name}`, with a dot.
    Http,
}

/// A name with its place in the file, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// What the files of all methods have.
#[derive(Clone, Debug)]
pub(crate) struct MethodFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) syntax: Syntax,
    /// Every request field that it names, once, in order of first appearance.
    pub(crate) parameters: Vec<Name>,
    pub(crate) header: Header,
    /// Names at which a finding about a column is shown.
    pub(crate) words: Vec<Name>,
}

impl Syntax {
    /// The comment with this text.
    pub(crate) fn comment(self, text: &str) -> String {
        match self {
            Self::Sql => format!("-- {text}"),
            Self::Http => format!("# {text}"),
        }
    }

    /// How the file names the request field of this path.
    pub(crate) fn placeholder(self, path: &str) -> String {
        match self {
            Self::Sql => format!(":{}", path.replace('.', "__")),
            Self::Http => format!("{{{path}}}"),
        }
    }
}

impl MethodFile {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// If it is too long, or cannot be read.
    pub(crate) fn read(file: &Path) -> Result<String, Finding> {
        // The size is checked before the file is read, so that a wrong file does not fill the memory.
        match std::fs::metadata(file) {
            Ok(metadata) if metadata.len() > LONGEST_FILE => {
                return Err(Finding::of_file(file, format!("longer than {LONGEST_FILE} bytes")));
            }
            Ok(_) => {}
            Err(error) => return Err(Finding::of_file(file, format!("cannot be read: {error}"))),
        }
        chapar_files::read_text(file)
            .map_err(|error| Finding::of_file(file, format!("cannot be read: {error}")))
    }

    /// Every request field that the file names, once, in order of first appearance.
    pub(crate) fn parameters(&self) -> &[Name] {
        &self.parameters
    }

    /// Request fields that the leading comments declare unused.
    pub(crate) fn unused(&self) -> &[Name] {
        &self.header.unused
    }

    /// Conversions of result columns that the leading comments declare.
    pub(crate) fn conversions(&self) -> &[Declared<Conversion>] {
        &self.header.columns
    }

    /// The conversion that is declared for the result column of this name.
    pub(crate) fn conversion_of(&self, column: &str) -> Option<&Conversion> {
        let own = self.header.columns.iter().find(|declared| declared.name.text == column);
        own.map(|declared| &declared.value)
    }

    /// Result columns that the leading comments declare sparse.
    pub(crate) fn sparse(&self) -> &[Name] {
        &self.header.sparse
    }

    /// Whether the result column of this name is declared sparse.
    pub(crate) fn is_sparse(&self, column: &str) -> bool {
        self.header.sparse.iter().any(|name| name.text == column)
    }

    /// Columns by which pages are ordered, and whether each falls.
    pub(crate) fn page_by(&self) -> &[Declared<bool>] {
        &self.header.page_by
    }

    /// Forms in which request fields are wanted.
    pub(crate) fn bound_forms(&self) -> &[Declared<BoundForm>] {
        &self.header.bound
    }

    /// A finding at a name's place.
    pub(crate) fn finding_at(&self, name: &Name, message: impl Into<String>) -> Finding {
        Finding::new(&self.path, &self.text, name.offset, name.length, message)
    }

    /// A finding about a result column, at the first place where its name is written, else at the file's
    /// first word.
    pub(crate) fn finding_about(&self, column: &str, message: impl Into<String>) -> Finding {
        match self.words.iter().find(|word| word.text == column) {
            Some(word) => self.finding_at(word, message),
            None => {
                let first = self.words.first().map_or(0, |word| word.offset);
                Finding::new(&self.path, &self.text, first, 1, message)
            }
        }
    }
}
