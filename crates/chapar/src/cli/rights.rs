//! This module formats what a caller may call: as the JSON of `chapar list`, and as tables for people.

use chapar_client::AllowedMethod;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

/// One method that may be called, by one right.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Right {
    /// `pkg.Service/Method`.
    pub(super) method: String,
    /// For which purposes.
    pub(super) purposes: Vec<String>,
    /// The response fields that will be disclosed.
    pub(super) fields: Vec<String>,
    /// Those that will not.
    pub(super) withheld: Vec<String>,
    /// The grant.
    pub(super) grant: String,
    /// The member whose right it is; empty for the caller's own.
    pub(super) on_behalf_of: String,
    /// What must be sent along: `case`, `clerk`.
    pub(super) requires: Vec<String>,
}

impl From<AllowedMethod> for Right {
    fn from(allowed: AllowedMethod) -> Self {
        Self {
            method: allowed.method,
            purposes: allowed.purposes,
            fields: allowed.fields,
            withheld: allowed.withheld,
            grant: allowed.grant,
            on_behalf_of: allowed.on_behalf_of,
            requires: allowed.requires,
        }
    }
}

/// Lines of columns, each as wide as its widest cell; the last column is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.width() + 2));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_with_persian_text() {
        let rows = [["a", "bb", "c"], ["ثبت", "b", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), ["a    bb  c", "ثبت  b"]);
    }
}
