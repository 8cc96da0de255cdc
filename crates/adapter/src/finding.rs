//! `Finding` is one error in an operator's file, with line and column; `Findings` reports all errors of a
//! load at once. Refusals of calls are in `refusal`.

use std::fmt;
use std::path::{Path, PathBuf};

use chapar_model::line_and_column;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// One fault in one file. `Display` is `FILE:LINE:COLUMN: MESSAGE`; as a [`miette::Diagnostic`] it also shows
/// the line and points at the place. Never holds a value from a database.
#[derive(Clone, Debug)]
pub struct Finding(Box<Location>);

#[derive(Clone, Debug)]
struct Location {
    file: PathBuf,
    line: usize,
    column: usize,
    offset: usize,
    length: usize,
    message: String,
    help: Option<String>,
    source: NamedSource<String>,
}

impl Finding {
    /// A fault at `length` bytes from byte `offset` of `text`, the contents of `file`.
    pub(crate) fn new(
        file: &Path,
        text: &str,
        offset: usize,
        length: usize,
        message: impl Into<String>,
    ) -> Self {
        // An offset may come from a parser that counts otherwise. It is moved to a character's start so that
        // slicing cannot fail.
        let offset = text.floor_char_boundary(offset);
        let (line, column) = line_and_column(text, offset);
        Self(Box::new(Location {
            file: file.to_owned(),
            line,
            column,
            offset,
            length: length.min(text.len() - offset),
            message: message.into(),
            help: None,
            source: NamedSource::new(file.display().to_string(), text.to_owned()),
        }))
    }

    /// A fault of the whole file, e.g. one that cannot be read.
    pub(crate) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self::new(file, "", 0, 0, message)
    }

    /// The same place with a second sentence.
    pub(crate) fn followed_by(mut self, sentence: &str) -> Self {
        self.0.message = format!("{}; {sentence}", self.0.message);
        self
    }

    /// Adds advice on how to correct the error.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The file with the fault.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// Line and column, both from 1; the column counts characters.
    pub fn position(&self) -> (usize, usize) {
        (self.0.line, self.0.column)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.0.file.display(), self.0.line, self.0.column, self.0.message)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new(None, self.0.offset, self.0.length))))
    }
}

/// All findings of one load, at least one.
#[derive(Clone, Debug)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// The findings in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// `Ok` if there is none.
    pub(crate) fn check(findings: Vec<Finding>) -> Result<(), Self> {
        if findings.is_empty() { Ok(()) } else { Err(Self(findings)) }
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{finding}")?;
            if let Some(help) = &finding.0.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}

impl Diagnostic for Findings {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.0.iter().map(|finding| finding as &dyn Diagnostic)))
    }
}

/// Suggests the known name closest to `wanted`, if the distance is small enough for a typing error.
pub(crate) fn did_you_mean<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // Equal distances are ordered by name, so that each run suggests the same.
    let closest = known.map(|name| (strsim::levenshtein(wanted, name), name)).min()?;
    (closest.0 <= 1 + wanted.chars().count() / 4).then(|| format!("did you mean `{}`?", closest.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_file_line_and_column_in_characters() {
        let finding = Finding::new(Path::new("a.sql"), "SELECT 'نام',\n  x", 19, 1, "no such field");
        assert_eq!(finding.to_string(), "a.sql:2:3: no such field");
    }

    #[test]
    fn a_slip_of_the_finger_is_named() {
        let known = ["birth_date", "given_name"];
        assert_eq!(
            did_you_mean("birth_dat", known.into_iter()).as_deref(),
            Some("did you mean `birth_date`?")
        );
        assert_eq!(did_you_mean("iban", known.into_iter()), None);
    }
}
