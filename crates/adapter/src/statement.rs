//! `Statement` is one parsed `.sql` file: one statement that only reads, its `:name` placeholders and the
//! declarations of its leading comment. SQL that the parser does not know is left to the database's own
//! judgement (decision 0014). What the names mean is in `bind` and `shape`, whether the database agrees in
//! `check`.

mod comparison;
mod lines;
mod tokens;

use std::path::Path;

use chapar_model::RowScopes;
use sqlparser::ast::{Query, Select, SetExpr, Statement as Ast};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use self::comparison::comparisons;
use self::lines::Lines;
use self::tokens::{
    begins_as_a_query, comments, first_offset, has_second_statement, is_ordered_without_limit, placeholders,
    second_statement, words,
};
use crate::dialect::{Dialect, SqlText};
use crate::finding::{Finding, Findings};
use crate::method_file::{Header, MethodFile, Syntax};
use crate::scope::{self, Scoping};

pub(crate) use self::comparison::Comparison;

/// Maximum nesting depth of expressions and subqueries. It bounds the parser's recursion.
const MAX_SQL_DEPTH: usize = 50;

/// A statement that can only read.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    file: MethodFile,
    dialect: Dialect,
    end: usize,
    /// Where each placeholder stands, and its number in `parameters`.
    placeholders: Vec<(std::ops::Range<usize>, usize)>,
    is_ordered_without_limit: bool,
    scoping: Scoping,
    compared: Vec<Comparison>,
    unknown_to_parser: Option<Finding>,
}

impl Statement {
    /// Reads and parses `file`.
    pub(crate) fn load(file: &Path, dialect: Dialect) -> Result<Self, Finding> {
        let text = MethodFile::read(file)?;
        Self::parse(file, text, dialect)
    }

    /// Parses `text`, the contents of `file`.
    pub(crate) fn parse(file: &Path, text: String, dialect: Dialect) -> Result<Self, Finding> {
        let lines = Lines::new(&text);
        let syntax = |message: String| {
            let (message, location) = split_location(&message);
            // Without a place the parser means the end of the file.
            let offset = location.map_or(text.trim_end().len(), |location| lines.offset(location));
            Finding::new(file, &text, offset, 1, message)
        };
        let tokens = Tokenizer::new(dialect.parser(), &text)
            .tokenize_with_location()
            .map_err(|error| syntax(error.to_string()))?;
        let whole = |message: &str| Finding::new(file, &text, first_offset(&lines, &tokens), 1, message);
        // MariaDB and MySQL run what stands in such a comment, and whether the parser does too depends on its
        // form (MariaDB's documentation, "Comment Syntax").
        if dialect == Dialect::Mysql
            && let Some(place) = ["/*!", "/*M!", "/*m!"].iter().filter_map(|open| text.find(open)).min()
        {
            return Err(Finding::new(file, &text, place, 3, "the server runs what stands in such a comment"));
        }
        let writes = || whole("only a SELECT is allowed").with_help("a method reads; it never writes");
        let parser = Parser::new(dialect.parser()).with_recursion_limit(MAX_SQL_DEPTH);
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
                return Err(whole(&format!("nests deeper than {MAX_SQL_DEPTH} levels")));
            }
            // The database knows its own language better, so it decides. This error is reported only if the
            // database refuses the statement too.
            Err(error) if begins_as_a_query(&tokens) && !has_second_statement(&tokens) => {
                Some(syntax(error.to_string().trim_start_matches("sql parser error: ").to_owned()))
            }
            Err(_) if !begins_as_a_query(&tokens) => return Err(writes()),
            Err(_) => return Err(second_statement(file, &text, &lines, &tokens)),
        };
        let (parameters, placeholders) = placeholders(file, &text, &lines, &tokens)?;
        let header = Header::read(Syntax::Sql, comments(&lines, &tokens))
            .map_err(|(name, message)| Finding::new(file, &text, name.offset, name.length, message))?;
        let words = words(&lines, &tokens);
        let compared = comparisons(&tokens);
        // A closing semicolon or comment would break the subquery that `plan` puts around the statement.
        let end =
            tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon));
        let end = end.map_or(text.len(), |token| lines.offset(token.span.end));
        let scoping = scope::read(&scope::placed_tokens(&tokens, |location| lines.offset(location)))
            .map_err(|(place, message)| Finding::new(file, &text, place.start, place.len(), message))?;
        let is_ordered_without_limit = is_ordered_without_limit(&tokens);
        let path = file.to_owned();
        let file = MethodFile { path, text, syntax: Syntax::Sql, parameters, header, words };
        Ok(Self {
            file,
            dialect,
            end,
            placeholders,
            is_ordered_without_limit,
            scoping,
            compared,
            unknown_to_parser,
        })
    }

    /// Its file, with the placeholders as parameters.
    pub(crate) fn file(&self) -> &MethodFile {
        &self.file
    }

    /// How its database writes SQL.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Writes the statement without a closing semicolon or comment: as the agency wrote it, but for the
    /// placeholders, which are written as the database wants them, and for each `chapar_rows`, which becomes
    /// the condition of the scope that it names, or true where `rows` leaves that open. Values are bound,
    /// never written.
    pub(crate) fn write(&self, rows: &RowScopes, sql: &mut SqlText) {
        let mut placeholders = self.placeholders.iter().peekable();
        let mut placed = self.scoping.placed.iter().peekable();
        let mut from = 0;
        // Pieces of the text are copied as they are: printing a parsed statement would change what the agency
        // wrote. No placeholder stands inside of a placed scope, so the two never overlap.
        loop {
            let next = placeholders.peek().map(|(place, _)| place.start);
            match placed.peek() {
                Some(scope) if next.is_none_or(|next| scope.whole.start < next) => {
                    sql.push(self.file.text.get(from..scope.whole.start).unwrap_or_default());
                    match rows.iter().find(|(name, _)| *name == scope.scope) {
                        Some((_, values)) => {
                            let expression = self.file.text.get(scope.expression.clone()).unwrap_or_default();
                            sql.one_of(expression, values);
                        }
                        None => sql.push("(1 = 1)"),
                    }
                    from = scope.whole.end;
                    placed.next();
                }
                _ => {
                    let Some((place, number)) = placeholders.next() else { break };
                    sql.push(self.file.text.get(from..place.start).unwrap_or_default());
                    let name = self.file.parameters.get(*number).map_or("", |name| name.text.as_str());
                    sql.request(*number, name);
                    from = place.end;
                }
            }
        }
        sql.push(self.file.text.get(from..self.end).unwrap_or_default());
        // MariaDB leaves the order of a subquery out unless it has a limit; this is the largest.
        if self.dialect == Dialect::Mysql && self.is_ordered_without_limit {
            sql.push("\nLIMIT 18446744073709551615");
        }
    }

    /// Where the statement places row scopes, and whether they can be held outside of it.
    pub(crate) fn scoping(&self) -> &Scoping {
        &self.scoping
    }

    /// What the parser could not read, if it could not; the database has then to say that it is one statement
    /// that only reads.
    pub(crate) fn unknown_to_parser(&self) -> Option<&Finding> {
        self.unknown_to_parser.as_ref()
    }

    /// Whether the statement has an order of its own.
    pub(crate) fn is_ordered_without_limit(&self) -> bool {
        self.is_ordered_without_limit
    }

    /// What the placeholder `name` is compared with.
    pub(crate) fn compared_with(&self, name: &str) -> impl Iterator<Item = &Comparison> {
        self.compared.iter().filter(move |compared| compared.placeholder == name)
    }
}

/// Compiles the text of a statement file for the kind of database that `url` names, without asking one: the
/// SQL as it is sent under a grant of every row, and how many values are bound in it. For tools and tests; an
/// adapter also has the live database look at it.
///
/// # Errors
/// What is wrong with the text, or that the URL names no kind of database.
pub fn compile_statement(url: &str, text: &str) -> Result<(String, usize), Findings> {
    let file = Path::new("statement.sql");
    let dialect = match url.split(':').next() {
        Some("sqlite") => Dialect::Sqlite,
        Some("postgres" | "postgresql") => Dialect::Postgres,
        Some("mysql" | "mariadb") => Dialect::Mysql,
        _ => return Err(Finding::of_file(file, "the URL names no kind of database").into()),
    };
    let statement = Statement::parse(file, text.to_owned(), dialect)?;
    let mut sql = SqlText::new(dialect);
    statement.write(&RowScopes::default(), &mut sql);
    let (sql, bindings) = sql.finish();
    Ok((sql, bindings.len()))
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
