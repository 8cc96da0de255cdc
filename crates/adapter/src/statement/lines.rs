//! `Lines` turns the lines and columns of the SQL parser into places in a statement file, in bytes.

use sqlparser::tokenizer::{Location, TokenWithSpan};

use crate::method_file::Name;

/// Turns the parser's line and column (both from 1, in characters) into bytes.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    pub(super) fn offset(&self, location: Location) -> usize {
        // The parser may point past the end, so each step falls back to the end of the text.
        let line = usize::try_from(location.line).unwrap_or(usize::MAX).saturating_sub(1);
        let column = usize::try_from(location.column).unwrap_or(usize::MAX).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    pub(super) fn name(&self, text: &str, token: &TokenWithSpan) -> Name {
        let offset = self.offset(token.span.start);
        Name { text: text.to_owned(), offset, length: self.offset(token.span.end).saturating_sub(offset) }
    }
}
