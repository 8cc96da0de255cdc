//! Tests of the demo through the built binary: the whole story, its exit codes, and the files that it leaves.

use std::process::Command;

use chapar_tests::binary::{Demo, chapar, patiently};

#[test]
fn the_story_has_seven_steps_that_all_end_as_expected() {
    let output =
        Command::new(chapar()).args(["demo", "--once", "--json", "--people", "300"]).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let story: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the story is one JSON document");
    let steps = story["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 7, "{story:#}");
    assert!(steps.iter().all(|step| step["ok"] == true), "{story:#}");
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
