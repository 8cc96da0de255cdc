//! `not_narrowed` finds a SELECT that reads a table and is not narrowed by a row scope. `chapar_rows` narrows
//! a SELECT if it is a condition of its own, joined by AND, in the WHERE; under OR or NOT, in a join's ON or
//! among the columns it narrows nothing.

use std::collections::HashSet;

use sqlparser::tokenizer::Token;

use super::{Piece, word};

/// A piece that is not inside brackets of its SELECT's own level.
struct Flat<'a> {
    piece: &'a Piece,
    /// Where it stands among all pieces.
    at: usize,
}

/// The first SELECT that reads a table and is not narrowed by `scope`, by the number of its piece.
pub(super) fn not_narrowed(pieces: &[Piece], scope: &str) -> Option<usize> {
    let named = named_queries(pieces);
    let selects = (0..pieces.len()).filter(|at| is_word(&pieces[*at], "SELECT"));
    selects.into_iter().find(|at| {
        let own = own_level(pieces, *at);
        reads_a_table(pieces, &own, &named) && !is_narrowed(&own, scope)
    })
}

/// The pieces of one SELECT at its own level of brackets, up to the next part of a UNION or the like.
fn own_level(pieces: &[Piece], select: usize) -> Vec<Flat<'_>> {
    let mut depth = 0usize;
    let mut cases = 0usize;
    let mut own = Vec::new();
    for (at, piece) in pieces.iter().enumerate().skip(select) {
        match piece {
            Piece::Token(Token::LParen) => depth += 1,
            Piece::Token(Token::RParen) if depth == 0 => break,
            Piece::Token(Token::RParen) => depth -= 1,
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
fn reads_a_table(pieces: &[Piece], own: &[Flat<'_>], named: &HashSet<String>) -> bool {
    let mut in_from = false;
    for flat in own {
        let opens = is_word(flat.piece, "FROM")
            || in_from && (is_word(flat.piece, "JOIN") || is_token(flat.piece, &Token::Comma));
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
            Some(Piece::Token(Token::LParen))
                if pieces.get(flat.at + 2).is_some_and(|piece| is_word(piece, "SELECT")) => {}
            Some(Piece::Token(Token::Word(name))) if named.contains(&name.value.to_lowercase()) => {}
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
    if condition.iter().any(|flat| is_word(flat.piece, "OR")) {
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
        .any(|at| matches!(condition[at].piece, Piece::Rows(name) if name == scope) && stands_alone(at))
}

/// Names of queries: `NAME AS (SELECT …)` and `NAME (columns) AS (SELECT …)`, in lower case.
fn named_queries(pieces: &[Piece]) -> HashSet<String> {
    let mut names = HashSet::new();
    for at in 1..pieces.len() {
        let opens = pieces[at..].iter().skip_while(|piece| !is_token(piece, &Token::LParen)).nth(1);
        let is_query = opens.is_some_and(|piece| {
            is_word(piece, "SELECT") || is_word(piece, "WITH") || is_word(piece, "VALUES")
        });
        if !is_word(&pieces[at], "AS") || !is_query {
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
        if let Piece::Token(Token::Word(name)) = &pieces[before] {
            names.insert(name.value.to_lowercase());
        }
    }
    names
}

fn is_word(piece: &Piece, name: &str) -> bool {
    matches!(piece, Piece::Token(token) if word(token).is_some_and(|word| word.eq_ignore_ascii_case(name)))
}

fn is_token(piece: &Piece, token: &Token) -> bool {
    matches!(piece, Piece::Token(own) if own == token)
}
