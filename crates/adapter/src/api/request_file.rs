//! `RequestFile` is one parsed `.http` file: the request that a method makes of an agency's API, and where in
//! the JSON of the answer its rows and columns stand. Whether they fit the contract is checked in `backend`.

mod body;
mod declarations;
mod head;
mod placeholders;

use std::path::Path;

use http::{HeaderName, Method, StatusCode};

use super::pointer::Pointer;
use super::template::{Body, Target};
use crate::finding::{Finding, did_you_mean};
use crate::method_file::{Comment, Header, MethodFile, Name, Syntax};
use declarations::Declarations;

/// A request to an API.
#[derive(Clone, Debug)]
pub(crate) struct RequestFile {
    pub(crate) file: MethodFile,
    /// `GET` or `POST`.
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(HeaderName, Vec<HeaderPiece>)>,
    pub(crate) body: Option<Body>,
    pub(crate) answer: AnswerFile,
}

/// A piece of a header's value.
#[derive(Clone, Debug)]
pub(crate) enum HeaderPiece {
    Literal(String),
    /// The secret of this name.
    Secret(Name),
}

/// Where rows and columns stand in the JSON of an answer.
#[derive(Clone, Debug)]
pub(crate) struct AnswerFile {
    pub(crate) rows: RowsAt,
    /// The name of each column, and where it stands in a row.
    pub(crate) columns: Vec<(Name, Pointer)>,
    /// Statuses that say that there is no record.
    pub(crate) no_record: Vec<StatusCode>,
}

/// Where the rows are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum RowsAt {
    /// One row.
    One(Pointer),
    /// An array of them.
    Many(Pointer),
}

impl RequestFile {
    /// Reads and parses `file`. `is_bool` says whether the request field of a path is a boolean.
    ///
    /// # Errors
    /// The file is invalid, whatever contract and source say.
    pub(crate) fn load(file: &Path, is_bool: &dyn Fn(&str) -> bool) -> Result<Self, Finding> {
        let text = MethodFile::read(file)?;
        Self::parse(file, &text, is_bool)
    }

    /// Parses `text`, the contents of `file`.
    pub(crate) fn parse(file: &Path, text: &str, is_bool: &dyn Fn(&str) -> bool) -> Result<Self, Finding> {
        let mut parser = Parser { file, text, is_bool, parameters: Vec::new() };
        let mut lines = Lines { text, at: 0 }.peekable();
        let mut comments = Vec::new();
        while let Some((offset, line)) =
            lines.next_if(|(_, line)| line.starts_with('#') || line.trim().is_empty())
        {
            if let Some(text) = line.strip_prefix('#') {
                comments.push(Comment { text, is_line: true, offset, length: line.len() });
            }
        }
        // Declarations are read before the request, so that a misspelt one is named and not its consequence.
        let declarations = parser.declarations(&comments)?;
        let header = Header::read(Syntax::Http, comments.into_iter())
            .map_err(|(name, message)| parser.at(name.offset, name.length, message))?;
        let Some((offset, line)) = lines.next() else {
            return Err(parser
                .at(text.trim_end().len(), 1, "holds no request")
                .with_help("write `GET /path/{field}` or `POST /path`"));
        };
        let (method, first, target) = parser.request_line(offset, line)?;
        let mut headers: Vec<(HeaderName, Vec<HeaderPiece>)> = Vec::new();
        while let Some((offset, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
            let (name, value) = parser.header(offset, line)?;
            if headers.iter().any(|(known, _)| *known == name) {
                return Err(parser.at(offset, line.len(), format!("a second header `{name}`")));
            }
            headers.push((name, value));
        }
        let body = match lines.next() {
            Some((offset, _)) => parser.body(offset)?,
            None => None,
        };
        if method == Method::GET && body.is_some() {
            return Err(parser.at(offset, line.len(), "a GET has no body (RFC 9110 §9.3.1)"));
        }
        let Some(rows) = declarations.rows else {
            let help = "begin the file with `# row: /POINTER` for one object or `# rows: /POINTER` for an array of them; \
                        an empty pointer is the whole answer";
            let text = "the file does not say where in the answer the rows are";
            return Err(parser.at(first.offset, first.length, text).with_help(help));
        };
        let words = [first].into_iter().chain(declarations.columns.iter().map(|(name, _)| name.clone()));
        let words = words.collect();
        let file = MethodFile {
            path: file.to_owned(),
            text: text.to_owned(),
            syntax: Syntax::Http,
            parameters: parser.parameters,
            header,
            words,
        };
        let Declarations { columns, no_record, .. } = declarations;
        Ok(Self { file, method, target, headers, body, answer: AnswerFile { rows, columns, no_record } })
    }
}

/// Lines with their offset, without their end.
#[derive(Clone)]
struct Lines<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Lines<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive('\n').next()?;
        let offset = self.at;
        self.at += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some((offset, line.strip_suffix('\r').unwrap_or(line)))
    }
}

/// Where a file is read, and the request fields that it has named so far.
struct Parser<'t> {
    file: &'t Path,
    text: &'t str,
    is_bool: &'t dyn Fn(&str) -> bool,
    parameters: Vec<Name>,
}

impl Parser<'_> {
    fn at(&self, offset: usize, length: usize, message: impl Into<String>) -> Finding {
        Finding::new(self.file, self.text, offset, length, message)
    }
}

/// A finding for a header's secret that the source does not have.
pub(crate) fn unknown_secret<'a>(
    file: &MethodFile,
    name: &Name,
    known: impl Iterator<Item = &'a str>,
) -> Finding {
    let text = format!("`{{secret:{}}}`: the source has no such secret in `secrets`", name.text);
    let finding = file.finding_at(name, text);
    match did_you_mean(&name.text, known) {
        Some(help) => finding.with_help(help),
        None => finding,
    }
}
