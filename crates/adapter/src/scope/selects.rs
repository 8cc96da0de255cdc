//! `not_narrowed` finds a SELECT that reads a table and is not narrowed by a row scope. `chapar_rows` narrows
//! a SELECT if it is a condition of its own, joined by AND, in the WHERE; under OR or NOT, in a join's ON or
//! among the columns it narrows nothing.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::{ScopePiece, word};

/// A piece that is not inside brackets of its SELECT's own level.
struct Flat<'a> {
    piece: &'a ScopePiece,
    /// Where it stands among all pieces.
    at: usize,
}

/// The first SELECT that reads a table and is not narrowed by `scope`, by the number of its piece.
pub(super) fn not_narrowed(pieces: &[ScopePiece], scope: &str) -> Option<usize> {
    let named = named_queries(pieces);
    // SQLite reads a table without a SELECT in `x IN table`, which no scope can narrow.
    let in_table = (0..pieces.len()).find(|at| is_word(&pieces[*at], "IN") && !is_open(pieces.get(at + 1)));
    if in_table.is_some() {
        return in_table;
    }
    // PostgreSQL and MySQL also read one as `TABLE name`.
    let is_table = |at: &usize| {
        is_word(&pieces[*at], "TABLE")
            && matches!(pieces.get(at + 1), Some(ScopePiece::Token(Token::Word(_))))
    };
    if let Some(table) = (0..pieces.len()).find(is_table) {
        return Some(table);
    }
    let mut selects = (0..pieces.len()).filter(|at| is_word(&pieces[*at], "SELECT"));
    selects.find(|at| {
        let own = own_level(pieces, *at);
        reads_a_table(pieces, &own, &named) && !is_narrowed(&own, scope)
    })
}

/// The pieces of one SELECT at its own level of brackets, up to the next part of a UNION or the like.
fn own_level(pieces: &[ScopePiece], select: usize) -> Vec<Flat<'_>> {
    let mut depth = 0usize;
    let mut cases = 0usize;
    let mut own = Vec::new();
    for (at, piece) in pieces.iter().enumerate().skip(select) {
        match piece {
            ScopePiece::Token(Token::LParen) => depth += 1,
            ScopePiece::Token(Token::RParen) if depth == 0 => break,
            ScopePiece::Token(Token::RParen) => depth -= 1,
            _ if depth > 0 => {}
            piece if ["UNION", "INTERSECT", "EXCEPT"].iter().any(|name| is_word(piece, name)) => break,
            // A condition inside CASE is not one of the WHERE, so what stands between CASE and END is left
            // out.
            piece if is_word(piece, "CASE") => cases += 1,
            piece if is_word(piece, "END") => cases = cases.saturating_sub(1),
            _ if cases > 0 => {}
            piece => own.push(Flat { piece, at }),
        }
    }
    own
}

/// Whether a SELECT reads a table or view itself, and not only queries in brackets or by their names.
fn reads_a_table(pieces: &[ScopePiece], own: &[Flat<'_>], named: &[NamedQuery]) -> bool {
    let mut in_from = false;
    for flat in own {
        let opens = is_word(flat.piece, "FROM")
            || in_from
                && (is_word(flat.piece, "JOIN")
                    || is_word(flat.piece, "STRAIGHT_JOIN")
                    || is_token(flat.piece, &Token::Comma));
        if is_word(flat.piece, "WHERE") || is_word(flat.piece, "GROUP") || is_word(flat.piece, "ORDER") {
            in_from = false;
        }
        if !opens {
            continue;
        }
        in_from = true;
        // Brackets: a query of their own, which is looked at by itself, or a join whose tables are not seen
        // from here.
        match pieces.get(flat.at + 1) {
            Some(ScopePiece::Token(Token::LParen)) if pieces.get(flat.at + 2).is_some_and(begins_a_query) => {
            }
            Some(ScopePiece::Token(Token::Word(name)))
                if named.iter().any(|query| query.is_meant(&name.value, flat.at + 1))
                    && !is_qualified(pieces.get(flat.at + 2)) => {}
            _ => return true,
        }
    }
    false
}

fn is_narrowed(own: &[Flat<'_>], scope: &str) -> bool {
    let Some(begin) = own.iter().position(|flat| is_word(flat.piece, "WHERE")) else { return false };
    let ends = ["GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH"];
    let condition = &own[begin..];
    let end = condition.iter().position(|flat| ends.iter().any(|name| is_word(flat.piece, name)));
    let condition = &condition[..end.unwrap_or(condition.len())];
    // Any OR refuses the whole condition: telling which side it binds would need a parser, and a wrong answer
    // would give rows away.
    // `||` is an OR in MariaDB.
    let is_or = |piece: &ScopePiece| {
        is_word(piece, "OR") || is_word(piece, "XOR") || is_token(piece, &Token::StringConcat)
    };
    if condition.iter().any(|flat| is_or(flat.piece)) {
        return false;
    }
    // The AND of a BETWEEN joins no conditions.
    let mut between = false;
    let mut joins = Vec::with_capacity(condition.len());
    for flat in condition {
        let is_and = is_word(flat.piece, "AND");
        joins.push(is_word(flat.piece, "WHERE") || is_and && !between);
        between = is_word(flat.piece, "BETWEEN") || between && !is_and;
    }
    let stands_alone = |at: usize| joins[at - 1] && joins.get(at + 1).is_none_or(|joins| *joins);
    (1..condition.len())
        .any(|at| matches!(condition[at].piece, ScopePiece::Rows(name) if name == scope) && stands_alone(at))
}

/// A query of a WITH: `NAME AS (SELECT …)` or `NAME (columns) AS (SELECT …)`.
struct NamedQuery {
    /// In lower case: SQLite's names have no case, quoted or not.
    name: String,
    /// The pieces among which the name means this query and not a table.
    visible: Range<usize>,
}

impl NamedQuery {
    fn is_meant(&self, name: &str, at: usize) -> bool {
        self.visible.contains(&at) && self.name == name.to_lowercase()
    }
}

/// The queries that have names, each with where its name holds: after its brackets and up to the end of those
/// around its WITH, with RECURSIVE from the WITH on. Before that, and outside, a table of the name is read,
/// in some databases at least.
fn named_queries(pieces: &[ScopePiece]) -> Vec<NamedQuery> {
    let mut queries = Vec::new();
    for at in 1..pieces.len() {
        if !is_word(&pieces[at], "AS") {
            continue;
        }
        // Between AS and the bracket may stand [NOT] MATERIALIZED and nothing else: any other AS names a
        // column or a table.
        let mut open = at + 1;
        while ["NOT", "MATERIALIZED"]
            .iter()
            .any(|hint| pieces.get(open).is_some_and(|one| is_word(one, hint)))
        {
            open += 1;
        }
        if !is_open(pieces.get(open)) || !pieces.get(open + 1).is_some_and(begins_a_query) {
            continue;
        }
        // A query may name its columns between its name and AS, so the brackets are stepped over.
        let mut before = at - 1;
        if is_token(&pieces[before], &Token::RParen) {
            while before > 0 && !is_token(&pieces[before], &Token::LParen) {
                before -= 1;
            }
            before = before.saturating_sub(1);
        }
        let ScopePiece::Token(Token::Word(name)) = &pieces[before] else { continue };
        let Some(with) = with_of(pieces, before) else { continue };
        let is_recursive = pieces.get(with + 1).is_some_and(|piece| is_word(piece, "RECURSIVE"));
        let begin = if is_recursive { with } else { end_of_level(pieces, open + 1) };
        queries
            .push(NamedQuery { name: name.value.to_lowercase(), visible: begin..end_of_level(pieces, with) });
    }
    queries
}

/// The WITH to which a name belongs: the nearest before it at its own level of brackets.
fn with_of(pieces: &[ScopePiece], name: usize) -> Option<usize> {
    let mut depth = 0usize;
    for at in (0..name).rev() {
        match &pieces[at] {
            ScopePiece::Token(Token::RParen) => depth += 1,
            ScopePiece::Token(Token::LParen) if depth == 0 => return None,
            ScopePiece::Token(Token::LParen) => depth -= 1,
            piece if depth == 0 && is_word(piece, "WITH") => return Some(at),
            _ => {}
        }
    }
    None
}

/// The bracket that closes the level on which a piece stands, or the end.
fn end_of_level(pieces: &[ScopePiece], from: usize) -> usize {
    let mut depth = 0usize;
    for (at, piece) in pieces.iter().enumerate().skip(from) {
        match piece {
            ScopePiece::Token(Token::LParen) => depth += 1,
            ScopePiece::Token(Token::RParen) if depth == 0 => return at,
            ScopePiece::Token(Token::RParen) => depth -= 1,
            _ => {}
        }
    }
    pieces.len()
}

fn is_open(piece: Option<&ScopePiece>) -> bool {
    piece.is_some_and(|piece| is_token(piece, &Token::LParen))
}

/// Whether a name before this piece is that of a schema (`main.visit`) or of a table function.
fn is_qualified(piece: Option<&ScopePiece>) -> bool {
    piece.is_some_and(|piece| is_token(piece, &Token::Period) || is_token(piece, &Token::LParen))
}

fn begins_a_query(piece: &ScopePiece) -> bool {
    ["SELECT", "WITH", "VALUES"].iter().any(|begin| is_word(piece, begin))
}

fn is_word(piece: &ScopePiece, name: &str) -> bool {
    matches!(piece, ScopePiece::Token(token) if word(token).is_some_and(|word| word.eq_ignore_ascii_case(name)))
}

fn is_token(piece: &ScopePiece, token: &Token) -> bool {
    matches!(piece, ScopePiece::Token(own) if own == token)
}
