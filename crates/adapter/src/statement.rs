//! `Statement` is one parsed `.sql` file: one statement that only reads, its `:name` placeholders and the
//! declarations of its leading comment. SQL that the parser does not know is left to the database's own
//! judgement (decision 0014). What the names mean is in `bind` and `shape`, whether the database agrees in
//! `check`.

mod header;

use std::path::{Path, PathBuf};

use chapar_model::RowScopes;
use sqlparser::ast::{Query, Select, SetExpr, Statement as Ast};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use self::header::Header;
pub(crate) use self::header::{BoundForm, Declared};
use crate::conversion::Conversion;
use crate::finding::Finding;
use crate::scope::{self, Scoping};

/// The longest statement file that is read, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;
/// How deep expressions and subqueries may nest.
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

/// A name with its place in the file, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) offset: usize,
    length: usize,
}

impl Statement {
    /// Reads and parses `file`.
    pub(crate) fn load(file: &Path) -> Result<Self, Finding> {
        match std::fs::metadata(file) {
            Ok(metadata) if metadata.len() > LONGEST_FILE => {
                return Err(Finding::of_file(file, format!("longer than {LONGEST_FILE} bytes")));
            }
            Ok(_) => {}
            Err(error) => return Err(Finding::of_file(file, format!("cannot be read: {error}"))),
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| Finding::of_file(file, format!("cannot be read: {error}")))?;
        // A byte order mark, which some editors write.
        let text = match text.strip_prefix('\u{FEFF}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
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
            // The database knows its own language better: it judges, and this is told only if it refuses too.
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

/// That an expression is one of so many bound values, compared as text whatever its type: a grant writes its
/// values as text, and an integer would be no text's equal.
pub(crate) fn condition(expression: &str, values: usize) -> String {
    format!("(CAST({expression} AS TEXT) IN ({}))", vec!["?"; values].join(", "))
}

/// Turns the parser's line and column (both from 1, in characters) into bytes.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn offset(&self, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(usize::MAX).saturating_sub(1);
        let column = usize::try_from(location.column).unwrap_or(usize::MAX).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    fn name(&self, text: &str, token: &TokenWithSpan) -> Name {
        let offset = self.offset(token.span.start);
        Name { text: text.to_owned(), offset, length: self.offset(token.span.end).saturating_sub(offset) }
    }
}

fn first_offset(lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> usize {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    first.map_or(0, |token| lines.offset(token.span.start))
}

fn begins_as_a_query(tokens: &[TokenWithSpan]) -> bool {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    let is = |word: &str| ["SELECT", "WITH", "VALUES"].iter().any(|query| word.eq_ignore_ascii_case(query));
    first.is_some_and(
        |token| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && is(&word.value)),
    )
}

fn has_second_statement(tokens: &[TokenWithSpan]) -> bool {
    let mut rest = tokens.iter().skip_while(|token| token.token != Token::SemiColon);
    rest.any(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon))
}

fn second_statement(file: &Path, text: &str, lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> Finding {
    let mut rest = tokens.iter().skip_while(|token| token.token != Token::SemiColon);
    let second = rest.find(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon));
    let offset = second.map_or(0, |token| lines.offset(token.span.start));
    Finding::new(file, text, offset, 1, "a second statement: a method has exactly one")
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

/// Every `:name`, once. Text inside literals, quoted identifiers and comments is another token, so it is
/// never mistaken.
fn placeholders(
    file: &Path,
    text: &str,
    lines: &Lines<'_>,
    tokens: &[TokenWithSpan],
) -> Result<Vec<Name>, Finding> {
    let mut found: Vec<Name> = Vec::new();
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        let other = match &token.token {
            Token::Colon => match tokens.peek().map(|next| &next.token) {
                // Only plain ASCII words are placeholders, since SQLite and the parser may differ on anything
                // else.
                Some(Token::Word(word)) if word.quote_style.is_none() && word.value.is_ascii() => {
                    if !found.iter().any(|name| name.text == word.value) {
                        let mut name = lines.name(&word.value, token);
                        name.length += word.value.len();
                        found.push(name);
                    }
                    continue;
                }
                _ => ":".to_owned(),
            },
            Token::Placeholder(name) => name.clone(),
            Token::AtSign => "@".to_owned(),
            _ => continue,
        };
        let offset = lines.offset(token.span.start);
        let finding = Finding::new(file, text, offset, other.len(), format!("`{other}` is no placeholder"));
        return Err(finding.with_help("write `:field`, the name of a request field"));
    }
    Ok(found)
}

/// Each `COLUMN = :name` and `:name = COLUMN`, as the column's own name and the placeholder's.
fn comparisons(tokens: &[TokenWithSpan]) -> Vec<(String, String)> {
    let told: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let equal = |token: &Token| matches!(token, Token::Eq | Token::DoubleEq);
    let mut found = Vec::new();
    // Four tokens are enough for both orders. A comparison of another form is not reported, which costs only
    // a remark.
    for window in told.windows(4) {
        match window {
            [Token::Word(column), eq, Token::Colon, Token::Word(name)] if equal(eq) => {
                found.push((column.value.clone(), name.value.clone()));
            }
            [Token::Colon, Token::Word(name), eq, Token::Word(column)] if equal(eq) => {
                found.push((column.value.clone(), name.value.clone()));
            }
            _ => {}
        }
    }
    found
}

fn words(lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> Vec<Name> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => Some(lines.name(&word.value, token)),
        _ => None,
    };
    tokens.iter().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Statement, String> {
        Statement::parse(Path::new("m.sql"), text.to_owned()).map_err(|finding| finding.to_string())
    }

    fn names(names: &[Name]) -> Vec<&str> {
        names.iter().map(|name| name.text.as_str()).collect()
    }

    #[test]
    fn placeholders_are_found_once_and_in_order() {
        let statement =
            parse("SELECT a, :city AS c FROM t\nWHERE id = :id AND :city <> '' -- :no\n;\n").unwrap();
        assert_eq!(names(statement.parameters()), ["city", "id"]);
        let (sql, bindings) = statement.sql(&RowScopes::default());
        assert!(sql.ends_with("<> ''"), "{sql}");
        assert_eq!(bindings, [Binding::Request(0), Binding::Request(1)]);
    }

    #[test]
    fn text_in_literals_comments_and_quoted_names_is_no_placeholder() {
        let statement =
            parse("SELECT ':a', \":b\", [:c] /* :d */ FROM t WHERE x = 'it''s :e' AND y = :f").unwrap();
        assert_eq!(names(statement.parameters()), ["f"]);
    }

    #[test]
    fn unused_fields_are_declared_in_the_leading_comment() {
        let statement = parse("-- The farmer.\n-- unused: a, b\nSELECT 1 -- unused: c\n").unwrap();
        assert_eq!(names(statement.unused()), ["a", "b"]);
    }

    #[test]
    fn everything_but_one_select_is_refused_with_its_place() {
        for (text, finding) in [
            ("", "m.sql:1:1: holds no statement"),
            ("-- nothing\n", "m.sql:1:1: holds no statement"),
            ("SELECT 1;\n  SELECT 2", "m.sql:2:3: a second statement"),
            ("SELECT 1; DROP TABLE person", "m.sql:1:11: a second statement"),
            ("\nDELETE FROM t", "m.sql:2:1: only a SELECT is allowed"),
            ("INSERT INTO t VALUES (1)", "m.sql:1:1: only a SELECT"),
            ("UPDATE t SET a = 1", "m.sql:1:1: only a SELECT"),
            ("REPLACE INTO t VALUES (1)", "m.sql:1:1: only a SELECT"),
            ("PRAGMA query_only = 0", "m.sql:1:1: only a SELECT"),
            ("ATTACH DATABASE 'x' AS y", "m.sql:1:1: only a SELECT"),
            ("CREATE TABLE t (a)", "m.sql:1:1: only a SELECT"),
            ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "m.sql:1:1: only a SELECT"),
            ("SELECT a INTO b FROM t", "m.sql:1:1: only a SELECT"),
            ("SELECT a FROM t FOR UPDATE", "m.sql:1:1: only a SELECT"),
            ("SELECT a\nFROM t WHERE id = ?", "m.sql:2:19: `?` is no placeholder"),
            ("SELECT a FROM t WHERE id = $id", "m.sql:1:28: `$id` is no placeholder"),
            ("SELECT a FROM t WHERE id = @id", "m.sql:1:28:"),
            ("SELECT a FROM t WHERE id = :1", "m.sql:1:28:"),
            ("SELECT 'open", "m.sql:1:8: Unterminated string literal"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(finding), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_the_parser_does_not_know_is_left_to_the_database() {
        let doubt = |text: &str| parse(text).unwrap().unknown_to_parser().map(ToString::to_string);
        let told = doubt("SELECT a\nFROM t WHERE (").unwrap();
        assert_eq!(told, "m.sql:2:15: Expected: an expression, found: EOF");
        assert!(doubt("SELECT a FROM t WHERE a = :a").is_none());
        // A second statement and a write stay refused, whatever the parser knows of the rest.
        assert!(parse("SELECT a FROM t WHERE ( ; DROP TABLE t").unwrap_err().contains("a second statement"));
        assert!(parse("UPSERT t SET (").unwrap_err().contains("only a SELECT"));
    }

    #[test]
    fn the_leading_comment_declares_conversions_and_bound_forms() {
        let text = "-- Fines of a driver.\n-- column amount: integer\n-- bind mobile: national\n-- column of prose: x\nSELECT 1";
        let statement = parse(text).unwrap();
        let [amount] = statement.conversions() else { panic!("{statement:?}") };
        assert_eq!((amount.name.text.as_str(), &amount.value), ("amount", &Conversion::Integer));
        let [mobile] = statement.bound_forms() else { panic!("{statement:?}") };
        assert_eq!((mobile.name.text.as_str(), mobile.value), ("mobile", BoundForm::National));
        for (text, finding) in [
            ("-- column amount: int\nSELECT 1", "m.sql:1:1: `int` is no conversion"),
            (
                "-- column a: integer\n-- column a: number\nSELECT 1",
                "m.sql:2:1: a second declaration about `a`",
            ),
            ("\n-- bind mobile: local\nSELECT 1", "m.sql:2:1: `local` is no form of a bound value"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(finding), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_scope_that_the_statement_places_is_bound_where_it_stands() {
        let text = "SELECT count(*) AS n FROM t WHERE a = :a AND chapar_rows(province, coalesce(p.prov, 0)) AND b = :b";
        let statement = parse(text).unwrap();
        let rows = RowScopes::from_header("province=15,16").unwrap();
        let (sql, bindings) = statement.sql(&rows);
        assert!(sql.contains("a = :a AND (CAST(coalesce(p.prov, 0) AS TEXT) IN (?, ?)) AND b = :b"), "{sql}");
        let scope = |value: &str| Binding::Scope(value.to_owned());
        assert_eq!(bindings, [Binding::Request(0), scope("15"), scope("16"), Binding::Request(1)]);
        let (sql, bindings) = statement.sql(&RowScopes::default());
        assert!(sql.contains("a = :a AND (1 = 1) AND b = :b"), "{sql}");
        assert_eq!(bindings, [Binding::Request(0), Binding::Request(1)]);
    }

    #[test]
    fn a_filter_outside_is_the_same_as_inside_for_a_plain_select_only() {
        let why = |text: &str| parse(text).unwrap().scoping().not_outside.clone();
        for plain in [
            "SELECT a, province FROM t JOIN u USING (id) WHERE x = :x ORDER BY day DESC",
            "SELECT lower(a) AS a, \"limit\" AS province FROM t -- GROUP BY\n",
            "SELECT 'LIMIT 1' AS a, province FROM t",
        ] {
            assert_eq!(why(plain), None, "{plain}");
        }
        for (text, named) in [
            ("SELECT a, province FROM t ORDER BY day DESC LIMIT 2", "LIMIT"),
            ("SELECT a, province FROM t LIMIT 2 OFFSET 1", "LIMIT"),
            ("SELECT count(*) AS n, province FROM t", "`count`"),
            ("SELECT max(day) AS day, province FROM t", "`max`"),
            ("SELECT \"count\"(*) AS n, province FROM t", "`count`"),
            ("SELECT [max](day) AS day, province FROM t", "`max`"),
            ("SELECT a, province FROM t GROUP BY a", "GROUP"),
            ("SELECT DISTINCT a, province FROM t", "DISTINCT"),
            ("SELECT a, row_number() OVER (ORDER BY a) AS n, province FROM t", "OVER"),
            ("SELECT a, province FROM t UNION SELECT b, province FROM u", "UNION"),
            ("SELECT a, (SELECT b FROM u) AS b, province FROM t", "more than one SELECT"),
            ("SELECT a, province FROM (SELECT a, province FROM t)", "more than one SELECT"),
            ("WITH x AS (SELECT a, province FROM t) SELECT a, province FROM x", "WITH"),
            ("SELECT a, province FROM t WHERE EXISTS (SELECT 1 FROM u)", "more than one SELECT"),
        ] {
            assert!(why(text).is_some_and(|why| why.contains(named)), "{text}: {:?}", why(text));
        }
    }

    #[test]
    fn a_scope_narrows_only_where_it_is_a_condition_of_its_own_in_every_select_that_reads_a_table() {
        let open = |text: &str| parse(text).unwrap().scoping().open.clone();
        for narrowed in [
            "SELECT count(*) FROM t WHERE chapar_rows(p, q)",
            "SELECT a FROM t WHERE a BETWEEN 1 AND 2 AND chapar_rows(p, q) AND (b OR c) ORDER BY a LIMIT 1",
            "SELECT a FROM (SELECT a FROM t WHERE chapar_rows(p, q)) AS x WHERE a > 1",
            "WITH x AS (SELECT a FROM t WHERE chapar_rows(p, q)), y(a) AS (SELECT a FROM x) SELECT a FROM y JOIN x USING (a)",
            "SELECT a FROM t WHERE chapar_rows(p, q) UNION SELECT a FROM u WHERE chapar_rows(p, r)",
            "SELECT a FROM t JOIN u USING (b) WHERE chapar_rows(p, q) UNION SELECT 1",
            "SELECT a FROM t AS v WHERE v.b IN (SELECT b FROM u WHERE chapar_rows(p, q)) AND chapar_rows(p, r)",
            "WITH x AS NOT MATERIALIZED (SELECT a FROM t WHERE chapar_rows(p, q)) SELECT a AS x FROM x",
            "WITH RECURSIVE x(n) AS (SELECT a FROM t WHERE chapar_rows(p, q) UNION SELECT n + 1 FROM x) SELECT n FROM x",
            "SELECT a FROM (WITH x AS (SELECT a FROM t WHERE chapar_rows(p, q)) SELECT a FROM x)",
        ] {
            assert!(open(narrowed).is_empty(), "{narrowed}");
        }
        for text in [
            "SELECT a FROM t WHERE chapar_rows(p, q) UNION ALL SELECT a FROM u",
            "SELECT a, chapar_rows(p, q) AS n FROM t",
            "SELECT a FROM t WHERE a = 1 OR chapar_rows(p, q)",
            "SELECT a FROM t WHERE NOT chapar_rows(p, q)",
            "SELECT a FROM t WHERE a BETWEEN 1 AND chapar_rows(p, q)",
            "SELECT a FROM t WHERE 1 = chapar_rows(p, q)",
            "SELECT a FROM t WHERE chapar_rows(p, q) = 0",
            "SELECT a FROM t WHERE CASE WHEN b AND chapar_rows(p, q) THEN 1 END",
            "SELECT a FROM t WHERE (chapar_rows(p, q) OR 1 = 1)",
            "SELECT a FROM t LEFT JOIN u ON chapar_rows(p, q)",
            "SELECT a FROM t ORDER BY chapar_rows(p, q)",
            "WITH x AS (SELECT a FROM t WHERE chapar_rows(p, q)), y AS (SELECT a FROM u) SELECT a FROM x, y",
            "SELECT (SELECT count(*) FROM u) AS n FROM t WHERE chapar_rows(p, q)",
            "SELECT a FROM (SELECT a FROM t) WHERE chapar_rows(p, q)",
            "SELECT a FROM x, (t JOIN u) WHERE 1 = 1 UNION SELECT a FROM t WHERE chapar_rows(p, q)",
            // What looks like a named query and is a table.
            "SELECT a FROM t AS v WHERE v.b IN (SELECT b FROM t WHERE chapar_rows(p, q))",
            "SELECT a AS t, b FROM t WHERE b IN (SELECT b FROM u WHERE chapar_rows(p, q))",
            "SELECT a FROM t WHERE b IN (WITH t AS (SELECT b FROM u WHERE chapar_rows(p, q)) SELECT b FROM t)",
            "WITH main AS (SELECT a FROM t WHERE chapar_rows(p, q)) SELECT a FROM main.t",
            "WITH t AS (SELECT a FROM t) SELECT a FROM t WHERE chapar_rows(p, q)",
            "WITH x AS (SELECT a FROM t), t AS (SELECT a FROM u WHERE chapar_rows(p, q)) SELECT a FROM x",
            // A table that is read without a SELECT.
            "SELECT a FROM t WHERE chapar_rows(p, q) AND (b IN u)",
        ] {
            assert_eq!(open(text), ["p"], "{text}");
        }
    }

    #[test]
    fn a_scope_that_is_placed_in_another_form_is_a_finding() {
        for text in [
            "SELECT a FROM t WHERE chapar_rows(province)",
            "SELECT a FROM t WHERE chapar_rows(province, )",
            "SELECT a FROM t WHERE chapar_rows('province', p)",
            "SELECT a FROM t WHERE chapar_rows(province, p, q)",
            "SELECT a FROM t WHERE chapar_rows(province, :p)",
            "SELECT a FROM t WHERE chapar_rows()",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with("m.sql:1:"), "{text}: {error}");
        }
    }

    #[test]
    fn a_declaration_that_is_misspelt_is_a_finding_and_prose_is_none() {
        for (text, right) in [
            ("-- column day jalali YYYY/MM/DD", "-- column day: jalali YYYY/MM/DD"),
            ("-- Column day: integer", "-- column day: integer"),
            ("-- colum day: integer", "-- column day: integer"),
            ("/* column day: integer */", "-- column day: integer"),
            ("-- bind mobile given", "-- bind mobile: given"),
            ("-- Bind mobile: national", "-- bind mobile: national"),
        ] {
            let found = parse(&format!("{text}\nSELECT 1 AS day")).err();
            let found = found.unwrap_or_else(|| panic!("{text} is passed over"));
            assert!(found.contains(&format!("this comment declares nothing: write `{right}`")), "{found}");
        }
        for prose in
            ["-- column of prose: x", "-- bind it well", "/* A column a day */", "-- Columns are text."]
        {
            parse(&format!("{prose}\nSELECT 1 AS day")).unwrap_or_else(|error| panic!("{prose}: {error}"));
        }
    }

    #[test]
    fn nesting_without_end_is_a_finding_and_not_a_crash() {
        let text = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&text).is_err());
    }
}
