//! The text of a drafted statement.

use std::fmt::Write as _;

use super::relation::{DraftedMethod, DraftedRelation};
use crate::dialect::Dialect;

impl DraftedRelation<'_> {
    pub(super) fn statement(&self, method: &DraftedMethod, dialect: Dialect) -> String {
        let mut text = String::new();
        for column in &self.columns {
            if let Some(declared) = &column.declared {
                writeln!(text, "{declared}").ok();
            }
        }
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("    {}", column.selected)).collect();
        let schema = self.relation.schema.as_deref().map(|name| format!("{}.", dialect.quoted(name)));
        let conditions = method.by.iter().filter_map(|name| {
            let column = self.columns.iter().find(|column| column.name == *name)?;
            Some(format!("{} = :{name}", dialect.quoted(&column.field.name)))
        });
        write!(
            text,
            "SELECT\n{}\nFROM {}{}\nWHERE {}\n",
            columns.join(",\n"),
            schema.unwrap_or_default(),
            dialect.quoted(&self.relation.name),
            conditions.collect::<Vec<_>>().join(" AND ")
        )
        .ok();
        text
    }
}

/// The type that a cast to text names.
pub(super) fn text_type(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => "CHAR",
        Dialect::Postgres | Dialect::Sqlite => "TEXT",
    }
}
