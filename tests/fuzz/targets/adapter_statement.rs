//! This target reads arbitrary text as the one statement of an adapter, and checks it against a database. The
//! statement is accepted, or every finding has a place in the file and can be shown. The database is never
//! changed.
//!
//! The parser of statements is private, so this goes through [`Adapter::check`] and is slow (some 100 a
//! second).
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use chapar_adapter::{Adapter, Config, Error};
use chapar_fuzz::{allow_caught_panics, assert_inside, assert_renders, folder};
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;

const PROTO: &str = r#"syntax = "proto3";
package desk.v1;
import "chapar/contract/v1/options.proto";
service Desk {
  rpc Get(Ask) returns (Person) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["desk.read"] row_scopes: ["province"] };
  }
}
message Ask { string id = 1; }
message Person {
  string id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  string name = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
}
"#;
const SCHEMA: &str = "CREATE TABLE person (id TEXT NOT NULL, name TEXT, province INTEGER);
    INSERT INTO person VALUES ('1', 'زهرا', 15), ('2', 'Ali', 16);";
const SETTINGS: &str = r#"
[adapter]
identity = { cert = "none", key = "none", trust = "none" }
contracts = ["desk"]
listen = "127.0.0.1:0"
gateways = ["spiffe://bus.example/bus/bus/gateway"]
[source.desk]
url = "sqlite:desk.db"
max_connections = 1
"#;

struct Bench {
    folder: PathBuf,
    config: Config,
    database: Vec<u8>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let folder = folder("statement");
    std::fs::create_dir_all(folder.join("desk/v1/Desk")).expect("a folder");
    std::fs::write(folder.join("desk/v1/desk.proto"), PROTO).expect("a file");
    let connection = rusqlite::Connection::open(folder.join("desk.db")).expect("a database");
    connection.execute_batch(SCHEMA).expect("a schema");
    drop(connection);
    let config = Config::parse(&folder.join("adapter.toml"), SETTINGS).expect("good settings");
    let database = std::fs::read(folder.join("desk.db")).expect("a database");
    Bench { folder, config, database }
});

fuzz_target!(|data: &[u8]| {
    allow_caught_panics();
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = BENCH.folder.join("desk/v1/Desk/Get.sql");
    std::fs::write(&file, text).expect("a writable folder");
    // SQLite is looked at without waiting for anything.
    match Adapter::check(&BENCH.config).now_or_never().expect("SQLite answers at once") {
        // The statement is taken. The certificate, which is read last, does not exist.
        Ok(_) | Err(Error::Transport(_)) => {}
        Err(Error::Files(findings)) => {
            assert!(findings.iter().next().is_some(), "an error without a finding");
            for finding in findings.iter().filter(|finding| finding.file().ends_with("Get.sql")) {
                assert_inside(text, finding.position(), 1);
            }
            assert_renders(&findings);
        }
        Err(other) => panic!("{other}"),
    }
    let database = std::fs::read(BENCH.folder.join("desk.db")).expect("a database");
    assert!(database == BENCH.database, "a statement changed the database");
});
