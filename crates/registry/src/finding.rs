//! `Finding` is one error in a registry's files, with file, line and column; `LoadErrors` has all of them.
//! `Display` writes one line for each; as a [`miette::Diagnostic`] each shows its lines and points at the
//! place.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::source::Source;

macro_rules! kinds {
    ($($variant:ident $word:literal $doc:literal)*) => {
        /// What kind of mistake it is.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Kind {
            $(#[doc = $doc] $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, e.g. `unknown_purpose`; after `chapar::registry::` it is the diagnostic's code.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

kinds! {
    Unreadable "unreadable" "A file or folder cannot be read."
    MisplacedFile "misplaced_file" "A file is not where a member's file can be."
    Syntax "syntax" "The text is not TOML."
    Malformed "malformed" "A table lacks a key, or a value has the wrong type or form."
    UnknownKey "unknown_key" "A key or table that the format does not have."
    Duplicate "duplicate" "Something is there twice that must be unique."
    UnknownMember "unknown_member" "No file registers this member."
    UnknownSubsystem "unknown_subsystem" "No file registers this subsystem."
    UnknownGroup "unknown_group" "No file that this one may go by has this group."
    UnknownGrant "unknown_grant" "No file has a grant or delegation of this id."
    UnknownAttribute "unknown_attribute" "No member has this attribute."
    UnknownContract "unknown_contract" "No loaded contract has this service."
    DigestMismatch "digest_mismatch" "The contract is not the one that was registered."
    UnknownMethod "unknown_method" "No registered service has this method."
    ForeignMethod "foreign_method" "The method is another member's to grant."
    UnknownPurpose "unknown_purpose" "The contract does not know this purpose."
    UnknownField "unknown_field" "The response has no such field."
    UnknownRowScope "unknown_row_scope" "The contract does not know this row scope."
    NotGranted "not_granted" "A caller of a procedure has no right to one of its parts."
    Overlap "overlap" "Two grants answer the same call on the same day."
    NothingToDelegate "nothing_to_delegate" "The delegating member has no such right itself."
    NotEnforced "not_enforced" "A limit that this version cannot keep."
    TestFailed "test_failed" "A test of the registry does not hold."
}

/// One error in a registry's files, with its place.
#[derive(Clone, Debug)]
pub struct Finding(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    file: String,
    position: (usize, usize),
    message: String,
    help: Option<String>,
    labels: Vec<LabeledSpan>,
    source: Option<Arc<Source>>,
}

impl Finding {
    /// What kind of mistake it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The file, under the folder's name as it was given.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Line and column in characters, both from 1; 0 if the place is the whole file.
    pub fn position(&self) -> (usize, usize) {
        self.0.position
    }

    /// What to do about it, e.g. `did you mean …`.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    pub(crate) fn advise(&mut self, help: impl Into<String>) -> &mut Self {
        self.0.help = Some(help.into());
        self
    }

    /// Suggests the candidate that is nearest to `word`, if one is near.
    pub(crate) fn suggest<'a>(&mut self, word: &str, candidates: impl Iterator<Item = &'a str>) -> &mut Self {
        let distance = |candidate: &'a str| (strsim::osa_distance(word, candidate), candidate);
        // The distance is bounded (one edit, or a quarter of the word's bytes), because a suggestion that is
        // far off misleads. Equal distances are ordered by the candidate, so that each load suggests the
        // same.
        let nearest =
            candidates.map(distance).min().filter(|(distance, _)| *distance <= 1.max(word.len() / 4));
        match nearest {
            Some((_, candidate)) => self.advise(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }

    /// Sets the text that a report shows under the place, e.g. what would be right there.
    pub(crate) fn label(&mut self, text: impl Into<String>) -> &mut Self {
        // A finding of a whole file has no label.
        if let Some(label) = self.0.labels.first_mut() {
            label.set_label(Some(text.into()));
        }
        self
    }

    /// Points at a second place of the same file.
    pub(crate) fn also(&mut self, span: Range<usize>, text: impl Into<String>) -> &mut Self {
        self.0.labels.push(LabeledSpan::new(Some(text.into()), span.start, span.len()));
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.0.position;
        write!(f, "{}:{line}:{column}: {}", self.0.file, self.0.message)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("chapar::registry::{}", self.0.kind.as_str())))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source.as_ref().map(|source| &source.named as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.0.labels.iter().cloned()))
    }
}

/// All errors of a registry, ordered by file and place; at least one.
#[derive(Clone, Debug)]
pub struct LoadErrors(Vec<Finding>);

impl LoadErrors {
    /// The findings, by file and place.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{finding}")?;
            if let Some(help) = finding.help() {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for LoadErrors {}

/// A single finding is shown by itself. Several findings are listed first, and then shown one after the
/// other.
impl Diagnostic for LoadErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only().and_then(Diagnostic::code)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.only().and_then(Diagnostic::source_code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only().and_then(Diagnostic::labels)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self.only() {
            Some(_) => None,
            None => Some(Box::new(self.0.iter().map(|finding| finding as &dyn Diagnostic))),
        }
    }
}

impl LoadErrors {
    fn only(&self) -> Option<&Finding> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Collects findings during a load.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// A mistake at `span` of a file.
    pub(crate) fn at(
        &mut self,
        source: &Arc<Source>,
        span: Range<usize>,
        kind: Kind,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.push(Inner {
            kind,
            file: source.name().to_owned(),
            position: source.position(&span),
            message: message.into(),
            help: None,
            labels: vec![LabeledSpan::new(None, span.start, span.len())],
            source: Some(Arc::clone(source)),
        })
    }

    /// A mistake of a whole file or folder.
    pub(crate) fn of_file(&mut self, path: &Path, kind: Kind, message: impl Into<String>) {
        let file = path.display().to_string();
        self.push(Inner {
            kind,
            file,
            position: (0, 0),
            message: message.into(),
            help: None,
            labels: vec![],
            source: None,
        });
    }

    fn push(&mut self, inner: Inner) -> &mut Finding {
        let index = self.0.len();
        self.0.push(Finding(Box::new(inner)));
        &mut self.0[index]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_errors(self) -> LoadErrors {
        let mut findings = self.0;
        // The loader goes table by table, and a reader goes file by file. The sort is stable, so findings at
        // one place keep their order.
        findings.sort_by(|a, b| (&a.0.file, a.0.position).cmp(&(&b.0.file, b.0.position)));
        LoadErrors(findings)
    }
}
