//! Tests of the demo through the built binary: the whole story, its exit codes, and the files that it leaves.

use std::path::Path;
use std::process::Command;

use chapar_test_servers::{Mariadb, Postgres, Redis};
use chapar_tests::binary::{Demo, chapar, patiently};

/// Runs the story with these options, which has nine steps.
fn tell(options: &[&str]) {
    assert_eq!(steps(options), 9);
}

/// Runs the story with these options. All its steps come out as expected; how many there are.
fn steps(options: &[&str]) -> usize {
    let mut demo = Command::new(chapar());
    let output = demo.args(["demo", "--once", "--json", "--people", "300"]).args(options).output().unwrap();

    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    let story: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the story is one JSON document");
    let steps = story["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["ok"] == true), "{story:#}");
    steps.len()
}

#[test]
fn the_story_has_nine_steps_that_all_end_as_expected() {
    tell(&[]);
}

/// A path as the host of an URL.
fn as_host(path: &Path) -> String {
    path.display().to_string().replace('/', "%2F")
}

#[test]
fn the_story_is_the_same_on_postgresql_and_again_where_an_earlier_demo_was() {
    let server = Postgres::shared();
    let url = format!("postgres://postgres@{}:{}/postgres", as_host(server.socket_folder()), server.port());
    tell(&["--database", &url]);
    tell(&["--database", &url]);
    let roles = server.ask("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'chapar_demo_%'");
    assert_eq!(roles, "5");
}

#[test]
fn the_story_is_the_same_on_mariadb() {
    let server = Mariadb::shared();
    let url = format!("mysql://root@{}/mysql", as_host(server.socket()));
    tell(&["--database", &url]);
}

#[test]
fn with_redis_several_gateways_hold_one_limit_and_outlive_it() {
    let redis = Redis::start();
    let url = format!("redis://127.0.0.1:{}", redis.port());
    assert_eq!(steps(&["--gateways", "3", "--redis", &url]), 12);
    assert_eq!(redis.ask("KEYS *gateways*"), "", "the demo's gateways have left");
}

#[test]
fn what_no_demo_has_made_is_not_dropped() {
    let server = Postgres::start();
    server.sql("postgres", "CREATE SCHEMA chapar_demo_civil; CREATE TABLE chapar_demo_civil.mine (a int)");
    let url = format!("postgres://postgres@{}:{}/postgres", as_host(server.socket_folder()), server.port());
    let mariadb = Mariadb::start();
    mariadb.sql("mysql", "CREATE DATABASE chapar_demo_civil; CREATE TABLE chapar_demo_civil.mine (a INT)");
    let other = format!("mysql://root@{}/mysql", as_host(mariadb.socket()));
    for url in [url, other] {
        let mut demo = Command::new(chapar());
        let output = demo.args(["demo", "--once", "--people", "50", "--database", &url]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("not made by a demo"), "{url}: {said}");
    }
    assert_eq!(server.ask("postgres", "SELECT count(*) FROM chapar_demo_civil.mine"), "0");
    assert_eq!(mariadb.ask("mysql", "SELECT count(*) FROM chapar_demo_civil.mine"), "0");
}

#[test]
fn a_server_that_cannot_hold_the_demo_is_told_of_before_anything_starts() {
    for (url, told) in [
        ("sqlite:x.db", "must be a `postgres://` or `mysql://` URL"),
        ("postgres://x@db.example/y", "on another machine"),
        ("postgres://x:secret@localhost/y", "holds a password"),
        ("postgres://x@127.0.0.1:1/y", "the database server says"),
    ] {
        let mut demo = Command::new(chapar());
        let output = demo.args(["demo", "--once", "--people", "50", "--database", url]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{url}: {said}");
        // Long sentences are wrapped.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
        assert!(said.contains(told), "{url}: {said}");
    }
}

#[test]
fn a_demo_ends_cleanly_when_it_is_told_to() {
    let demo = Demo::start(&["--people", "100"]);
    let admin = demo.json()["admin"].as_str().unwrap().to_owned();
    assert!(admin.starts_with("http://127.0.0.1:"));
    assert_eq!(demo.stop_by_signal(), Some(0));
}

#[test]
fn the_foreseen_bad_inputs_of_the_demo_end_with_a_message_and_exit_code() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");

    let busy = Command::new(chapar())
        .args(["demo", "--once", "--people", "50", "--port", &port, "--dir"])
        .arg(&dir)
        .output()
        .unwrap();
    let unwritable = Command::new(chapar()).args(["demo", "--once", "--dir", "/proc/demo"]).output().unwrap();
    let usage = Command::new(chapar()).args(["demo", "--people", "many"]).output().unwrap();

    let busy_says = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(busy.status.code() == Some(1) && busy_says.contains(&port), "{busy_says}");
    assert!(!dir.join("demo.json").exists(), "nothing half-made is left");
    let unwritable_says = String::from_utf8_lossy(&unwritable.stderr).into_owned();
    assert!(
        unwritable.status.code() == Some(1) && unwritable_says.contains("/proc/demo"),
        "{unwritable_says}"
    );
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn call_list_and_describe_speak_to_a_running_demo() {
    let demo = Demo::start(&["--people", "200"]);
    let id = demo.json()["sample"][0]["national_id"].as_str().unwrap().to_owned();
    let persian: String =
        id.chars().map(|c| char::from_u32(u32::from('۰') + c.to_digit(10).unwrap()).unwrap()).collect();
    let folder = demo.folder();
    let as_welfare = ["--as", "gov/welfare/benefits", "--demo", folder.to_str().unwrap()];
    let run = |args: &[&str]| patiently(Command::new(chapar()).args(args).args(as_welfare));

    let answered = run(&[
        "call",
        "civil.v1.CivilRegistry/GetPerson",
        &format!("national_id={persian}"),
        "--purpose",
        "benefit.eligibility",
    ]);
    let refused = run(&[
        "call",
        "civil.v1.CivilRegistry/GetPerson",
        &format!("national_id={id}"),
        "--purpose",
        "loan.farm",
    ]);
    let listed = run(&["list"]);
    let described = run(&["describe", "civil.v1.CivilRegistry/GetPerson"]);

    let person: serde_json::Value = serde_json::from_slice(&answered.stdout).expect("JSON on stdout");
    assert_eq!(person["national_id"], id.as_str());
    assert_eq!(refused.status.code(), Some(64 + 7));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("PURPOSE_NOT_GRANTED"));
    assert!(String::from_utf8_lossy(&listed.stdout).contains("civil.v1.CivilRegistry"));
    assert!(String::from_utf8_lossy(&described.stdout).contains("benefit.eligibility"));
}

#[test]
fn a_demo_overwrites_a_file_that_was_edited_only_when_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let demo = |more: &[&str]| {
        let mut demo = Command::new(chapar());
        demo.args(["demo", "--once", "--people", "50", "--dir"]).arg(&dir).args(more).output().unwrap()
    };
    let first = demo(&[]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let file = dir.join("registry/gov/welfare.toml");
    let edited = std::fs::read_to_string(&file).unwrap() + "# a line of my own\n";
    std::fs::write(&file, &edited).unwrap();

    let refused = demo(&[]);

    let says = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && says.contains("registry/gov/welfare.toml"), "{says}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);
    let forced = demo(&["--force"]);
    assert!(forced.status.success(), "{}", String::from_utf8_lossy(&forced.stderr));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), edited);
}
