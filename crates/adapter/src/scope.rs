//! Row scopes narrow a statement to the rows of a grant. Around a plain SELECT the condition stands outside
//! and filters the result. Where that differs from a condition inside (LIMIT counts rows before it, an
//! aggregate counts rows that it would drop, a subquery reads them), the statement must place the scope as
//! `chapar_rows(SCOPE, COLUMN)`, or it is refused.
//!
//! The check reads the statement's tokens. It does not see what a view or a table function reads; the agency
//! answers for those.

mod selects;

use std::ops::Range;

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// The macro's name.
const MACRO: &str = "chapar_rows";

/// Functions that make one value of many rows: SQLite's, PostgreSQL's and MariaDB's.
const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "group_concat",
    "json_agg",
    "json_arrayagg",
    "json_group_array",
    "json_group_object",
    "json_object_agg",
    "json_objectagg",
    "jsonb_agg",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_object_agg",
    "max",
    "median",
    "min",
    "mode",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "total",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

/// One use of the macro; places are bytes of the statement's text.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The scope that it names.
    pub(crate) scope: String,
    /// From the macro's name to its closing bracket.
    pub(crate) whole: Range<usize>,
    /// The expression that must be one of the grant's values.
    pub(crate) expression: Range<usize>,
}

/// The row scopes in a statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scoping {
    pub(crate) placed: Vec<Placed>,
    /// Why a condition around the statement would not filter the same rows as one inside; `None` if it would.
    pub(crate) not_outside: Option<String>,
    /// Scopes that are placed, but not in every SELECT that reads a table.
    pub(crate) open: Vec<String>,
}

/// A token, or a whole use of the macro.
#[derive(Clone, Debug)]
enum ScopePiece {
    Token(Token),
    /// `chapar_rows` of the scope of this name.
    Rows(String),
}

/// Reads the row scopes from tokens and their byte ranges.
///
/// # Errors
/// Where a use of the macro is not in its form, and how it is.
pub(crate) fn read(tokens: &[(Token, Range<usize>)]) -> Result<Scoping, (Range<usize>, String)> {
    let mut placed = Vec::<Placed>::new();
    let mut pieces = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some((token, _)) = tokens.get(at) {
        match (word(token), tokens.get(at + 1)) {
            (Some(name), Some((Token::LParen, _))) if name.eq_ignore_ascii_case(MACRO) => {
                let (one, after) = placement(tokens, at)?;
                pieces.push(ScopePiece::Rows(one.scope.clone()));
                placed.push(one);
                at = after;
            }
            _ => {
                pieces.push(ScopePiece::Token(token.clone()));
                at += 1;
            }
        }
    }
    let scopes: std::collections::BTreeSet<&str> =
        placed.iter().map(|placed| placed.scope.as_str()).collect();
    // Every SELECT that reads a table must be narrowed, because one that is not gives rows of others to the
    // rest of the statement.
    let open = scopes.into_iter().filter(|scope| selects::not_narrowed(&pieces, scope).is_some());
    let open = open.map(str::to_owned).collect();
    Ok(Scoping { not_outside: not_outside(&pieces), open, placed })
}

/// `chapar_rows ( SCOPE , EXPRESSION )` at a token, and the token after it.
fn placement(tokens: &[(Token, Range<usize>)], at: usize) -> Result<(Placed, usize), (Range<usize>, String)> {
    let start = tokens.get(at).map_or(0..0, |(_, place)| place.clone());
    let wrong = |message: &str| (start.clone(), message.to_owned());
    let form = || {
        wrong(
            "write `chapar_rows(SCOPE, COLUMN)`: the row scope's name, and what must be one of the grant's values",
        )
    };
    // Matched by token and not by text, so that a comment or a literal cannot look like the macro.
    let [(scope, _), (Token::Comma, _), (_, first)] = tokens.get(at + 2..at + 5).ok_or_else(form)? else {
        return Err(form());
    };
    let scope = word(scope).ok_or_else(form)?.to_owned();
    let mut depth = 1usize;
    for (number, (token, place)) in tokens.iter().enumerate().skip(at + 4) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 1 => return Err(form()),
            // The whole condition is replaced by `(1 = 1)` for a grant without the scope, and numbers of
            // placeholders would shift.
            Token::Colon | Token::Placeholder(_) => {
                return Err(wrong(
                    "no placeholder may stand in `chapar_rows`: a grant without the scope leaves the condition out",
                ));
            }
            _ => {}
        }
        if depth == 0 {
            let placed =
                Placed { scope, whole: start.start..place.end, expression: first.start..place.start };
            return if placed.expression.is_empty() { Err(form()) } else { Ok((placed, number + 1)) };
        }
    }
    Err(form())
}

fn not_outside(pieces: &[ScopePiece]) -> Option<String> {
    // A wrong "yes" here would leave rows unfiltered, so any construct that may count or combine rows is
    // refused.
    let mut selects = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let ScopePiece::Token(token) = piece else { continue };
        // A function's name may be quoted, a keyword may not.
        if let (Token::Word(called), Some(ScopePiece::Token(Token::LParen))) = (token, pieces.get(at + 1))
            && AGGREGATES.contains(&called.value.to_ascii_lowercase().as_str())
        {
            return Some(format!("`{}` makes one value of many rows", called.value));
        }
        let Some(name) = word(token) else { continue };
        let upper = name.to_ascii_uppercase();
        match upper.as_str() {
            "SELECT" if selects == 1 => return Some("it has more than one SELECT".to_owned()),
            "SELECT" => selects += 1,
            // `TABLE name` reads a table without a SELECT (PostgreSQL, MySQL).
            "TABLE" | "WITH" | "UNION" | "INTERSECT" | "EXCEPT" | "VALUES" | "DISTINCT" | "GROUP"
            | "HAVING" | "LIMIT" | "OFFSET" | "FETCH" | "OVER" | "WINDOW" => {
                return Some(format!("it has {upper}"));
            }
            _ => {}
        }
    }
    None
}

/// A word that is not quoted.
fn word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

/// Tokens that are neither space nor comment, with their places in bytes.
pub(crate) fn placed_tokens(
    tokens: &[TokenWithSpan],
    offset: impl Fn(sqlparser::tokenizer::Location) -> usize,
) -> Vec<(Token, Range<usize>)> {
    let told = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    told.map(|token| (token.token.clone(), offset(token.span.start)..offset(token.span.end))).collect()
}
