//! `Catalogue` is what a database says about its tables and views: the raw material of a first contract. Each
//! kind of database reads its own system tables.

/// The tables and views that the role may read, by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Catalogue {
    pub(crate) relations: Vec<Relation>,
}

/// A table or view.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Relation {
    /// The schema, if a statement has to name it.
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    pub(crate) comment: Option<String>,
    pub(crate) columns: Vec<Field>,
    /// Columns that identify one row: the primary key first, then unique keys.
    pub(crate) keys: Vec<Vec<String>>,
    /// Columns that refer to another table.
    pub(crate) references: Vec<Reference>,
}

/// A foreign key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reference {
    pub(crate) columns: Vec<String>,
    /// The other table.
    pub(crate) table: String,
}

/// A column.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// As SQL writes the type.
    pub(crate) declared: String,
    pub(crate) kind: Kind,
    /// Whether it may be NULL; a view does not know, and counts as yes.
    pub(crate) nullable: bool,
    pub(crate) comment: Option<String>,
}

/// What a column stores.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Double,
    Decimal,
    Text,
    Blob,
    Date,
    Time,
    /// Day and time without a zone.
    DateTime,
    Timestamp,
    Duration,
    /// One of these texts.
    Enum(Vec<String>),
    List(Box<Self>),
    /// A type that is read as text only after a cast.
    Other,
}

/// Gathers flat rows `(relation, group, column)` into lists of columns in their order.
pub(crate) fn grouped(
    rows: impl Iterator<Item = (String, String, String)>,
) -> Vec<(String, String, Vec<String>)> {
    let mut groups: Vec<(String, String, Vec<String>)> = Vec::new();
    for (relation, group, column) in rows {
        match groups.last_mut() {
            Some((known, name, columns)) if *known == relation && *name == group => columns.push(column),
            _ => groups.push((relation, group, vec![column])),
        }
    }
    groups
}

/// The texts of a condition `column IN ('a', 'b')`, in the forms in which databases give it back; nothing if
/// it is any other condition.
pub(crate) fn values_of_check(expression: &str) -> Option<Vec<String>> {
    use sqlparser::ast::{Array, BinaryOperator, Expr, InTarget, Value};
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    fn bare(expression: &Expr) -> &Expr {
        match expression {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => bare(inner),
            other => other,
        }
    }
    fn text(expression: &Expr) -> Option<String> {
        match bare(expression) {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        }
    }
    /// The column's name.
    fn column(expression: &Expr) -> Option<String> {
        match bare(expression) {
            Expr::Identifier(name) => Some(name.value.clone()),
            _ => None,
        }
    }
    /// A column and its values.
    fn values(expression: &Expr) -> Option<(String, Vec<String>)> {
        let all = |list: &[Expr]| list.iter().map(text).collect::<Option<Vec<String>>>();
        match bare(expression) {
            Expr::In { expr, target: InTarget::List(list), negated: false, .. } => {
                Some((column(expr)?, all(list)?))
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => match bare(right) {
                Expr::Array(Array { elem, .. }) => Some((column(left)?, all(elem)?)),
                _ => None,
            },
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                Some((column(left)?, vec![text(right)?]))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                // `a = 'x' OR a = 'y'` is given back as it was written.
                let (own, mut all) = values(left)?;
                let (other, more) = values(right)?;
                all.extend(more);
                (own == other).then_some((own, all))
            }
            _ => None,
        }
    }
    let dialect = GenericDialect {};
    let parsed =
        Parser::new(&dialect).with_recursion_limit(50).try_with_sql(expression).ok()?.parse_expr().ok()?;
    // One value is no choice, so no enum is drafted of it.
    values(&parsed).map(|(_, values)| values).filter(|values| values.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_check_are_read_in_every_form_that_databases_write() {
        for text in [
            "m IN ('a','b')",
            "`m` in ('a','b')",
            "(m = ANY (ARRAY['a'::text, 'b'::text]))",
            "((m)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
            "((m = 'a'::bpchar) OR (m = 'b'::bpchar))",
        ] {
            assert_eq!(
                values_of_check(text).as_deref(),
                Some(&["a".to_owned(), "b".to_owned()][..]),
                "{text}"
            );
        }
        for text in [
            "m > 1",
            "m IN (1, 2)",
            "m NOT IN ('a', 'b')",
            "lower(m) IN ('a', 'b')",
            "m IN ('a')",
            "m IN ('a') OR n IN ('b')",
            "((",
        ] {
            assert_eq!(values_of_check(text), None, "{text}");
        }
    }
}
