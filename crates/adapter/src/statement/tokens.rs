//! This module reads a statement's tokens, without a parse: its placeholders and words, and
//! whether it begins as a query and is alone in its file.

use std::ops::Range;
use std::path::Path;

use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::lines::Lines;
use crate::finding::Finding;
use crate::method_file::{Comment, Name};

pub(super) fn first_offset(lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> usize {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    first.map_or(0, |token| lines.offset(token.span.start))
}

/// The comments before the first word.
pub(super) fn comments<'t>(
    lines: &Lines<'_>,
    tokens: &'t [TokenWithSpan],
) -> impl Iterator<Item = Comment<'t>> {
    let leading = tokens.iter().take_while(|token| matches!(token.token, Token::Whitespace(_)));
    leading.filter_map(|token| {
        let (text, is_line) = match &token.token {
            Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => (comment, true),
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => (comment, false),
            _ => return None,
        };
        let offset = lines.offset(token.span.start);
        let length = lines.offset(token.span.end).saturating_sub(offset);
        Some(Comment { text, is_line, offset, length })
    })
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

/// The names of all placeholders, once each, and the places in bytes at which they stand, with the number of
/// the name.
pub(super) type Placeholders = (Vec<Name>, Vec<(Range<usize>, usize)>);

/// Every `:name`. Text inside literals, quoted identifiers and comments is another token, so it is never
/// mistaken.
pub(super) fn placeholders(
    file: &Path,
    text: &str,
    lines: &Lines<'_>,
    tokens: &[TokenWithSpan],
) -> Result<Placeholders, Finding> {
    let mut found: Vec<Name> = Vec::new();
    let mut places = Vec::new();
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        let other = match &token.token {
            Token::Colon => match tokens.peek().map(|next| &next.token) {
                // Only plain ASCII words are placeholders, since SQLite and the parser may differ on anything
                // else.
                Some(Token::Word(word)) if word.quote_style.is_none() && word.value.is_ascii() => {
                    let mut name = lines.name(&word.value, token);
                    name.length += word.value.len();
                    let place = name.offset..name.offset + name.length;
                    let known = found.iter().position(|known| known.text == name.text);
                    let number = known.unwrap_or_else(|| {
                        found.push(name);
                        found.len() - 1
                    });
                    places.push((place, number));
                    continue;
                }
                _ => ":".to_owned(),
            },
            Token::Placeholder(name) => name.clone(),
            Token::AtSign => "@".to_owned(),
            // A variable of MariaDB's session outlives the call, and the next one on the connection would see
            // it.
            Token::Word(word) if word.quote_style.is_none() && word.value.starts_with('@') => {
                word.value.clone()
            }
            _ => continue,
        };
        let offset = lines.offset(token.span.start);
        let finding = Finding::new(file, text, offset, other.len(), format!("`{other}` is no placeholder"));
        return Err(finding.with_help("write `:field`, the name of a request field"));
    }
    Ok((found, places))
}

/// Whether the statement itself, and not a query inside it, has an ORDER BY and no LIMIT.
pub(super) fn is_ordered_without_limit(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0usize;
    let mut is_ordered = false;
    let mut is_limited = false;
    for token in tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                is_ordered |= word.value.eq_ignore_ascii_case("ORDER");
                is_limited |=
                    ["LIMIT", "OFFSET", "FETCH"].iter().any(|name| word.value.eq_ignore_ascii_case(name));
            }
            _ => {}
        }
    }
    is_ordered && !is_limited
}

pub(super) fn words(lines: &Lines<'_>, tokens: &[TokenWithSpan]) -> Vec<Name> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => Some(lines.name(&word.value, token)),
        _ => None,
    };
    tokens.iter().filter_map(word).collect()
}
