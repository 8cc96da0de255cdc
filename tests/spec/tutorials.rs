//! Tests that the tutorials do what they say: their files are written, their commands run, their outputs
//! compared.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chapar_test_servers::{Mariadb, Postgres};
use chapar_tests::tutorial::Tutorial;

#[test]
fn every_command_of_write_a_grant_says_what_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let compared = Tutorial::named("write-a-grant").follow(folder.path());
    assert!(compared >= 20, "{compared} lines are compared");
}

/// The tables of the page, as they stand there.
fn schema() -> String {
    let tutorial =
        std::fs::read_to_string(chapar_tests::repository().join("docs/tutorial/publish-your-database.md"));
    let tutorial = tutorial.unwrap();
    let tables = tutorial.split("```sql\n").find(|block| block.starts_with("CREATE TABLE")).unwrap();
    let mut schema = tables.split("```").next().unwrap().to_owned();
    for (number, id) in
        ["0499370899", "0084575948", "0963695398", "0684159414", "1234567891"].iter().enumerate()
    {
        schema.push_str(&format!(
            "INSERT INTO person VALUES ('{id}', 'Zahra', 'Ahmadi', '137{number}/02/03', NULL);
             INSERT INTO address VALUES ('{id}', 1, 'Khorramabad');\n"
        ));
    }
    schema
}

/// Follows the page with a database at this URL and its console.
fn publish(folder: &Path, url: &str, options: &str, console: impl Fn(&str) + 'static) {
    let tutorial = Tutorial::named("publish-your-database").with("DATABASE", url).with("OPTIONS", options);
    let tutorial = tutorial.with_console(console);
    let compared = tutorial.follow(folder);
    assert!(compared >= 15, "{compared} lines are compared");
}

/// A password in a file of the page's name.
fn password(folder: &Path) {
    let file = folder.join("civil.password");
    std::fs::write(&file, "read only\n").unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_postgresql_database_is_published_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::shared();
    let name = server.create_database("civil");
    server.sql(&name, &schema());
    server.sql(
        &name,
        &format!("CREATE ROLE {name} LOGIN PASSWORD 'read only'; GRANT SELECT ON person, address TO {name};"),
    );
    password(folder.path());
    let url = format!("postgres://{name}@127.0.0.1:{}/{name}", server.port());
    publish(folder.path(), &url, "--password-file civil.password", move |sql| server.sql(&name, sql));
}

#[test]
fn a_mariadb_database_is_published_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let server = Mariadb::shared();
    let name = server.create_database("civil");
    server.sql(&name, &schema());
    server.sql(
        &name,
        &format!(
            "CREATE USER '{name}'@'%' IDENTIFIED BY 'read only'; GRANT SELECT ON {name}.* TO '{name}'@'%';"
        ),
    );
    password(folder.path());
    let url = format!("mysql://{name}@127.0.0.1:{}/{name}", server.port());
    publish(folder.path(), &url, "--password-file civil.password", move |sql| server.sql(&name, sql));
}

#[test]
fn an_sqlite_database_is_published_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("civil.db")).unwrap();
    database.execute_batch(&schema()).unwrap();
    publish(folder.path(), "sqlite:civil.db", "", move |sql| database.execute_batch(sql).unwrap());
}
