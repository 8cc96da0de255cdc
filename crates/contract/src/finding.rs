//! `Finding` is one error in a contract, with its place. `Error` reports all of them at once.

use std::fmt;
use std::path::PathBuf;

use prost_reflect::FileDescriptor;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The file, as its include root knows it, e.g. `civil/v1/civil.proto`; empty if the bytes name none.
    pub file: String,
    /// 1-based; 0 if the place is the whole file.
    pub line: usize,
    /// 1-based; 0 if the place is the whole line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    /// A finding about what stands at `path` of a file, by the numbering of `SourceCodeInfo`.
    pub(crate) fn at(file: &FileDescriptor, path: &[i32], message: impl Into<String>) -> Self {
        let info = file.file_descriptor_proto().source_code_info.as_ref();
        let location = info.and_then(|info| info.location.iter().find(|location| location.path == path));
        // Spans count from 0. Without source information the place is the whole file.
        let at = |index: usize| {
            location.and_then(|l| l.span.get(index)).map_or(0, |n| usize::try_from(n + 1).unwrap_or(0))
        };
        Self { file: file.name().to_owned(), line: at(0), column: at(1), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        }
        f.write_str(&self.message)
    }
}

/// A contract that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no `.proto` file.
    #[error("{} holds no .proto file", .0.display())]
    Empty(PathBuf),
    /// Beside contract folders lie files that are in none of them.
    #[error("{}: {}: in no contract folder; a contract is a folder with a version folder such as `v1` in it", path.display(), strays.join(", "))]
    Stray {
        /// The folder.
        path: PathBuf,
        /// Names in it.
        strays: Vec<String>,
    },
    /// The folder holds contract folders and is none itself.
    #[error("{} holds contracts of its own ({}): name each of them", path.display(), names.join(", "))]
    Several {
        /// The folder.
        path: PathBuf,
        /// The names of the contract folders in it.
        names: Vec<String>,
    },
    /// The files break a rule of protobuf or of Chapar.
    #[error("{}", list(.0))]
    #[diagnostic(code(chapar::contract::invalid))]
    Invalid(Vec<Finding>),
}

impl Error {
    /// One finding about a whole file; `file` is empty if the bytes name none.
    pub(crate) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Finding { file: file.to_owned(), line: 0, column: 0, message: message.into() }])
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
