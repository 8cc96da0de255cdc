//! This module converts a byte offset in a text to line and column, as editors count them.

/// 1-based line and column of a byte offset. Columns are characters, not bytes, and an offset within a
/// character, or past the end, is taken back to the last character that begins before it.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_counted_in_characters() {
        let text = "a\nنام = x";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find('=').unwrap()), (2, 5));
        assert_eq!(line_and_column(text, 3), (2, 1), "within the first letter");
        assert_eq!(line_and_column(text, 99), (2, 8));
    }
}
