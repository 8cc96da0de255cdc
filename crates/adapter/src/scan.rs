//! `scan` samples up to 10,000 values of a column for `chapar adapter check`. For a column that fills a
//! field, it counts values that cannot be read or look like another calendar or script; for a text parameter,
//! it counts numbers in the column that it is compared with. It returns counts, never values.

use std::collections::BTreeMap;
use std::fmt;

use chapar_model::MethodPath;

use crate::encode;
use crate::form::Form;
use crate::shape::Leaf;
use crate::source::{Cell, Described, Failure, Family, Source, TableColumn};
use crate::statement::Statement;

/// Maximum number of values that are sampled from one column.
pub(crate) const MOST_VALUES: u64 = 10_000;

/// One remark on a column's values, for the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remark {
    /// The method that reads it.
    pub method: MethodPath,
    /// `TABLE.COLUMN`.
    pub column: String,
    /// Number of values that were sampled.
    pub looked_at: u64,
    /// Number of those values that the remark is about.
    pub count: u64,
    /// What is wrong or odd about those values.
    pub what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, column, looked_at, count, what } = self;
        write!(f, "{method}: {column}: {count} of {looked_at} values: {what}")
    }
}

/// Samples the columns behind one method's statement.
///
/// # Errors
/// If a column cannot be read at all.
pub(crate) async fn scan(
    method: &MethodPath,
    leaves: &[Leaf],
    statement: &Statement,
    bound_as_text: impl Iterator<Item = usize>,
    described: &Described,
    source: &dyn Source,
) -> Result<Vec<Remark>, Failure> {
    let mut remarks = Vec::new();
    for column in &described.columns {
        // Expressions are left out, because there is no table column to sample.
        let (Some(origin), Some(leaf)) =
            (&column.origin, leaves.iter().find(|leaf| leaf.column == column.name))
        else {
            continue;
        };
        let mut looked_at = 0;
        let mut counts = BTreeMap::<&'static str, u64>::new();
        let mut scratch = Vec::new();
        source
            .sample(origin, MOST_VALUES, &mut |cell| {
                looked_at += 1;
                // A value that cannot be read is reported first, since its record fails. An oddity only
                // surprises.
                let seen = encode::fault(leaf, cell, &mut scratch).or_else(|| oddity(leaf, cell));
                if let Some(seen) = seen {
                    *counts.entry(seen).or_default() += 1;
                }
            })
            .await?;
        remarks.extend(counts.into_iter().map(|(what, count)| Remark {
            method: method.clone(),
            column: format!("{}.{}", origin.table, origin.column),
            looked_at,
            count,
            what: what.to_owned(),
        }));
    }
    for number in bound_as_text {
        let Some(parameter) = statement.file().parameters().get(number) else { continue };
        for comparison in statement.compared_with(&parameter.text) {
            let is_compared = |read: &&TableColumn| {
                comparison.columns.iter().any(|name| read.column.eq_ignore_ascii_case(name))
            };
            for column in described.reads.iter().filter(is_compared) {
                // SQLite turns a bound text into a number for a column that stores numbers, and for no other,
                // nor for an expression (<https://sqlite.org/datatype3.html> §4.2).
                let turned = matches!(column.family, Family::Integer | Family::Real | Family::Numeric)
                    && !comparison.is_expression;
                let (looked_at, count) = numbers(column, source).await?;
                if count == 0 {
                    continue;
                }
                let effect = if turned {
                    "leading zeros do not count in the comparison"
                } else {
                    "they are never equal, and their records are not found"
                };
                remarks.push(Remark {
                    method: method.clone(),
                    column: format!("{}.{}", column.table, column.column),
                    looked_at,
                    count,
                    what: format!("numbers, and `:{}` is text: {effect}", parameter.text),
                });
            }
        }
    }
    Ok(remarks)
}

/// How many values of a column were sampled, and how many of them are numbers.
async fn numbers(column: &TableColumn, source: &dyn Source) -> Result<(u64, u64), Failure> {
    let mut looked_at = 0;
    let mut count = 0;
    let keep = &mut |cell: Cell<'_>| {
        looked_at += 1;
        count += u64::from(matches!(cell, Cell::Integer(_) | Cell::Real(_)));
    };
    source.sample(column, MOST_VALUES, keep).await?;
    Ok((looked_at, count))
}

/// An oddity of a value that can be read, but is probably not what callers expect.
fn oddity(leaf: &Leaf, cell: Cell<'_>) -> Option<&'static str> {
    let (Form::String, Cell::Text(text)) = (&leaf.form, cell) else { return None };
    let text = std::str::from_utf8(text).ok()?;
    let has = |odd: fn(char) -> bool| text.chars().any(odd);
    if has(|c| matches!(c, '\u{06F0}'..='\u{06F9}' | '\u{0660}'..='\u{0669}')) {
        return Some("digits that are not ASCII; callers get them as they stand");
    }
    has(|c| matches!(c, '\u{064A}' | '\u{0643}'))
        .then_some("Arabic ي or ك in place of ی or ک; callers get them as they stand")
}
