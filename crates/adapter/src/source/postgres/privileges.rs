//! `check` proves that a role can only read: it looks up what the role may do on every object of the
//! database, and refuses one that may change anything.

use tokio_postgres::Client;

/// Maximum number of objects that a refusal names.
const MAX_NAMED_OBJECTS: usize = 5;

/// What the role itself may do beside reading.
const ROLE: &str = "SELECT what FROM (VALUES
    ('is a superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)),
    ('may create roles', (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)),
    ('may create databases', (SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user)),
    ('may start replication', (SELECT rolreplication FROM pg_roles WHERE rolname = current_user)),
    ('may create schemas in the database', has_database_privilege(current_database(), 'CREATE')),
    ('owns tables, views or sequences', EXISTS (SELECT FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND pg_has_role(relowner, 'MEMBER'))),
    ('may run programs on the server', pg_has_role('pg_execute_server_program', 'MEMBER')),
    ('may read files of the server', pg_has_role('pg_read_server_files', 'MEMBER')),
    ('may write files of the server', pg_has_role('pg_write_server_files', 'MEMBER')),
    ('may end sessions of others', pg_has_role('pg_signal_backend', 'MEMBER'))
) AS may(what, holds) WHERE holds";

/// Objects that the role may change, and the privileges by which.
const OBJECTS: &str = "SELECT * FROM (
    SELECT c.oid::regclass::text AS object, concat_ws(', ',
        CASE WHEN has_any_column_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
        CASE WHEN has_any_column_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END,
        CASE WHEN has_table_privilege(c.oid, 'DELETE') THEN 'DELETE' END,
        CASE WHEN has_table_privilege(c.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
        CASE WHEN has_table_privilege(c.oid, 'TRIGGER') THEN 'TRIGGER' END) AS privileges
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT 'SEQUENCE ' || c.oid::regclass::text, concat_ws(', ',
        CASE WHEN has_sequence_privilege(c.oid, 'USAGE') THEN 'USAGE' END,
        CASE WHEN has_sequence_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END)
    FROM pg_class c WHERE c.relkind = 'S'
    UNION ALL
    SELECT 'SCHEMA ' || quote_ident(n.nspname), CASE WHEN has_schema_privilege(n.oid, 'CREATE') THEN 'CREATE' END
    FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS owned WHERE privileges <> '' ORDER BY 1";

/// Looks up everything that the role may do.
///
/// # Errors
/// What it may do beside reading, and the REVOKE that takes it away, ready to be pasted.
pub(super) async fn check(client: &Client, user: &str) -> Result<(), String> {
    let failed = |error: tokio_postgres::Error| {
        format!(
            "the privileges of `{user}` cannot be read: {}",
            super::failure::at_start(&error, user).detail
        )
    };
    let mut faults = Vec::new();
    for row in client.query_typed(ROLE, &[]).await.map_err(failed)? {
        faults.push(format!("it {}", row.get::<_, &str>(0)));
    }
    let objects = client.query_typed(OBJECTS, &[]).await.map_err(failed)?;
    for row in objects.iter().take(MAX_NAMED_OBJECTS) {
        let (object, privileges): (&str, &str) = (row.get(0), row.get(1));
        faults.push(format!("REVOKE {privileges} ON {object} FROM {user};"));
    }
    if objects.len() > MAX_NAMED_OBJECTS {
        faults.push(format!("and {} more objects", objects.len() - MAX_NAMED_OBJECTS));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the role `{user}` can do more than read, and an adapter's role must not: {}; give the adapter a role of its own that \
         has only SELECT (a privilege that PUBLIC or another role gives is revoked there)",
        faults.join(" ")
    ))
}
