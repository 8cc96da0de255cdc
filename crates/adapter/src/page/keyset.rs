//! `Keyset` is what a method's pages are ordered by: columns of the statement, each with the expression by
//! which the database orders and compares it. A page begins after the last row of the one before (keyset
//! pagination), so that rows that come or go meanwhile move no other row over a page's border.

use crate::dialect::{Dialect, SqlText};
use crate::source::{Column, Family, Parameter};

/// A column that `-- page by:` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PageKey {
    pub(crate) column: String,
    pub(crate) is_descending: bool,
}

/// The columns of a page's order, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Keyset(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    expression: String,
    is_descending: bool,
    /// A value that no record has, for trying a statement out.
    sample: Parameter,
}

impl Keyset {
    /// The keyset of the columns that a statement names, as the database describes them.
    ///
    /// # Errors
    /// Names a key column that the statement lacks or whose type cannot be ordered, and what is wrong.
    pub(crate) fn new(
        dialect: Dialect,
        keys: &[PageKey],
        columns: &[Column],
    ) -> Result<Self, (String, String)> {
        let key = |key: &PageKey| {
            let column = columns.iter().find(|column| column.name == key.column);
            let fault = |text: &str| (key.column.clone(), format!("`page by: {}` {text}", key.column));
            let column = column.ok_or_else(|| fault("is no column of the statement"))?;
            let (expression, sample) = expression(dialect, column)
                .ok_or_else(|| fault("is no whole number, date or text, by which pages can be ordered"))?;
            Ok(Key { expression, is_descending: key.is_descending, sample })
        };
        keys.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// How many columns.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A place where no page ended, for trying a statement out.
    pub(crate) fn sample(&self) -> Vec<Parameter> {
        self.0.iter().map(|key| key.sample.clone()).collect()
    }

    /// Appends the keys to a list of columns.
    pub(crate) fn select(&self, sql: &mut SqlText) {
        for key in &self.0 {
            sql.push(&format!(", {}", key.expression));
        }
    }

    /// Appends the condition that a row comes after the place that is bound.
    pub(crate) fn after(&self, sql: &mut SqlText) {
        let Some(first) = self.0.first() else { return };
        // The first key alone is a range that an index can be read by; MariaDB reads none for `(a, b) > (x,
        // y)`.
        sql.push(&format!("({} {} ", first.expression, if first.is_descending { "<=" } else { ">=" }));
        sql.page_key(0);
        sql.push(" AND ");
        self.beyond(0, sql);
        sql.push(")");
    }

    /// `(a > ? OR (a = ? AND (b > ? …)))`.
    fn beyond(&self, number: usize, sql: &mut SqlText) {
        let Some(key) = self.0.get(number) else { return };
        sql.push(&format!("({} {} ", key.expression, if key.is_descending { "<" } else { ">" }));
        sql.page_key(number);
        if number + 1 < self.0.len() {
            sql.push(&format!(" OR ({} = ", key.expression));
            sql.page_key(number);
            sql.push(" AND ");
            self.beyond(number + 1, sql);
            sql.push(")");
        }
        sql.push(")");
    }

    /// Appends the order.
    pub(crate) fn order(&self, sql: &mut SqlText) {
        for (number, key) in self.0.iter().enumerate() {
            sql.push(if number == 0 { "\nORDER BY " } else { ", " });
            sql.push(&key.expression);
            sql.push(if key.is_descending { " DESC" } else { "" });
        }
    }
}

/// How a column is ordered and compared, and a value for a trial. Texts are compared byte for byte: a
/// collation that takes two texts for equal would lose the second one at a page's border. NULL stands before
/// every value, where it cannot be excluded.
fn expression(dialect: Dialect, column: &Column) -> Option<(String, Parameter)> {
    let name = format!("q.{}", dialect.quoted(&column.name));
    let known = |expression: String, lowest: &str| match column.nullable {
        Some(false) => expression,
        _ => format!("COALESCE({expression}, {lowest})"),
    };
    let text = Parameter::Text("chapar0check".to_owned());
    Some(match (dialect, column.family) {
        // A column of SQLite holds values of any type, which have one order among each other.
        (Dialect::Sqlite, Family::Blob | Family::Real) => return None,
        (Dialect::Sqlite, _) => (format!("{} COLLATE BINARY", known(name, "''")), text),
        (_, Family::Integer) => (known(name, "-9223372036854775808"), Parameter::Integer(-1)),
        (_, Family::Date) => (known(name, "DATE '0001-01-01'"), Parameter::Text("0001-01-01".to_owned())),
        (Dialect::Postgres, Family::Text) => {
            (format!("{} COLLATE \"C\"", known(format!("CAST({name} AS text)"), "''")), text)
        }
        (Dialect::Mysql, Family::Text) => {
            let bytes = format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)");
            (known(bytes, "''"), Parameter::Blob(b"chapar0check".to_vec()))
        }
        _ => return None,
    })
}
