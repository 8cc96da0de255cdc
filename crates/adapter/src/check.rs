//! `compare` checks a statement, as the live database describes it, against the contract. Wrong names, types
//! and parameters are findings. A nullable column for a field without presence is only logged: a NULL in it
//! is `NULL_IN_REQUIRED`.

use chapar_contract::Method;

use crate::finding::{Finding, did_you_mean};
use crate::form::Form;
use crate::method_file::{MethodFile, Name, Syntax};
use crate::shape::{Leaf, Shape};
use crate::source::{Column, Described, Family};
use crate::statement::Statement;

/// Compares a statement with its method. No finding means that the method can be served.
pub(crate) fn compare(
    method: &Method,
    shape: &Shape,
    statement: &Statement,
    described: &Described,
) -> Vec<Finding> {
    let file = statement.file();
    let mut findings = columns(method, shape, file, &described.columns);
    findings.extend(scope_findings(method.row_scopes(), statement, described));
    let parsed: Vec<&str> = file.parameters().iter().map(|name| name.text.as_str()).collect();
    // Values are bound by number: in another order they would be bound to other placeholders.
    if described.parameters.as_ref().is_some_and(|described| parsed != *described) {
        let text = "the database reads the statement's placeholders in another way than the parser does";
        findings.push(file.finding_about("", text));
    }
    findings
}

/// Compares the columns that a method's source gives with the contract and with what the file declares.
pub(crate) fn columns(method: &Method, shape: &Shape, file: &MethodFile, columns: &[Column]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let scopes = method.row_scopes();
    let message = method.output();
    for (index, column) in columns.iter().enumerate() {
        let name = &column.name;
        // SQL allows two columns of one name, and which of them is taken would be an accident.
        if columns.iter().take(index).any(|earlier| earlier.name == *name) {
            findings.push(file.finding_about(name, format!("two columns are named `{name}`")));
        }
        match shape.leaf(name) {
            Some(leaf) => {
                if let Some((expected, help)) = misfit(leaf, column) {
                    let declared = column.declared.as_deref().unwrap_or_default();
                    let message =
                        format!("column `{name}` is declared {declared}, the field needs {expected}");
                    findings.push(file.finding_about(name, message).with_help(help));
                }
                if column.nullable == Some(true) && !leaf.presence {
                    tracing::info!(
                        method = %method.path(), column = %name,
                        "the column may be NULL but the field has no presence: calls for a NULL fail as \
                         NULL_IN_REQUIRED"
                    );
                }
            }
            None if scopes.contains(name) => {}
            // A page may be ordered by what it does not show.
            None if file.page_by().iter().any(|key| key.name.text == *name) => {}
            None => {
                let text = format!("column `{name}` is no field of {} and no row scope", message.full_name());
                let finding = file.finding_about(name, text);
                let known = shape.leaves.iter().map(|leaf| leaf.column.as_str());
                findings.push(match did_you_mean(name, known) {
                    Some(help) => finding.with_help(help),
                    None => finding.with_help("leave it out, or give it an alias"),
                });
            }
        }
    }
    let missing = |name: &str| !columns.iter().any(|column| column.name == name);
    for leaf in shape.leaves.iter().filter(|leaf| missing(&leaf.column)) {
        let text =
            format!("no column is named `{}`, so the field `{}` has no source", leaf.column, leaf.path);
        let help = match file.syntax {
            Syntax::Sql => {
                let found: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                format!("the statement gives {}; add `… AS \"{}\"`", found.join(", "), leaf.column)
            }
            Syntax::Http => format!("add `# field {}: /POINTER`, its place in the answer", leaf.column),
        };
        findings.push(file.finding_about("", text).with_help(help));
    }
    findings.extend(conversion_findings(shape, file));
    findings.extend(sparse_findings(shape, file));
    findings
}

/// Findings for row scopes by which a grant could not narrow this statement.
fn scope_findings(scopes: &[String], statement: &Statement, described: &Described) -> Vec<Finding> {
    let file = statement.file();
    let scoping = statement.scoping();
    let missing = |name: &str| !described.columns.iter().any(|column| column.name == name);
    let mut findings = Vec::new();
    for placed in scoping.placed.iter().filter(|placed| !scopes.contains(&placed.scope)) {
        let text = format!("`chapar_rows({}, …)`: the contract has no such row scope", placed.scope);
        let finding = file.finding_about("chapar_rows", text);
        findings.push(match did_you_mean(&placed.scope, scopes.iter().map(String::as_str)) {
            Some(help) => finding.with_help(help),
            None => finding,
        });
    }
    for scope in scoping.open.iter().filter(|scope| scopes.contains(scope)) {
        let text = format!("`chapar_rows({scope}, …)` does not narrow every SELECT that reads a table");
        let help = format!(
            "in the WHERE of each, `chapar_rows({scope}, COLUMN)` is a condition of its own, joined by AND; look other things up by JOIN"
        );
        findings.push(file.finding_about("chapar_rows", text).with_help(help));
    }
    let unplaced = scopes.iter().filter(|scope| !scoping.placed.iter().any(|placed| placed.scope == **scope));
    // The condition of a scope that is not placed stands around the statement, and can only read the
    // statement's columns.
    // An aggregate of the agency's own has a name that only the database knows.
    let aggregate = described.aggregate.as_ref().map(|name| format!("`{name}` makes one value of many rows"));
    for scope in unplaced {
        match scoping.not_outside.as_ref().or(aggregate.as_ref()) {
            Some(why) => {
                let text = format!("rows by `{scope}` cannot be told from outside of this statement: {why}");
                let help = format!(
                    "place the scope where the rows are read: `WHERE … AND chapar_rows({scope}, COLUMN)`"
                );
                findings.push(file.finding_about("", text).with_help(help));
            }
            None if missing(scope) => {
                let text = format!("the row scope `{scope}` is no column of the statement");
                let help = format!("select it, or place it: `WHERE … AND chapar_rows({scope}, COLUMN)`");
                findings.push(file.finding_about("", text).with_help(help));
            }
            None => {}
        }
    }
    findings
}

/// Columns that are declared sparse and fill no field, or one that cannot be unset.
fn sparse_findings(shape: &Shape, file: &MethodFile) -> Vec<Finding> {
    let finding = |name: &Name| {
        let text = match shape.leaf(&name.text) {
            Some(leaf) if leaf.presence => return None,
            Some(leaf) => {
                format!(
                    "`sparse: {}`: NULL in it is an error, as the field `{}` has no presence",
                    name.text, leaf.path
                )
            }
            None => format!("`sparse: {}` is no column that fills a field", name.text),
        };
        let finding = file.finding_at(name, text);
        let known = shape.leaves.iter().filter(|leaf| leaf.presence).map(|leaf| leaf.column.as_str());
        Some(match did_you_mean(&name.text, known) {
            Some(help) => finding.with_help(help),
            None => finding,
        })
    };
    file.sparse().iter().filter_map(finding).collect()
}

/// Declared conversions of columns that the method does not have, or whose field they cannot make.
fn conversion_findings(shape: &Shape, file: &MethodFile) -> Vec<Finding> {
    // A declaration that fits nothing is most likely a slip in a name, and its column would go out
    // unconverted.
    let mut findings = Vec::new();
    for declared in file.conversions() {
        let name = &declared.name;
        let leaf = shape.leaf(&name.text);
        if leaf.is_some_and(|leaf| declared.value.makes(&leaf.form)) {
            continue;
        }
        let text = match leaf {
            Some(leaf) => {
                format!("`column {}`: the field `{}` cannot be made by this conversion", name.text, leaf.path)
            }
            None => format!("`column {}` is no column that fills a field", name.text),
        };
        let finding = file.finding_at(name, text);
        findings.push(match did_you_mean(&name.text, shape.leaves.iter().map(|leaf| leaf.column.as_str())) {
            Some(help) if leaf.is_none() => finding.with_help(help),
            _ => finding,
        });
    }
    findings
}

/// What the field needs, and how to correct the statement, if values of this column can never fill the field.
fn misfit(leaf: &Leaf, column: &Column) -> Option<(&'static str, String)> {
    // An expression has no declared type, so its values are checked row by row.
    if column.family == Family::Unknown {
        return None;
    }
    if let Some(conversion) = &leaf.conversion {
        let fits = conversion.families().contains(&column.family);
        return (!fits)
            .then(|| ("text that the declared conversion reads", "leave the conversion out".to_owned()));
    }
    let form = &leaf.form;
    let (families, expected): (&[Family], _) = match form {
        Form::Bool => (&[Family::Bool, Family::Integer, Family::Numeric], "a boolean, or 0 and 1"),
        Form::String => (&[Family::Text, Family::Decimal], "text"),
        Form::Bytes => (&[Family::Blob], "a blob"),
        Form::Date => (&[Family::Date, Family::Text, Family::Numeric], "a date, also as text `YYYY-MM-DD`"),
        Form::Timestamp => (
            &[Family::Timestamp, Family::Text, Family::Numeric, Family::Integer],
            "a moment, also as RFC 3339 text",
        ),
        Form::Double | Form::Float => {
            (&[Family::Real, Family::Integer, Family::Decimal, Family::Numeric], "a number")
        }
        Form::Decimal => (
            &[Family::Decimal, Family::Integer, Family::Text, Family::Numeric],
            "a decimal number, also as text",
        ),
        Form::Json(_) => {
            (&[Family::Text, Family::Array, Family::Numeric], "JSON, as text or of the database's JSON type")
        }
        Form::Duration => (&[Family::Duration], "an interval; for seconds use an integer, and name its unit"),
        Form::TimeOfDay => (&[Family::Time, Family::Text], "a time of day, also as text `HH:MM:SS`"),
        Form::Enum(_) => (&[Family::Integer, Family::Text, Family::Numeric], "a name or number of the enum"),
        _ => (&[Family::Integer, Family::Decimal, Family::Numeric], "an integer"),
    };
    let conversion = match form {
        Form::Double | Form::Float => "number",
        Form::Bool
        | Form::Bytes
        | Form::Date
        | Form::Decimal
        | Form::Duration
        | Form::Enum(_)
        | Form::Json(_)
        | Form::String
        | Form::TimeOfDay
        | Form::Timestamp => "",
        _ => "integer",
    };
    // The advice names exact conversions only, because a CAST changes values without an error.
    let help = match (column.family, form) {
        (Family::Text, _) if !conversion.is_empty() => format!(
            "begin the file with `-- column {}: {conversion}`, which fails for a text that is not wholly a number; CAST would make another number of it",
            leaf.column
        ),
        (Family::Text, Form::Bool) => "say which texts are true and which are false: `CASE column WHEN 'T' THEN 1 WHEN 'F' THEN 0 ELSE column END`; what is neither then fails for its row".to_owned(),
        (Family::DateTime, Form::Timestamp) => format!(
            "it has no time zone: begin the file with `-- column {}: zone \"Asia/Tehran\"`, the zone in which it is written",
            leaf.column
        ),
        (Family::Integer | Family::Numeric, Form::String) => "an integer as text loses leading zeros: `printf('%010d', column)` gives ten digits in SQLite, `lpad(CAST(column AS text), 10, '0')` in PostgreSQL, `LPAD(column, 10, '0')` in MariaDB".to_owned(),
        _ => "give the field the column's type in the contract, or select an expression that is exact for every value".to_owned(),
    };
    (!families.contains(&column.family)).then_some((expected, help))
}
