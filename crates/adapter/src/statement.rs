//! `Statement` is one parsed `.sql` file: one statement that only reads, its `:name` placeholders and the
//! declarations of its leading comment. SQL that the parser does not know is left to the database's own
//! judgement (decision 0014). What the names mean is in `bind` and `shape`, whether the database agrees in
//! `check`.

mod header;
mod place;
mod tokens;

use std::path::{Path, PathBuf};

use chapar_model::RowScopes;
use sqlparser::ast::{Query, Select, SetExpr, Statement as Ast};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, Tokenizer};

pub(crate) use self::header::BoundForm;
use self::header::{Declared, Header};
use self::place::Lines;
pub(crate) use self::place::Name;
use self::tokens::{
    begins_as_a_query, comparisons, first_offset, has_second_statement, placeholders, second_statement, words,
};
use crate::conversion::Conversion;
use crate::finding::Finding;
use crate::scope::{self, Scoping};

/// Maximum size of a statement file, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;
/// Maximum nesting depth of expressions and subqueries. It bounds the parser's recursion.
const DEEPEST: usize = 50;

/// A statement that can only read.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    file: PathBuf,
    text: String,
    end: usize,
    parameters: Vec<Name>,
    header: Header,
    words: Vec<Name>,
    scoping: Scoping,
    compared: Vec<(String, String)>,
    unknown_to_parser: Option<Finding>,
}

/// What is bound at one placeholder of a statement, in the order in which the database numbers them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Binding {
    /// The request field of this number in [`Statement::parameters`].
    Request(usize),
    /// A value of a row scope.
    Scope(String),
}

impl Statement {
    /// Reads and parses `file`.
    pub(crate) fn load(file: &Path) -> Result<Self, Finding> {
        // The size is checked before the file is read, so that a wrong file does not fill the memory.
        match std::fs::metadata(file) {
            Ok(metadata) if metadata.len() > LONGEST_FILE => {
                return Err(Finding::of_file(file, format!("longer than {LONGEST_FILE} bytes")));
            }
            Ok(_) => {}
            Err(error) => return Err(Finding::of_file(file, format!("cannot be read: {error}"))),
        }
        let text = chapar_files::read_text(file)
            .map_err(|error| Finding::of_file(file, format!("cannot be read: {error}")))?;
        Self::parse(file, text)
    }

    /// Parses `text`, the contents of `file`.
    pub(crate) fn parse(file: &Path, text: String) -> Result<Self, Finding> {
        let lines = Lines::new(&text);
        let syntax = |message: String| {
            let (message, location) = split_location(&message);
            // Without a place the parser means the end of the file.
            let offset = location.map_or(text.trim_end().len(), |location| lines.offset(location));
            Finding::new(file, &text, offset, 1, message)
        };
        let tokens = Tokenizer::new(&SQLiteDialect {}, &text)
            .tokenize_with_location()
            .map_err(|error| syntax(error.to_string()))?;
        let whole = |message: &str| Finding::new(file, &text, first_offset(&lines, &tokens), 1, message);
        let writes = || whole("only a SELECT is allowed").with_help("a method reads; it never writes");
        let parser = Parser::new(&SQLiteDialect {}).with_recursion_limit(DEEPEST);
        let parsed = parser.with_tokens_with_locations(tokens.clone()).parse_statements();
        let unknown_to_parser = match parsed {
            // The parsed form is used to refuse early and with a place. What finally holds is the database's
            // authorizer.
            Ok(statements) => match statements.as_slice() {
                [] => return Err(whole("holds no statement")),
                [Ast::Query(query)] if reads_only(query) => None,
                [_] => return Err(writes()),
                [_, _, ..] => return Err(second_statement(file, &text, &lines, &tokens)),
            },
            Err(ParserError::RecursionLimitExceeded) => {
                return Err(whole(&format!("nests deeper than {DEEPEST} levels")));
            }
            // The database knows its own language better, so it decides. This error is reported only if the
            // database refuses the statement too.
            Err(error) if begins_as_a_query(&tokens) && !has_second_statement(&tokens) => {
                Some(syntax(error.to_string().trim_start_matches("sql parser error: ").to_owned()))
            }
            Err(_) if !begins_as_a_query(&tokens) => return Err(writes()),
            Err(_) => return Err(second_statement(file, &text, &lines, &tokens)),
        };
        let parameters = placeholders(file, &text, &lines, &tokens)?;
        let header = Header::read(&lines, &tokens)
            .map_err(|(name, message)| Finding::new(file, &text, name.offset, name.length, message))?;
        let words = words(&lines, &tokens);
        let compared = comparisons(&tokens);
        // A closing semicolon or comment would break the subquery that `plan` puts around the statement.
        let end =
            tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon));
        let end = end.map_or(text.len(), |token| lines.offset(token.span.end));
        let scoping = scope::read(&scope::placed_tokens(&tokens, |location| lines.offset(location)))
            .map_err(|(place, message)| Finding::new(file, &text, place.start, place.len(), message))?;
        Ok(Self {
            file: file.to_owned(),
            end,
            parameters,
            header,
            words,
            scoping,
            compared,
            unknown_to_parser,
            text,
        })
    }

    /// The statement without a closing semicolon or comment, and what is bound in it in order: as the agency
    /// wrote it, but for each `chapar_rows`, which becomes the condition of the scope that it names, or true
    /// where `rows` leaves that open. Values are bound, never written.
    pub(crate) fn sql(&self, rows: &RowScopes) -> (String, Vec<Binding>) {
        let mut sql = String::with_capacity(self.end + 64);
        let mut bindings: Vec<(usize, Binding)> = self
            .parameters
            .iter()
            .enumerate()
            .map(|(number, name)| (name.offset, Binding::Request(number)))
            .collect();
        let mut from = 0;
        // Pieces of the text are copied as they are: printing a parsed statement would change what the agency
        // wrote.
        for placed in &self.scoping.placed {
            sql.push_str(self.text.get(from..placed.whole.start).unwrap_or_default());
            match rows.iter().find(|(scope, _)| *scope == placed.scope) {
                Some((_, values)) => {
                    let expression = self.text.get(placed.expression.clone()).unwrap_or_default();
                    sql.push_str(&condition(expression, values.len()));
                    let values =
                        values.iter().map(|value| (placed.whole.start, Binding::Scope(value.clone())));
                    bindings.extend(values);
                }
                None => sql.push_str("(1 = 1)"),
            }
            from = placed.whole.end;
        }
        sql.push_str(self.text.get(from..self.end).unwrap_or_default());
        // Stable, so that the values of one scope keep their order.
        bindings.sort_by_key(|(offset, _)| *offset);
        (sql, bindings.into_iter().map(|(_, binding)| binding).collect())
    }

    /// Where the statement places row scopes, and whether they can be held outside of it.
    pub(crate) fn scoping(&self) -> &Scoping {
        &self.scoping
    }

    /// Every placeholder once, in order of first appearance: the order in which SQLite numbers them.
    pub(crate) fn parameters(&self) -> &[Name] {
        &self.parameters
    }

    /// What the parser could not read, if it could not; the database has then to say that it is one statement
    /// that only reads.
    pub(crate) fn unknown_to_parser(&self) -> Option<&Finding> {
        self.unknown_to_parser.as_ref()
    }

    /// Request fields that the leading comment declares unused.
    pub(crate) fn unused(&self) -> &[Name] {
        &self.header.unused
    }

    /// Conversions of result columns that the leading comment declares.
    pub(crate) fn conversions(&self) -> &[Declared<Conversion>] {
        &self.header.columns
    }

    /// The conversion that the leading comment declares for the result column of this name.
    pub(crate) fn conversion_of(&self, column: &str) -> Option<&Conversion> {
        let own = self.header.columns.iter().find(|declared| declared.name.text == column);
        own.map(|declared| &declared.value)
    }

    /// Forms in which the leading comment wants request fields bound.
    pub(crate) fn bound_forms(&self) -> &[Declared<BoundForm>] {
        &self.header.bound
    }

    /// Names of columns that stand on the other side of `=` from the placeholder `name`, without their
    /// tables.
    pub(crate) fn compared_with(&self, name: &str) -> Vec<&str> {
        let compared = self.compared.iter().filter(|(_, placeholder)| placeholder == name);
        compared.map(|(column, _)| column.as_str()).collect()
    }

    /// A finding at a name's place.
    pub(crate) fn finding_at(&self, name: &Name, message: impl Into<String>) -> Finding {
        Finding::new(&self.file, &self.text, name.offset, name.length, message)
    }

    /// A finding about a result column, at the first place where its name is written, else at the statement's
    /// start.
    pub(crate) fn finding_about(&self, column: &str, message: impl Into<String>) -> Finding {
        match self.words.iter().find(|word| word.text == column) {
            Some(word) => self.finding_at(word, message),
            None => Finding::new(
                &self.file,
                &self.text,
                self.words.first().map_or(0, |word| word.offset),
                1,
                message,
            ),
        }
    }
}

/// An SQL condition: the expression is one of `values` bound values, compared as text. A grant writes its
/// values as text, and in SQLite an integer never equals a text. A whole number in a REAL column is written
/// without its fraction, because SQLite's text of it is `15.0`.
pub(crate) fn condition(expression: &str, values: usize) -> String {
    // A subquery, so that the expression stands in it once, with its parameters.
    let text = "CAST(iif(typeof(v) = 'real' AND v = CAST(v AS INTEGER), CAST(v AS INTEGER), v) AS TEXT)";
    let values = vec!["?"; values].join(", ");
    format!("((SELECT {text} FROM (SELECT {expression} AS v)) IN ({values}))")
}

/// Takes the parser's ` at Line: L, Column: C` off the end of its message.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((before, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = place.split_once(", Column: ") else { return (message, None) };
    match (line.parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (before, Some(Location { line, column })),
        _ => (message, None),
    }
}

fn reads_only(query: &Query) -> bool {
    let expressions = query.with.iter().flat_map(|with| &with.cte_tables);
    // `FOR UPDATE` locks rows, so it does more than read.
    query.locks.is_empty()
        && expressions.into_iter().all(|cte| reads_only(&cte.query))
        && body_reads_only(&query.body)
}

fn body_reads_only(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => is_plain(select),
        SetExpr::Query(query) => reads_only(query),
        SetExpr::SetOperation { left, right, .. } => body_reads_only(left) && body_reads_only(right),
        SetExpr::Values(_) => true,
        // Listed one by one and without a wildcard, so that a new form of statement in the parser must be
        // judged here.
        SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => false,
    }
}

fn is_plain(select: &Select) -> bool {
    select.into.is_none()
}

#[cfg(test)]
mod tests;
