//! Request fields in a text, `{field}`.

use super::Parser;
use crate::api::template::{Piece, Placeholder};
use crate::finding::Finding;
use crate::method_file::Name;

impl Parser<'_> {
    /// The literals and `{field}`s of `text`, which stands at `offset`.
    pub(super) fn pieces(&mut self, offset: usize, text: &str) -> Result<Vec<Piece>, Finding> {
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

    pub(super) fn placeholder(&mut self, offset: usize, name: &str) -> Result<Placeholder, Finding> {
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

    pub(super) fn unbalanced(&self, offset: usize) -> Finding {
        self.at(offset, 1, "`{` and `}` stand around the name of a request field and nowhere else")
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

/// A piece of a text, with its place: a literal, or as `Err` what stands between `{` and `}`.
pub(super) type Split<'t> = (usize, Result<&'t str, &'t str>);

/// The pieces of a text. Fails with the place of a brace that has no other.
pub(super) fn split(text: &str) -> Result<Vec<Split<'_>>, usize> {
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
