//! Tests of `chapar evidence search` and `chapar evidence citizen`: what a log's readers are told, and what
//! they are not, by the built binary and the folder that a demo leaves.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chapar_tests::binary::{Demo, chapar};
use serde_json::Value;

/// The folder of a demo that has told its story and ended, and the farmer's national id.
fn told() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let mut story = Command::new(chapar());
    let story =
        story.args(["demo", "--once", "--json", "--people", "100", "--dir"]).arg(&demo).output().unwrap();
    assert!(story.status.success(), "{}", String::from_utf8_lossy(&story.stderr));
    let json: Value = serde_json::from_slice(&std::fs::read(demo.join("demo.json")).unwrap()).unwrap();
    let farmer = json["sample"][0]["national_id"].as_str().unwrap().to_owned();
    (folder, demo, farmer)
}

fn ask(arguments: &[&str], demo: &Path) -> Output {
    let mut command = Command::new(chapar());
    command
        .env_remove("CHAPAR_DEMO")
        .arg("evidence")
        .args(arguments)
        .arg("--demo")
        .arg(demo)
        .output()
        .unwrap()
}

/// What `evidence citizen` shows as JSON, and what it says beside it.
fn seen(citizen: &str, demo: &Path, more: &[&str]) -> (Vec<Value>, String) {
    let output = ask(&[&["citizen", citizen, "--output", "json"], more].concat(), demo);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    (json["disclosures"].as_array().unwrap().clone(), said)
}

fn to<'a>(disclosures: &'a [Value], agency: &str) -> Vec<&'a Value> {
    disclosures.iter().filter(|found| found["agency"] == agency).collect()
}

/// Replaces a text in a file of the registry.
fn edit(file: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "{} has {old}", file.display());
    std::fs::write(file, text.replace(old, new)).unwrap();
}

#[test]
fn a_citizen_sees_agency_office_purpose_basis_fields_and_time_of_each_disclosure() {
    let (_folder, demo, farmer) = told();

    let (disclosures, said) = seen(&farmer, &demo, &[]);

    let parcels =
        disclosures.iter().find(|found| found["method"] == "agriculture.v1.FarmRegistry/ListParcels");
    let parcels = parcels.expect("the stream of parcels");
    assert_eq!(parcels["agency"], "com/agri-bank");
    assert_eq!(parcels["agency_name"]["fa"], "بانک کشاورزی");
    assert_eq!(parcels["on_behalf_of"], "com/agri-bank");
    assert_eq!(parcels["asked_by"], "office/khorramabad-12");
    assert_eq!(parcels["purpose"], "loan.farm");
    assert_eq!(parcels["basis"], "Agreement of Agriculture and the Agricultural Bank 1403/12");
    assert_eq!(parcels["fields"][0], "farmer_id");
    assert!(parcels["time"].as_str().unwrap().ends_with('Z'));
    assert!(parcels["time_jalali"].as_str().unwrap().starts_with("14"));
    assert!(parcels["entry"].as_str().unwrap().starts_with("demo.lorestan.example/evidence/"));
    let own = to(&disclosures, "gov/welfare");
    assert!(own.iter().all(|found| found["on_behalf_of"] == "" && found["asked_by"] == "gov/welfare"));
    assert!(!own.is_empty());
    assert!(said.starts_with("VALID: log demo.lorestan.example/evidence "), "{said}");
    // Step 2 of the story was refused.
    assert!(disclosures.iter().all(|found| found["purpose"] != "counter.identity_check"));

    let persian = ask(&["citizen", &farmer, "--language", "fa"], &demo).stdout;
    let persian = String::from_utf8(persian).unwrap();
    assert!(persian.contains("بانک کشاورزی (دفتر پیشخوان خدمات دولت، خرم‌آباد ۱۲)  loan.farm"), "{persian}");
}

#[test]
fn a_disclosure_is_hidden_until_the_day_of_its_grant() {
    let (_folder, demo, farmer) = told();
    let file = demo.join("registry/gov/agriculture.toml");
    let all = seen(&farmer, &demo, &[]).0.len();

    edit(&file, "citizen  = \"shown\"", "citizen  = \"after 2999-01-01\"");
    let (hidden, said) = seen(&farmer, &demo, &[]);
    assert!(hidden.len() < all && !said.contains("left out"), "{said}");
    assert!(hidden.iter().all(|found| !found["method"].as_str().unwrap().starts_with("agriculture")));

    edit(&file, "after 2999-01-01", "after 2020-01-01");
    assert_eq!(seen(&farmer, &demo, &[]).0.len(), all);
}

#[test]
fn a_disclosure_under_a_grant_that_is_gone_is_left_out_and_said_until_the_old_registry_is_named() {
    let (folder, demo, farmer) = told();
    let all = seen(&farmer, &demo, &[]).0.len();
    let old = folder.path().join("old");
    let copied = Command::new("cp").arg("-r").arg(demo.join("registry")).arg(&old).status().unwrap();
    assert!(copied.success());

    edit(&demo.join("registry/gov/agriculture.toml"), "\"bank-listparcels\"", "\"bank-listparcels-2\"");
    let output = ask(&["citizen", &farmer, "--output", "json"], &demo);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let left = all - json["disclosures"].as_array().unwrap().len();
    assert!(left > 0 && json["left_out"] == left, "{json:#}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("{left} left out")), "{said}");

    let (whole, said) = seen(&farmer, &demo, &["--registry", old.to_str().unwrap()]);
    assert_eq!(whole.len(), all);
    assert!(!said.contains("left out"), "{said}");
}

#[test]
fn an_id_that_came_to_another_grant_does_not_tell_its_terms() {
    let (_folder, demo, farmer) = told();
    let file = demo.join("registry/gov/agriculture.toml");
    for (old, new) in [
        ("\"bank-getfarmer\"", "\"x\""),
        ("\"bank-listparcels\"", "\"bank-getfarmer\""),
        ("\"x\"", "\"bank-listparcels\""),
    ] {
        edit(&file, old, new);
    }
    let (disclosures, said) = seen(&farmer, &demo, &[]);
    assert!(disclosures.iter().all(|found| !found["method"].as_str().unwrap().starts_with("agriculture")));
    assert!(said.contains(" left out"), "{said}");
}

#[test]
fn entries_under_another_period_key_give_no_answer_until_that_key_is_named() {
    let (folder, demo, farmer) = told();
    let all = seen(&farmer, &demo, &[]).0.len();
    let old = folder.path().join("old.key");
    std::fs::rename(demo.join("period.key"), &old).unwrap();
    let keys = folder.path().join("keys");
    let mut keygen = Command::new(chapar());
    let made = keygen.args(["evidence", "keygen", "x.example/e", "--out"]).arg(&keys).output().unwrap();
    assert!(made.status.success());
    std::fs::copy(keys.join("period.key"), demo.join("period.key")).unwrap();

    for question in [&["citizen", farmer.as_str()][..], &["search", "--subject", &farmer]] {
        let output = ask(question, &demo);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{said}");
        assert!(said.contains("`--period-key`"), "{said}");
    }
    assert_eq!(seen(&farmer, &demo, &["--period-key", old.to_str().unwrap()]).0.len(), all);
}

#[test]
fn an_older_copy_of_a_log_gives_no_answer() {
    let (folder, demo, farmer) = told();
    let older = folder.path().join("older");
    let copied = Command::new("cp").arg("-r").arg(demo.join("evidence")).arg(&older).status().unwrap();
    assert!(copied.success());
    let again = Command::new(chapar()).args(["demo", "--once", "--dir"]).arg(&demo).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));

    std::fs::remove_dir_all(demo.join("evidence")).unwrap();
    std::fs::rename(&older, demo.join("evidence")).unwrap();

    let output = ask(&["citizen", &farmer], &demo);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(4), true));
}

#[test]
fn a_log_is_named_once_and_by_one_option() {
    let (_folder, demo, farmer) = told();
    let settings = demo.join("gateway.toml");
    let settings = settings.to_str().unwrap();
    let mut command = Command::new(chapar());
    command.env_remove("CHAPAR_DEMO").args(["evidence", "citizen", &farmer, "--config", settings]);
    let twice = command.args(["--config", settings]).output().unwrap();
    assert_eq!(twice.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("is named twice"));
    assert_eq!(ask(&["search", "--config", settings], &demo).status.code(), Some(2), "--config and --demo");
    let mut neither = Command::new(chapar());
    let neither = neither.env_remove("CHAPAR_DEMO").args(["evidence", "search"]).output().unwrap();
    assert_eq!(neither.status.code(), Some(2));
    let mut from_environment = Command::new(chapar());
    from_environment.env("CHAPAR_DEMO", &demo).args(["evidence", "search", "--caller", ""]);
    assert_eq!(from_environment.output().unwrap().status.code(), Some(2), "an empty filter matches nothing");
}

#[test]
fn an_altered_log_gives_no_answer() {
    let (_folder, demo, farmer) = told();
    let segments = std::fs::read_dir(demo.join("evidence/segments")).unwrap();
    let segment = segments.map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.windows(9).position(|word| word == b"loan.farm").unwrap();
    bytes[place] = b'm';
    std::fs::write(&segment, bytes).unwrap();

    for question in [&["citizen", farmer.as_str()][..], &["search"]] {
        let output = ask(question, &demo);
        assert_eq!(output.status.code(), Some(4), "{question:?}");
        assert!(output.stdout.is_empty(), "{question:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("INVALID"), "{question:?}");
    }
}

#[test]
fn what_is_no_national_id_is_refused_and_not_repeated() {
    let (_folder, demo, farmer) = told();
    let wrong = format!("{}{}", &farmer[..9], if farmer.ends_with('0') { '1' } else { '0' });
    for question in [&["citizen", wrong.as_str()][..], &["search", "--subject", &wrong]] {
        let output = ask(question, &demo);
        assert_eq!(output.status.code(), Some(2), "{question:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("no national id") && !said.contains(&wrong), "{said}");
    }
    // From standard input, no list of processes shows it.
    let mut piped = Command::new("sh");
    piped.args(["-c", "echo \"$1\" | \"$2\" evidence citizen - --demo \"$3\"", "sh", &farmer]);
    let piped = piped.arg(chapar()).arg(&demo).output().unwrap();
    assert_eq!(piped.stdout, ask(&["citizen", &farmer], &demo).stdout);
    // Persian digits are the same id.
    let persian: String =
        farmer.chars().map(|digit| char::from_u32(digit as u32 - 0x30 + 0x6f0).unwrap()).collect();
    assert_eq!(seen(&persian, &demo, &[]).0.len(), seen(&farmer, &demo, &[]).0.len());
}

#[test]
fn a_search_tells_the_newest_entries_that_match_every_filter() {
    let (_folder, demo, farmer) = told();
    let search = |filters: &[&str]| {
        let output = ask(&[&["search", "--output", "json"], filters].concat(), &demo);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (json["entries"].as_array().unwrap().clone(), json["matching"].as_u64().unwrap())
    };

    let (entries, matching) = search(&[
        "--subject",
        &farmer,
        "--caller",
        "com/agri-bank",
        "--method",
        "ListParcels",
        "--limit",
        "1",
    ]);
    assert_eq!(entries.len(), 1);
    assert!(matching > 1, "{matching}");
    assert_eq!((&entries[0]["kind"], &entries[0]["clerk"]), (&"close".into(), &"z.karimi".into()));

    let (refused, _) = search(&["--outcome", "PURPOSE_NOT_GRANTED"]);
    assert_eq!((refused.len(), &refused[0]["kind"]), (1, &"refusal".into()));

    // By time, which is not the order of entries.
    let (whole, all) = search(&["--limit", "1000"]);
    assert_eq!(whole.len() as u64, all);
    assert!(whole.is_sorted_by_key(|entry| entry["time"].as_str().unwrap()));
    assert_eq!(search(&["--limit", "5"]).0, whole[whole.len() - 5..]);
    // Step 4 of the story was refused 60 times or so, and every one is counted.
    let refusals = search(&["--outcome", "RATE_LIMITED"]).0;
    let count = refusals.iter().map(|entry| entry["count"].as_u64().unwrap().max(1)).sum::<u64>();
    let output = ask(&["search", "--outcome", "RATE_LIMITED"], &demo);
    let lines = String::from_utf8(output.stdout).unwrap();
    let times = lines.lines().map(|line| match line.split_once(" × ") {
        Some((_, rest)) => rest.split(' ').next().unwrap().parse().unwrap(),
        None => 1,
    });
    assert_eq!((times.sum::<u64>(), count > 50), (count, true), "{lines}");

    for nothing in [
        &["--caller", "gov/welf"][..],
        &["--method", "Parcels"],
        &["--clerk", "nobody"],
        &["--since", "2999-01-01T00:00:00Z"],
        &["--until", "2020-01-01T00:00:00Z"],
        &["--subject", &farmer, "--purpose", "school.admission"],
    ] {
        assert_eq!(search(nothing), (Vec::new(), 0), "{nothing:?}");
    }
}

#[test]
fn one_question_covers_the_logs_of_all_gateways() {
    let demo = Demo::start(&["--people", "100", "--gateways", "2"]);
    let (folder, json) = (demo.folder(), demo.json());
    let citizen = json["sample"][1]["national_id"].as_str().unwrap();
    let identity = &json["identities"]["office/khorramabad-12/counter"];
    let file = |name: &Value| folder.join(name.as_str().unwrap());
    for gateway in json["gateways"].as_array().unwrap() {
        let mut call = Command::new(chapar());
        call.env_remove("CHAPAR_DEMO").args(["call", "civil.v1.CivilRegistry/GetPerson"]);
        call.arg(format!("national_id={citizen}")).args(["--gateway", gateway.as_str().unwrap()]);
        call.args(["--server-name", json["server_name"].as_str().unwrap()]);
        call.arg("--cert").arg(file(&identity["cert"])).arg("--key").arg(file(&identity["key"]));
        call.arg("--ca").arg(file(&json["ca"])).args(["--on-behalf-of", "com/agri-bank"]);
        let output =
            call.args(["--purpose", "loan.farm", "--case", "7", "--clerk", "z.karimi"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let logs = json["evidences"].as_array().unwrap();
    assert_eq!(logs.len(), json["gateways"].as_array().unwrap().len());
    for log in logs {
        let mut verify = Command::new(chapar());
        verify.args(["evidence", "verify"]).arg(file(&log["path"])).arg("--trust").arg(file(&log["key"]));
        let said = String::from_utf8(verify.output().unwrap().stdout).unwrap();
        assert!(said.contains(&format!("VALID: log {} holds", log["origin"].as_str().unwrap())), "{said}");
    }

    let (disclosures, said) = seen(citizen, &folder, &[]);

    let entries: Vec<&str> = disclosures.iter().map(|found| found["entry"].as_str().unwrap()).collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries.iter().any(|entry| entry.contains("/evidence-2/")), "{entries:?}");
    assert_eq!(said.matches("VALID: log").count(), 2, "{said}");

    // Each log is told under the terms of its own gateway, in whichever order they are named.
    let hiding = folder.join("hiding");
    assert!(
        Command::new("cp").arg("-r").arg(folder.join("registry")).arg(&hiding).status().unwrap().success()
    );
    edit(&hiding.join("gov/civil-registry.toml"), "citizen  = \"shown\"", "citizen  = \"after 2999-01-01\"");
    edit(&folder.join("gateway-2.toml"), "\"registry\"", "\"hiding\"");
    let [first, second] = ["gateway.toml", "gateway-2.toml"].map(|name| folder.join(name));
    for order in [[&first, &second], [&second, &first]] {
        let mut command = Command::new(chapar());
        command.env_remove("CHAPAR_DEMO").args(["evidence", "citizen", citizen, "--output", "json"]);
        let output =
            order.iter().fold(&mut command, |it, file| it.arg("--config").arg(file)).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let entries: Vec<_> = json["disclosures"].as_array().unwrap().iter().map(|it| &it["entry"]).collect();
        assert!(entries.len() == 1 && entries[0].as_str().unwrap().contains("/evidence/"), "{json:#}");
    }
}
