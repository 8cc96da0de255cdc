//! `RequestFile` is one parsed `.http` file: the request that a method makes of an agency's API, and where in
//! the JSON of the answer its rows and columns stand. Whether they fit the contract is checked in `backend`.

use std::path::Path;

use http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use super::pointer::Pointer;
use super::template::{Body, Piece, Placeholder, Target, is_dots};
use crate::finding::{Finding, did_you_mean};
use crate::method_file::{Comment, Header, MethodFile, Name, Syntax};

/// Headers that belong to the connection or that the adapter sets itself.
const OWN_HEADERS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Maximum nesting depth of a request's body.
const MAX_JSON_DEPTH: usize = 50;

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

/// What a file's comments declare about the answer.
#[derive(Default)]
struct Declarations {
    rows: Option<RowsAt>,
    columns: Vec<(Name, Pointer)>,
    no_record: Vec<StatusCode>,
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

    fn declarations(&self, comments: &[Comment<'_>]) -> Result<Declarations, Finding> {
        let mut found = Declarations::default();
        for comment in comments {
            let at = |message: &str| self.at(comment.offset, comment.length, message);
            let text = comment.text.trim();
            let rows = match text.split_once(':') {
                Some(("row", pointer)) => Some(RowsAt::One(Pointer::parse(pointer.trim()).map_err(at)?)),
                Some(("rows", pointer)) => Some(RowsAt::Many(Pointer::parse(pointer.trim()).map_err(at)?)),
                _ => None,
            };
            if let Some(rows) = rows {
                // Of two places the second would win unseen.
                if found.rows.replace(rows).is_some() {
                    return Err(at("a second declaration of where the rows are"));
                }
            } else if let Some(statuses) = text.strip_prefix("no record:") {
                for status in statuses.split(',').map(str::trim) {
                    found.no_record.push(no_record(status).map_err(at)?);
                }
            } else if let Some((name, pointer)) =
                text.strip_prefix("field ").and_then(|rest| rest.split_once(':'))
            {
                let name = comment.name(name);
                if found.columns.iter().any(|(known, _)| known.text == name.text) {
                    return Err(at(&format!("a second declaration about `{}`", name.text)));
                }
                found.columns.push((name, Pointer::parse(pointer.trim()).map_err(at)?));
            } else if let Some(meant) = meant(text) {
                return Err(at(&format!("this comment declares nothing: write `{meant}`")));
            }
        }
        Ok(found)
    }

    fn request_line(&mut self, offset: usize, line: &str) -> Result<(Method, Name, Target), Finding> {
        let (word, target) = line.split_once(' ').unwrap_or((line, ""));
        let first = Name { text: word.to_owned(), offset, length: word.len().max(1) };
        let method = match word {
            "GET" => Method::GET,
            "POST" => Method::POST,
            _ => {
                let text = format!("`{word}` is none of GET and POST, with which an API is asked");
                return Err(self.at(offset, word.len().max(1), text));
            }
        };
        let from = offset + word.len() + 1;
        let refused =
            |text: &str| Err(self.at(from.min(offset + line.len()), target.len().max(1), text.to_owned()));
        let Some(rest) = target.strip_prefix('/') else {
            return refused(
                "the target begins with `/`: host and first part of the path are in the source's `url`",
            );
        };
        // A character that another reader would encode by itself makes two requests of one file.
        if let Some(wrong) = rest.chars().find(|c| !c.is_ascii_graphic() || "\"#<>\\^`|".contains(*c)) {
            return refused(&format!(
                "{wrong:?} cannot stand in a target: write it percent-encoded (RFC 3986 §2.1)"
            ));
        }
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut built = Target::default();
        let mut at = from + 1;
        for segment in path.split('/') {
            if is_dots(segment) {
                return Err(self.at(at, segment.len(), "`.` and `..` are no parts of a target's path"));
            }
            built.path.push(self.pieces(at, segment)?);
            at += segment.len() + 1;
        }
        for part in query.into_iter().flat_map(|query| query.split('&')) {
            let Some((name, value)) = part.split_once('=').filter(|(name, _)| !name.contains('{')) else {
                return Err(self.at(
                    at,
                    part.len().max(1),
                    "a part of the query is `name=value` or `name={field}`",
                ));
            };
            built.query.push((name.to_owned(), self.pieces(at + name.len() + 1, value)?));
            at += part.len() + 1;
        }
        Ok((method, first, built))
    }

    /// The literals and `{field}`s of `text`, which stands at `offset`.
    fn pieces(&mut self, offset: usize, text: &str) -> Result<Vec<Piece>, Finding> {
        let mut pieces = Vec::new();
        for (at, piece) in split(text).map_err(|at| self.unbalanced(offset + at))? {
            pieces.push(match piece {
                Ok(literal) => {
                    // Else the first characters of a value would become a part of the file's own escape.
                    if let Some(wrong) = unescaped_percent(literal) {
                        let text = "`%` stands before two hexadecimal digits; the sign itself is `%25` (RFC 3986 §2.1)";
                        return Err(self.at(offset + at + wrong, 1, text));
                    }
                    Piece::Literal(literal.to_owned())
                }
                Err(name) => Piece::Field(self.placeholder(offset + at, name)?),
            });
        }
        Ok(pieces)
    }

    fn placeholder(&mut self, offset: usize, name: &str) -> Result<Placeholder, Finding> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            let text = format!("`{{{name}}}` is no placeholder");
            let help = "write `{field}`, the name of a request field; a secret can stand in a header only";
            return Err(self.at(offset, name.len() + 2, text).with_help(help));
        }
        let known = self.parameters.iter().position(|known| known.text == name);
        let number = known.unwrap_or_else(|| {
            self.parameters.push(Name { text: name.to_owned(), offset, length: name.len() + 2 });
            self.parameters.len() - 1
        });
        Ok(Placeholder { number, path: name.into(), is_bool: (self.is_bool)(name) })
    }

    fn unbalanced(&self, offset: usize) -> Finding {
        self.at(offset, 1, "`{` and `}` stand around the name of a request field and nowhere else")
    }

    fn header(&self, offset: usize, line: &str) -> Result<(HeaderName, Vec<HeaderPiece>), Finding> {
        let at = |message: String| self.at(offset, line.len(), message);
        let header = line.split_once(':').and_then(|(name, value)| Some((name.parse().ok()?, value)));
        let Some((name, value)): Option<(HeaderName, &str)> = header else {
            return Err(at("is no header `Name: value`; an empty line stands before the body".to_owned()));
        };
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(at(format!("`{name}` is set by the adapter")));
        }
        let from = offset + line.len() - value.trim_start().len();
        let value = value.trim();
        if !value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            return Err(at("a header's value is visible ASCII (RFC 9110 §5.5)".to_owned()));
        }
        let mut pieces = Vec::new();
        for (place, piece) in split(value).map_err(|at| self.unbalanced(from + at))? {
            pieces.push(match piece {
                Ok(literal) => HeaderPiece::Literal(literal.to_owned()),
                Err(name) => match name.strip_prefix("secret:") {
                    Some(secret) => HeaderPiece::Secret(Name {
                        text: secret.trim().to_owned(),
                        offset: from + place,
                        length: name.len() + 2,
                    }),
                    // A header would need an encoding of its own for a value that a caller chose.
                    None => {
                        let text = format!("`{{{name}}}`: a header takes no request field");
                        let help = "name a secret, `{secret:NAME}`, or put the field into the path, the query or the body";
                        return Err(self.at(from + place, name.len() + 2, text).with_help(help));
                    }
                },
            });
        }
        Ok((name, pieces))
    }

    fn body(&mut self, offset: usize) -> Result<Option<Body>, Finding> {
        let text = self.text.get(offset..).unwrap_or_default();
        if text.trim().is_empty() {
            return Ok(None);
        }
        let start = offset + text.len() - text.trim_start().len();
        let json: Value = serde_json::from_str(text)
            .map_err(|error| self.at(start, 1, format!("the body is no JSON: {error}")))?;
        self.template(start, &json, 0).map(Some)
    }

    /// `start`: where the body begins. A field's place is where its name first stands in the body.
    fn template(&mut self, start: usize, json: &Value, depth: usize) -> Result<Body, Finding> {
        if depth > MAX_JSON_DEPTH {
            return Err(self.at(start, 1, format!("the body nests deeper than {MAX_JSON_DEPTH} levels")));
        }
        Ok(match json {
            Value::String(text) if text.contains(['{', '}']) => {
                let written = format!("\"{text}\"");
                // serde_json keeps no places, so the finding points at the first text of this kind.
                let found = self.text.get(start..).and_then(|body| body.find(&written));
                let at = found.map_or(start, |found| start + found + 1);
                let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                let Some(name) = name else {
                    let fault = "in the body a request field is a whole value: `\"name\": \"{field}\"`";
                    return Err(self.at(at, text.len(), fault));
                };
                Body::Field(self.placeholder(at, name)?)
            }
            Value::Array(list) => {
                let list: Result<_, _> =
                    list.iter().map(|value| self.template(start, value, depth + 1)).collect();
                Body::List(list?)
            }
            Value::Object(members) => {
                let mut built = Vec::with_capacity(members.len());
                for (name, value) in members {
                    if name.contains(['{', '}']) {
                        let text = format!("`{name}`: a member's name holds no request field");
                        return Err(self.at(start, 1, text));
                    }
                    built.push((name.clone(), self.template(start, value, depth + 1)?));
                }
                Body::Object(built)
            }
            plain => Body::Value(plain.clone()),
        })
    }
}

/// The place of a `%` that no two hexadecimal digits follow.
fn unescaped_percent(literal: &str) -> Option<usize> {
    let escaped = |at: usize| {
        let digits = literal.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    literal.match_indices('%').map(|(at, _)| at).find(|at| !escaped(*at))
}

/// The declaration that a comment would be if it were spelled right: passed over, it would leave the API's
/// answer without a meaning.
fn meant(text: &str) -> Option<String> {
    let (head, rest) = text.split_once(':')?;
    let head = head.trim();
    let rest = rest.trim();
    let is_like = |head: &str, word: &str| strsim::damerau_levenshtein(&head.to_lowercase(), word) <= 1;
    if let Some(word) = ["no record", "rows", "row"].into_iter().find(|word| is_like(head, word)) {
        return Some(format!("# {word}: {rest}"));
    }
    let (first, name) = head.split_once(' ')?;
    (is_like(first, "field") && rest.starts_with('/')).then(|| format!("# field {}: {rest}", name.trim()))
}

/// A piece of a text, with its place: a literal, or as `Err` what stands between `{` and `}`.
type Split<'t> = (usize, Result<&'t str, &'t str>);

/// The pieces of a text. Fails with the place of a brace that has no other.
fn split(text: &str) -> Result<Vec<Split<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let piece = match rest.find(['{', '}']) {
            None => Ok(rest),
            Some(0) if rest.starts_with('{') => {
                let end = rest.find('}').ok_or(at)?;
                let name = &rest[1..end];
                if name.contains('{') {
                    return Err(at);
                }
                Err(name)
            }
            Some(0) => return Err(at),
            Some(end) => Ok(&rest[..end]),
        };
        pieces.push((at, piece));
        at += piece.map_or_else(|name| name.len() + 2, str::len);
    }
    Ok(pieces)
}

/// A status that says that there is no record.
fn no_record(text: &str) -> Result<StatusCode, &'static str> {
    let status = text.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    match status {
        Some(status @ (StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE)) => Ok(status),
        // With another one an API that fails would look like one that has no such record.
        _ => Err(
            "`no record` takes the statuses 204, 404 and 410: no other says that there is none (RFC 9110 §15)",
        ),
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
