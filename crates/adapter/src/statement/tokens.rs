//! This module reads a statement's tokens, without a parse: its placeholders, comparisons and words, and
//! whether it begins as a query and is alone in its file.

use std::path::Path;

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::place::{Lines, Name};
use crate::finding::Finding;

pub(super) fn first_offset(lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> usize {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    first.map_or(0, |token| lines.offset(token.span.start))
}

pub(super) fn begins_as_a_query(tokens: &[TokenWithSpan]) -> bool {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    let is = |word: &str| ["SELECT", "WITH", "VALUES"].iter().any(|query| word.eq_ignore_ascii_case(query));
    first.is_some_and(
        |token| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && is(&word.value)),
    )
}

pub(super) fn has_second_statement(tokens: &[TokenWithSpan]) -> bool {
    let mut rest = tokens.iter().skip_while(|token| token.token != Token::SemiColon);
    rest.any(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon))
}

pub(super) fn second_statement(
    file: &Path,
    text: &str,
    lines: &Lines<'_>,
    tokens: &[TokenWithSpan],
) -> Finding {
    let mut rest = tokens.iter().skip_while(|token| token.token != Token::SemiColon);
    let second = rest.find(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon));
    let offset = second.map_or(0, |token| lines.offset(token.span.start));
    Finding::new(file, text, offset, 1, "a second statement: a method has exactly one")
}

/// Every `:name`, once. Text inside literals, quoted identifiers and comments is another token, so it is
/// never mistaken.
pub(super) fn placeholders(
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
pub(super) fn comparisons(tokens: &[TokenWithSpan]) -> Vec<(String, String)> {
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

pub(super) fn words(lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> Vec<Name> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => Some(lines.name(&word.value, token)),
        _ => None,
    };
    tokens.iter().filter_map(word).collect()
}
