//! `Dialect` is how one kind of database writes SQL, as far as the adapter writes any: quoted names,
//! placeholders, the condition of a row scope, and the parser's dialect. `SqlText` is a statement that is
//! being written, with what is bound in it.

use sqlparser::dialect::{MySqlDialect, PostgreSqlDialect, SQLiteDialect};

/// How a kind of database writes SQL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    /// MariaDB and MySQL.
    Mysql,
    Postgres,
    Sqlite,
}

impl Dialect {
    /// The parser's own dialect.
    pub(crate) fn parser(self) -> &'static dyn sqlparser::dialect::Dialect {
        match self {
            Self::Mysql => &MySqlDialect {},
            Self::Postgres => &PostgreSqlDialect {},
            Self::Sqlite => &SQLiteDialect {},
        }
    }

    /// Quotes an SQL identifier. Quotes inside are doubled, so that no name can end its quoting.
    pub(crate) fn quoted(self, name: &str) -> String {
        match self {
            // Double quotes would be a text, unless the session's `sql_mode` says otherwise.
            Self::Mysql => format!("`{}`", name.replace('`', "``")),
            Self::Postgres | Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// An expression for the JSON of an array column. Only PostgreSQL has such columns.
    pub(crate) fn json_of_array(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("to_jsonb({column})"),
            Self::Mysql | Self::Sqlite => column.to_owned(),
        }
    }
}

/// What is bound at one placeholder of a statement, in the order in which the database numbers them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Binding {
    /// The request field of this number in [`crate::statement::Statement::parameters`].
    Request(usize),
    /// A value of a row scope.
    Scope(String),
    /// The value of this number of the place after which a page begins.
    PageKey(usize),
    /// How many rows of a page are read.
    PageRows,
}

/// A statement that is being written.
#[derive(Debug)]
pub(crate) struct SqlText {
    dialect: Dialect,
    text: String,
    bindings: Vec<Binding>,
}

impl SqlText {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, text: String::new(), bindings: Vec::new() }
    }

    /// Appends SQL as it is.
    pub(crate) fn push(&mut self, sql: &str) {
        self.text.push_str(sql);
    }

    /// Appends a placeholder for the request field `number`, which the statement names `name`.
    pub(crate) fn request(&mut self, number: usize, name: &str) {
        let binding = Binding::Request(number);
        // SQLite and PostgreSQL let a statement name one value twice; MariaDB counts every `?`.
        let known = match self.dialect {
            Dialect::Mysql => None,
            Dialect::Postgres | Dialect::Sqlite => self.bindings.iter().position(|other| *other == binding),
        };
        let place = known.unwrap_or_else(|| {
            self.bindings.push(binding);
            self.bindings.len() - 1
        });
        match self.dialect {
            Dialect::Mysql => self.text.push('?'),
            Dialect::Postgres => self.text.push_str(&format!("${}", place + 1)),
            // The name is kept, so that the database can be asked whether it reads the same placeholders.
            Dialect::Sqlite => self.text.push_str(&format!(":{name}")),
        }
    }

    /// Appends the condition that `expression` is one of `values`. They are bound, never written.
    pub(crate) fn one_of(&mut self, expression: &str, values: &[String]) {
        let (before, after) = match self.dialect {
            // PostgreSQL gives a placeholder the type of what it is compared with. The values are bound as
            // that type, which also lets an index on the column be used.
            Dialect::Postgres => (format!("(({expression}) IN ("), "))"),
            // MariaDB would read `15x` as 15 beside a number, and compare texts by a collation that takes `a`
            // for `A` and `15 ` for `15`. Bytes are compared instead.
            Dialect::Mysql => (format!("(CAST(CONVERT(({expression}) USING utf8mb4) AS BINARY) IN ("), "))"),
            // In SQLite an integer never equals a text. A whole number in a REAL column is written without
            // its fraction, because SQLite's text of it is `15.0`. A subquery, so that the expression stands
            // in it once, with its parameters.
            Dialect::Sqlite => (
                format!(
                    "((SELECT CAST(iif(typeof(v) = 'real' AND v = CAST(v AS INTEGER), CAST(v AS INTEGER), v) AS TEXT) \
                     FROM (SELECT {expression} AS v)) IN ("
                ),
                "))",
            ),
        };
        self.text.push_str(&before);
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.text.push_str(", ");
            }
            self.placeholder(Binding::Scope(value.clone()));
        }
        self.text.push_str(after);
    }

    /// Appends a placeholder for a value of the place after which a page begins.
    pub(crate) fn page_key(&mut self, number: usize) {
        self.placeholder(Binding::PageKey(number));
    }

    /// Appends a placeholder for how many rows of a page are read.
    pub(crate) fn page_rows(&mut self) {
        self.placeholder(Binding::PageRows);
    }

    fn placeholder(&mut self, binding: Binding) {
        self.bindings.push(binding);
        match self.dialect {
            Dialect::Mysql | Dialect::Sqlite => self.text.push('?'),
            Dialect::Postgres => self.text.push_str(&format!("${}", self.bindings.len())),
        }
    }

    /// The text, and what is bound in it in order.
    pub(crate) fn finish(self) -> (String, Vec<Binding>) {
        (self.text, self.bindings)
    }
}
