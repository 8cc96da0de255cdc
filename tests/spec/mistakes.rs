//! The mistakes that the tutorial *Publish your database* lists are made one by one, and each is told in the
//! words of its table.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use chapar_test_servers::Postgres;
use chapar_tests::binary::chapar;
use chapar_tests::repository;

const PROTO: &str = r#"syntax = "proto3";
package civil.v1;
import "chapar/contract/v1/options.proto";
import "google/protobuf/timestamp.proto";
service CivilRegistry {
  rpc GetPerson(Ask) returns (Person) {
    option (chapar.contract.v1.method) = { subject: "national_id" purposes: ["loan.farm"] };
  }
}
message Ask { string national_id = 1; }
message Person {
  string national_id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  string title = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  google.protobuf.Timestamp registered = 3 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
}
"#;
const TABLE: &str = "CREATE TABLE person (national_id text NOT NULL PRIMARY KEY, title text NOT NULL, titel text NOT NULL, \
                     code integer NOT NULL, registered timestamptz NOT NULL, local timestamp NOT NULL);";
const SELECT: &str = "SELECT national_id, title, registered FROM person WHERE national_id = :national_id";

/// What is done otherwise than it should be.
#[derive(Default)]
struct Mistake {
    sql: String,
    url: Option<String>,
    statement: Option<&'static str>,
}

/// The mistake of a row of the table.
fn mistake(row: &str, role: &str, url: &str) -> Mistake {
    let sql = |sql: String| Mistake { sql, ..Mistake::default() };
    let statement = |statement| Mistake { statement: Some(statement), ..Mistake::default() };
    match row {
        "the role may write" => sql(format!("GRANT INSERT ON person TO {role}")),
        "the role may not read a table" => sql(format!("REVOKE SELECT ON person FROM {role}")),
        "the password in the URL" => {
            Mistake { url: Some(url.replace('@', ":secret@")), ..Mistake::default() }
        }
        "a server on another machine without `ca`" => {
            Mistake { url: Some(format!("postgres://{role}@10.0.0.1:5432/civil")), ..Mistake::default() }
        }
        "a misspelt column" => {
            statement("SELECT national_id, titel, registered FROM person WHERE national_id = :national_id")
        }
        "a misspelt parameter" => {
            statement("SELECT national_id, title, registered FROM person WHERE national_id = :nationl_id")
        }
        "a number where the field is text" => statement(
            "SELECT national_id, code AS title, registered FROM person WHERE national_id = :national_id",
        ),
        "a time without a zone" => statement(
            "SELECT national_id, title, local AS registered FROM person WHERE national_id = :national_id",
        ),
        other => panic!("the table has a mistake that is not tried: {other}"),
    }
}

/// What `chapar adapter try` says when the mistake is made.
fn said(folder: &Path, url: &str, statement: &str) -> String {
    let statements = folder.join("civil/v1/CivilRegistry");
    std::fs::create_dir_all(&statements).unwrap();
    std::fs::write(folder.join("civil/v1/civil.proto"), PROTO).unwrap();
    std::fs::write(statements.join("GetPerson.sql"), statement).unwrap();
    let password = folder.join("password");
    std::fs::write(&password, "read only\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = format!(
        "[adapter]\nidentity = {{ cert = \"a\", key = \"a\", trust = \"a\" }}\ncontracts = [\"civil\"]\ndial = \"127.0.0.1:1\"\n\
         gateways = [\"spiffe://lorestan.example/bus/lorestan/gateway\"]\n[source.civil]\nurl = \"{url}\"\npassword_file = \"password\"\n"
    );
    std::fs::write(folder.join("adapter.toml"), settings).unwrap();
    let mut command = Command::new(chapar());
    command.args(["adapter", "try", "GetPerson", "national_id=0499370899", "--config", "adapter.toml"]);
    let output = command.current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).replace('`', "")
}

#[test]
fn each_mistake_of_the_tutorial_is_told_in_its_words() {
    let page = repository().join("docs/tutorial/publish-your-database.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split("| mistake | what is said |").nth(1).unwrap();
    let rows: Vec<(&str, &str)> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .collect();
    assert_eq!(rows.len(), 8, "{rows:?}");
    let server = Postgres::shared();
    for (row, words) in rows {
        let role = server.create_database("civil");
        server.sql(
            &role,
            &format!(
                "{TABLE} CREATE ROLE {role} LOGIN PASSWORD 'read only'; GRANT SELECT ON person TO {role};"
            ),
        );
        let url = format!("postgres://{role}@127.0.0.1:{}/{role}", server.port());
        let folder = tempfile::tempdir().unwrap();
        let good = said(folder.path(), &url, SELECT);
        assert!(good.contains("RECORD_NOT_FOUND"), "without a mistake: {good}");

        let Mistake { sql, url: other, statement } = mistake(row, &role, &url);
        server.sql(&role, &sql);
        let said = said(folder.path(), other.as_deref().unwrap_or(&url), statement.unwrap_or(SELECT));
        assert!(!said.contains("RECORD_NOT_FOUND"), "{row}: {said}");
        // What is between back quotes is said as it stands, with anything in place of `…`.
        let quoted = words.split('`').skip(1).step_by(2);
        for part in quoted.flat_map(|words| words.split('…')) {
            let part = part.replace("civil_ro", &role);
            assert!(said.contains(part.trim()), "{row}: {part} in {said}");
        }
        assert!(!said.contains("secret"), "{row}: {said}");
    }
}
