//! This module reads PostgreSQL's system tables. `pg_catalog` is asked and not `information_schema`, which
//! hides constraints from a role that only reads.

use tokio_postgres::Client;

use super::failure;
use crate::source::Failure;
use crate::source::catalogue::{Catalogue, Field, Kind, Reference, Relation, grouped, values_of_check};

/// What the role may read in its search path, apart from partitions and extensions' own.
const RELATIONS: &str = "
    SELECT n.nspname::text, c.relname::text, obj_description(c.oid, 'pg_class'), pg_table_is_visible(c.oid), c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (current_schemas(false)) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND has_schema_privilege(n.oid, 'USAGE')
        AND has_any_column_privilege(c.oid, 'SELECT')
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
    ORDER BY 1, 2";

/// Columns that the role may read. A domain counts as its base type, an array as its elements.
const COLUMNS: &str = "
    WITH RECURSIVE base(attrelid, attnum, type, modifier, required) AS (
        SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod, a.attnotnull FROM pg_attribute a
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT b.attrelid, b.attnum, t.typbasetype, t.typtypmod, b.required OR t.typnotnull
        FROM base b JOIN pg_type t ON t.oid = b.type AND t.typtype = 'd')
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text, t.typcategory = 'A' AND t.typelem <> 0,
        b.required, col_description(a.attrelid, a.attnum),
        (SELECT array_agg(v.enumlabel::text ORDER BY v.enumsortorder) FROM pg_enum v WHERE v.enumtypid = t.oid),
        (SELECT element.typname::text FROM pg_type element WHERE element.oid = t.typelem)
    FROM base b JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
    JOIN pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
    WHERE has_column_privilege(a.attrelid, a.attnum, 'SELECT') ORDER BY a.attnum";

/// Unique keys of whole rows of plain columns, the primary key first.
const KEYS: &str = "
    SELECT i.relname::text, a.attname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    CROSS JOIN unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
    WHERE x.indrelid = $1 AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
        AND k.place <= x.indnkeyatts
    ORDER BY x.indisprimary DESC, x.indnkeyatts, i.relname, k.place";

const REFERENCES: &str = "
    SELECT k.conname::text, a.attname::text, k.confrelid::regclass::text FROM pg_constraint k
    CROSS JOIN unnest(k.conkey) WITH ORDINALITY AS p(attnum, place)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum
    WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname, p.place";

/// Conditions on one column.
const CHECKS: &str = "
    SELECT a.attname::text, pg_get_expr(k.conbin, k.conrelid) FROM pg_constraint k
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
    WHERE k.conrelid = $1 AND k.contype = 'c'";

/// Reads everything that the role may read.
pub(super) async fn read(client: &Client, user: &str) -> Result<Catalogue, Failure> {
    let failed = |error: tokio_postgres::Error| failure::at_start(&error, user);
    let mut relations = Vec::new();
    for row in client.query(RELATIONS, &[]).await.map_err(failed)? {
        let (schema, is_visible, oid): (String, bool, u32) = (row.get(0), row.get(3), row.get(4));
        let mut relation = Relation {
            schema: (!is_visible).then_some(schema),
            name: row.get(1),
            comment: row.get(2),
            ..Relation::default()
        };
        for row in client.query(COLUMNS, &[&oid]).await.map_err(failed)? {
            let values: Option<Vec<String>> = row.get(6);
            let element: Option<String> = row.get(7);
            let own = values.map_or_else(|| kind(row.get(2)), Kind::Enum);
            let is_array: bool = row.get(3);
            relation.columns.push(Field {
                name: row.get(0),
                declared: row.get(1),
                kind: if is_array { list(element.as_deref().unwrap_or_default()) } else { own },
                nullable: !row.get::<_, bool>(4),
                comment: row.get(5),
            });
        }
        let own = relation.name.clone();
        let rows = client.query(KEYS, &[&oid]).await.map_err(failed)?;
        let rows = rows.iter().map(|row| (own.clone(), row.get(0), row.get(1)));
        relation.keys = grouped(rows).into_iter().map(|(.., columns)| columns).collect();
        let rows = client.query(REFERENCES, &[&oid]).await.map_err(failed)?;
        // The other table stands where `grouped` keeps the relation, so that it is kept with the columns.
        let rows = rows.iter().map(|row| (row.get(2), row.get(0), row.get(1)));
        relation.references =
            grouped(rows).into_iter().map(|(table, _, columns)| Reference { columns, table }).collect();
        for row in client.query(CHECKS, &[&oid]).await.map_err(failed)? {
            let (column, expression): (String, String) = (row.get(0), row.get(1));
            let own = relation.columns.iter_mut().find(|own| own.name == column && own.kind == Kind::Text);
            if let (Some(own), Some(values)) = (own, values_of_check(&expression)) {
                own.kind = Kind::Enum(values);
            }
        }
        relations.push(relation);
    }
    Ok(Catalogue { relations })
}

fn kind(name: &str) -> Kind {
    match name {
        "bool" => Kind::Bool,
        "int2" | "int4" => Kind::Int32,
        "int8" | "oid" => Kind::Int64,
        "float4" | "float8" => Kind::Double,
        "numeric" => Kind::Decimal,
        "text" | "varchar" | "bpchar" | "name" | "xml" | "citext" | "uuid" | "json" | "jsonb" => Kind::Text,
        "bytea" => Kind::Blob,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "timestamp" => Kind::DateTime,
        "timestamptz" => Kind::Timestamp,
        "interval" => Kind::Duration,
        _ => Kind::Other,
    }
}

/// An array is read as JSON, whose numbers, texts and booleans are protobuf's.
fn list(element: &str) -> Kind {
    match kind(element) {
        simple @ (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Text) => {
            Kind::List(Box::new(simple))
        }
        _ => Kind::Other,
    }
}
