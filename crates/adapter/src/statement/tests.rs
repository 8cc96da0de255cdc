//! Tests of which statements are accepted, which are refused, and what each refusal says.

use super::*;
use crate::conversion::Conversion;
use crate::dialect::Binding;
use crate::method_file::{BoundForm, Name};

fn parse(text: &str) -> Result<Statement, String> {
    Statement::parse(Path::new("m.sql"), text.to_owned(), Dialect::Sqlite)
        .map_err(|finding| finding.to_string())
}

fn written(statement: &Statement, rows: &RowScopes) -> (String, Vec<Binding>) {
    let mut sql = SqlText::new(statement.dialect());
    statement.write(rows, &mut sql);
    sql.finish()
}

fn names(names: &[Name]) -> Vec<&str> {
    names.iter().map(|name| name.text.as_str()).collect()
}

#[test]
fn placeholders_are_found_once_and_in_order() {
    let statement = parse("SELECT a, :city AS c FROM t\nWHERE id = :id AND :city <> '' -- :no\n;\n").unwrap();
    assert_eq!(names(statement.file().parameters()), ["city", "id"]);
    let (sql, bindings) = written(&statement, &RowScopes::default());
    assert!(sql.ends_with("<> ''"), "{sql}");
    assert_eq!(bindings, [Binding::Request(0), Binding::Request(1)]);
}

#[test]
fn text_in_literals_comments_and_quoted_names_is_no_placeholder() {
    let statement =
        parse("SELECT ':a', \":b\", [:c] /* :d */ FROM t WHERE x = 'it''s :e' AND y = :f").unwrap();
    assert_eq!(names(statement.file().parameters()), ["f"]);
}

#[test]
fn unused_fields_are_declared_in_the_leading_comment() {
    let statement = parse("-- The farmer.\n-- unused: a, b\nSELECT 1 -- unused: c\n").unwrap();
    assert_eq!(names(statement.file().unused()), ["a", "b"]);
}

#[test]
fn everything_but_one_select_is_refused_with_its_place() {
    for (text, finding) in [
        ("", "m.sql:1:1: holds no statement"),
        ("-- nothing\n", "m.sql:1:1: holds no statement"),
        ("SELECT 1;\n  SELECT 2", "m.sql:2:3: a second statement"),
        ("SELECT 1; DROP TABLE person", "m.sql:1:11: a second statement"),
        ("\nDELETE FROM t", "m.sql:2:1: only a SELECT is allowed"),
        ("INSERT INTO t VALUES (1)", "m.sql:1:1: only a SELECT"),
        ("UPDATE t SET a = 1", "m.sql:1:1: only a SELECT"),
        ("REPLACE INTO t VALUES (1)", "m.sql:1:1: only a SELECT"),
        ("PRAGMA query_only = 0", "m.sql:1:1: only a SELECT"),
        ("ATTACH DATABASE 'x' AS y", "m.sql:1:1: only a SELECT"),
        ("CREATE TABLE t (a)", "m.sql:1:1: only a SELECT"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "m.sql:1:1: only a SELECT"),
        ("SELECT a INTO b FROM t", "m.sql:1:1: only a SELECT"),
        ("SELECT a FROM t FOR UPDATE", "m.sql:1:1: only a SELECT"),
        ("SELECT a\nFROM t WHERE id = ?", "m.sql:2:19: `?` is no placeholder"),
        ("SELECT a FROM t WHERE id = $id", "m.sql:1:28: `$id` is no placeholder"),
        ("SELECT a FROM t WHERE id = @id", "m.sql:1:28:"),
        ("SELECT a FROM t WHERE id = :1", "m.sql:1:28:"),
        ("SELECT 'open", "m.sql:1:8: Unterminated string literal"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with(finding), "{text:?}: {error}");
    }
}

#[test]
fn what_the_parser_does_not_know_is_left_to_the_database() {
    let doubt = |text: &str| parse(text).unwrap().unknown_to_parser().map(ToString::to_string);
    let told = doubt("SELECT a\nFROM t WHERE (").unwrap();
    assert_eq!(told, "m.sql:2:15: Expected: an expression, found: EOF");
    assert!(doubt("SELECT a FROM t WHERE a = :a").is_none());
    // A second statement and a write stay refused, whatever the parser knows of the rest.
    assert!(parse("SELECT a FROM t WHERE ( ; DROP TABLE t").unwrap_err().contains("a second statement"));
    assert!(parse("UPSERT t SET (").unwrap_err().contains("only a SELECT"));
}

#[test]
fn the_leading_comment_declares_conversions_and_bound_forms() {
    let text = "-- Fines of a driver.\n-- column amount: integer\n-- bind mobile: national\n-- column of prose: x\nSELECT 1";
    let statement = parse(text).unwrap();
    let [amount] = statement.file().conversions() else { panic!("{statement:?}") };
    assert_eq!((amount.name.text.as_str(), &amount.value), ("amount", &Conversion::Integer));
    let [mobile] = statement.file().bound_forms() else { panic!("{statement:?}") };
    assert_eq!((mobile.name.text.as_str(), mobile.value), ("mobile", BoundForm::National));
    for (text, finding) in [
        ("-- column amount: int\nSELECT 1", "m.sql:1:1: `int` is no conversion"),
        ("-- column a: integer\n-- column a: number\nSELECT 1", "m.sql:2:1: a second declaration about `a`"),
        ("\n-- bind mobile: local\nSELECT 1", "m.sql:2:1: `local` is no form of a bound value"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with(finding), "{text:?}: {error}");
    }
}

#[test]
fn a_scope_that_the_statement_places_is_bound_where_it_stands() {
    let text =
        "SELECT count(*) AS n FROM t WHERE a = :a AND chapar_rows(province, coalesce(p.prov, 0)) AND b = :b";
    let statement = parse(text).unwrap();
    let rows = RowScopes::from_header("province=15,16").unwrap();
    let (sql, bindings) = written(&statement, &rows);
    assert!(sql.contains("(SELECT coalesce(p.prov, 0) AS v)) IN (?, ?)) AND b = :b"), "{sql}");
    let scope = |value: &str| Binding::Scope(value.to_owned());
    assert_eq!(bindings, [Binding::Request(0), scope("15"), scope("16"), Binding::Request(1)]);
    let (sql, bindings) = written(&statement, &RowScopes::default());
    assert!(sql.contains("a = :a AND (1 = 1) AND b = :b"), "{sql}");
    assert_eq!(bindings, [Binding::Request(0), Binding::Request(1)]);
}

#[test]
fn a_filter_outside_is_the_same_as_inside_for_a_plain_select_only() {
    let why = |text: &str| parse(text).unwrap().scoping().not_outside.clone();
    for plain in [
        "SELECT a, province FROM t JOIN u USING (id) WHERE x = :x ORDER BY day DESC",
        "SELECT lower(a) AS a, \"limit\" AS province FROM t -- GROUP BY\n",
        "SELECT 'LIMIT 1' AS a, province FROM t",
    ] {
        assert_eq!(why(plain), None, "{plain}");
    }
    for (text, named) in [
        ("SELECT a, province FROM t ORDER BY day DESC LIMIT 2", "LIMIT"),
        ("SELECT a, province FROM t LIMIT 2 OFFSET 1", "LIMIT"),
        ("SELECT count(*) AS n, province FROM t", "`count`"),
        ("SELECT max(day) AS day, province FROM t", "`max`"),
        ("SELECT \"count\"(*) AS n, province FROM t", "`count`"),
        ("SELECT [max](day) AS day, province FROM t", "`max`"),
        ("SELECT a, province FROM t GROUP BY a", "GROUP"),
        ("SELECT DISTINCT a, province FROM t", "DISTINCT"),
        ("SELECT a, row_number() OVER (ORDER BY a) AS n, province FROM t", "OVER"),
        ("SELECT a, province FROM t UNION SELECT b, province FROM u", "UNION"),
        ("SELECT a, (SELECT b FROM u) AS b, province FROM t", "more than one SELECT"),
        ("SELECT a, province FROM (SELECT a, province FROM t)", "more than one SELECT"),
        ("WITH x AS (SELECT a, province FROM t) SELECT a, province FROM x", "WITH"),
        ("SELECT a, province FROM t WHERE EXISTS (SELECT 1 FROM u)", "more than one SELECT"),
        ("SELECT a, province FROM t OFFSET 1", "OFFSET"),
        ("SELECT a, province FROM t FETCH FIRST 2 ROWS ONLY", "FETCH"),
        ("SELECT a, province FROM t HAVING a > 1", "HAVING"),
        ("SELECT a, province FROM t WINDOW w AS (ORDER BY a)", "WINDOW"),
        ("SELECT a, province FROM t WHERE (a, province) IN (VALUES ('a', '15'))", "VALUES"),
        ("SELECT a, province FROM t INTERSECT SELECT b, province FROM u", "INTERSECT"),
        ("SELECT a, province FROM t EXCEPT SELECT b, province FROM u", "EXCEPT"),
    ] {
        assert!(why(text).is_some_and(|why| why.contains(named)), "{text}: {:?}", why(text));
    }
}

#[test]
fn a_scope_narrows_only_where_it_is_a_condition_of_its_own_in_every_select_that_reads_a_table() {
    let open = |text: &str| parse(text).unwrap().scoping().open.clone();
    for narrowed in [
        "SELECT count(*) FROM t WHERE chapar_rows(p, q)",
        "SELECT a FROM t WHERE a BETWEEN 1 AND 2 AND chapar_rows(p, q) AND (b OR c) ORDER BY a LIMIT 1",
        "SELECT a FROM (SELECT a FROM t WHERE chapar_rows(p, q)) AS x WHERE a > 1",
        "WITH x AS (SELECT a FROM t WHERE chapar_rows(p, q)), y(a) AS (SELECT a FROM x) SELECT a FROM y JOIN x USING (a)",
        "SELECT a FROM t WHERE chapar_rows(p, q) UNION SELECT a FROM u WHERE chapar_rows(p, r)",
        "SELECT a FROM t JOIN u USING (b) WHERE chapar_rows(p, q) UNION SELECT 1",
        "SELECT a FROM t AS v WHERE v.b IN (SELECT b FROM u WHERE chapar_rows(p, q)) AND chapar_rows(p, r)",
        "WITH x AS NOT MATERIALIZED (SELECT a FROM t WHERE chapar_rows(p, q)) SELECT a AS x FROM x",
        "WITH RECURSIVE x(n) AS (SELECT a FROM t WHERE chapar_rows(p, q) UNION SELECT n + 1 FROM x) SELECT n FROM x",
        "SELECT a FROM (WITH x AS (SELECT a FROM t WHERE chapar_rows(p, q)) SELECT a FROM x)",
    ] {
        assert!(open(narrowed).is_empty(), "{narrowed}");
    }
    for text in [
        "SELECT a FROM t WHERE chapar_rows(p, q) UNION ALL SELECT a FROM u",
        "SELECT a, chapar_rows(p, q) AS n FROM t",
        "SELECT a FROM t WHERE a = 1 OR chapar_rows(p, q)",
        "SELECT a FROM t WHERE NOT chapar_rows(p, q)",
        "SELECT a FROM t WHERE a BETWEEN 1 AND chapar_rows(p, q)",
        "SELECT a FROM t WHERE 1 = chapar_rows(p, q)",
        "SELECT a FROM t WHERE chapar_rows(p, q) = 0",
        "SELECT a FROM t WHERE CASE WHEN b AND chapar_rows(p, q) THEN 1 END",
        "SELECT a FROM t WHERE (chapar_rows(p, q) OR 1 = 1)",
        "SELECT a FROM t LEFT JOIN u ON chapar_rows(p, q)",
        "SELECT a FROM t ORDER BY chapar_rows(p, q)",
        "WITH x AS (SELECT a FROM t WHERE chapar_rows(p, q)), y AS (SELECT a FROM u) SELECT a FROM x, y",
        "SELECT (SELECT count(*) FROM u) AS n FROM t WHERE chapar_rows(p, q)",
        "SELECT a FROM (SELECT a FROM t) WHERE chapar_rows(p, q)",
        "SELECT a FROM x, (t JOIN u) WHERE 1 = 1 UNION SELECT a FROM t WHERE chapar_rows(p, q)",
        // What looks like a named query and is a table.
        "SELECT a FROM t AS v WHERE v.b IN (SELECT b FROM t WHERE chapar_rows(p, q))",
        "SELECT a AS t, b FROM t WHERE b IN (SELECT b FROM u WHERE chapar_rows(p, q))",
        "SELECT a FROM t WHERE b IN (WITH t AS (SELECT b FROM u WHERE chapar_rows(p, q)) SELECT b FROM t)",
        "WITH main AS (SELECT a FROM t WHERE chapar_rows(p, q)) SELECT a FROM main.t",
        "WITH t AS (SELECT a FROM t) SELECT a FROM t WHERE chapar_rows(p, q)",
        "WITH x AS (SELECT a FROM t), t AS (SELECT a FROM u WHERE chapar_rows(p, q)) SELECT a FROM x",
        // A table that is read without a SELECT.
        "SELECT a FROM t WHERE chapar_rows(p, q) AND (b IN u)",
    ] {
        assert_eq!(open(text), ["p"], "{text}");
    }
}

#[test]
fn a_scope_that_is_placed_in_another_form_is_a_finding() {
    for text in [
        "SELECT a FROM t WHERE chapar_rows(province)",
        "SELECT a FROM t WHERE chapar_rows(province, )",
        "SELECT a FROM t WHERE chapar_rows('province', p)",
        "SELECT a FROM t WHERE chapar_rows(province, p, q)",
        "SELECT a FROM t WHERE chapar_rows(province, :p)",
        "SELECT a FROM t WHERE chapar_rows()",
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with("m.sql:1:"), "{text}: {error}");
    }
}

#[test]
fn a_declaration_that_is_misspelt_is_a_finding_and_prose_is_none() {
    for (text, right) in [
        ("-- column day jalali YYYY/MM/DD", "-- column day: jalali YYYY/MM/DD"),
        ("-- Column day: integer", "-- column day: integer"),
        ("-- colum day: integer", "-- column day: integer"),
        ("/* column day: integer */", "-- column day: integer"),
        ("-- bind mobile given", "-- bind mobile: given"),
        ("-- Bind mobile: national", "-- bind mobile: national"),
    ] {
        let found = parse(&format!("{text}\nSELECT 1 AS day")).err();
        let found = found.unwrap_or_else(|| panic!("{text} is passed over"));
        assert!(found.contains(&format!("this comment declares nothing: write `{right}`")), "{found}");
    }
    for prose in ["-- column of prose: x", "-- bind it well", "/* A column a day */", "-- Columns are text."]
    {
        parse(&format!("{prose}\nSELECT 1 AS day")).unwrap_or_else(|error| panic!("{prose}: {error}"));
    }
}

#[test]
fn nesting_without_end_is_a_finding_and_not_a_crash() {
    let text = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse(&text).is_err());
}
