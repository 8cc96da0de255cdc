//! Tests that the tutorials do what they say: their files are written, their commands run, their outputs
//! compared.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use chapar_test_servers::{Mariadb, Postgres};
use chapar_tests::binary::Demo;
use chapar_tests::tutorial::Tutorial;

#[test]
fn every_command_of_write_a_grant_says_what_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let compared = Tutorial::named("write-a-grant").follow(folder.path());
    assert!(compared >= 20, "{compared} lines are compared");
}

#[test]
fn a_citizens_question_is_answered_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let compared = Tutorial::named("answer-a-citizens-question").follow(folder.path());
    assert!(compared >= 18, "{compared} lines are compared");
}

#[test]
fn json_is_called_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let gateway = format!("https://{}", demo.json()["gateway"].as_str().unwrap());
    // The demo's story has spent the burst of this grant.
    let limit = &demo.json()["limits"]["welfare-getperson"];
    let refilled = limit["burst"].as_f64().unwrap() / limit["rate"].as_f64().unwrap();
    std::thread::sleep(std::time::Duration::from_secs_f64(refilled + 0.2));
    let tutorial = Tutorial::named("call-from-json").with("GATEWAY", &gateway);
    let compared = tutorial.with("CHAPAR_DEMO", demo.folder().to_str().unwrap()).follow(folder.path());
    assert!(compared >= 16, "{compared} lines are compared");
}

/// An API on a port of its own, which gives one person to whoever has the token. It ends with the test's
/// process.
fn people_api() -> std::net::SocketAddr {
    let page = chapar_tests::repository().join("docs/tutorial/publish-your-api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let record = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap().trim().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: &str| {
        let (status, body) = match request.split(' ').nth(1).unwrap() {
            _ if !request.to_lowercase().contains("authorization: bearer s3cret\r\n") => (401, "{}"),
            "/v1/people/0499370899" => (200, record.as_str()),
            _ => (404, "{}"),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                loop {
                    let mut request = String::new();
                    while !request.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut request).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    (&stream).write_all(answer(&request).as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// A port that was free a moment ago: the page names the gateway's address before it listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Ends what a page has left running, also if a step of it failed.
struct Leftovers<'f>(&'f Path);

impl Drop for Leftovers<'_> {
    fn drop(&mut self) {
        for name in ["adapter.pid", "gateway.pid"] {
            if let Ok(pid) = std::fs::read_to_string(self.0.join(name)) {
                Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status().ok();
            }
        }
    }
}

#[test]
fn a_bus_is_made_from_nothing_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("civil.db")).unwrap();
    database.execute_batch(&schema()).unwrap();
    let agency = Tutorial::named("publish-your-database").until("## When the database changes");
    agency.with("DATABASE", "sqlite:civil.db").with("OPTIONS", "").follow(folder.path());
    let _leftovers = Leftovers(folder.path());
    let tutorial =
        Tutorial::named("a-bus-from-nothing").with("LISTEN", &free_address()).with("ADMIN", &free_address());
    let compared = tutorial.follow(folder.path());
    assert!(compared >= 20, "{compared} lines are compared");
}

#[test]
fn an_api_is_published_word_by_word() {
    let folder = tempfile::tempdir().unwrap();
    secret(folder.path(), "api.token", "s3cret\n");
    let tutorial = Tutorial::named("publish-your-api")
        .with("API", &format!("http://{}/v1", people_api()))
        .with("OPTIONS", "--secret token=api.token");
    let compared = tutorial.follow(folder.path());
    assert!(compared >= 12, "{compared} lines are compared");
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
    secret(folder, "civil.password", "read only\n");
}

fn secret(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
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
