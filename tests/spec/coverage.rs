//! Tests of `chapar coverage`, by the log that a running demo's gateway writes.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use chapar_tests::binary::{Demo, chapar};
use serde_json::Value;

const OFFICE: &str = "office/khorramabad-12/counter";

/// How often the demo's story asks the farm loan: in its first step, while an adapter is killed, and after.
const STORY: usize = 3;

/// Asks the farm loan of the demo's farmer, as its counter office does.
fn ask(demo: &Demo, request_id: &str) {
    let farmer = &demo.json()["sample"][0];
    let text = |name: &str| farmer[name].as_str().unwrap().to_owned();
    let output = Command::new(chapar())
        .args(["ask", "farm-loan", &text("national_id"), &format!("iban={}", text("iban"))])
        .args(["--case", "1404-771", "--clerk", "z.karimi", "--request-id", request_id, "--as", OFFICE])
        .arg("--demo")
        .arg(demo.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for the inquiries of the demo's own story.
fn story_has_asked(demo: &Demo) {
    let asked = || {
        let search = ["evidence", "search", "--caller", OFFICE, "--method", "VerifyAccount", "--demo"];
        let output = Command::new(chapar()).args(search).arg(demo.folder()).output().unwrap();
        output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while asked() < STORY {
        assert!(Instant::now() < deadline, "the story asks {STORY} times");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn coverage(demo: &Demo, more: &[&str]) -> Output {
    let mut command = Command::new(chapar());
    command.args(["coverage", "--demo"]).arg(demo.folder()).args(more).output().unwrap()
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn villages_and_papers_are_counted_from_real_calls_and_small_counts_are_not_told() {
    let demo = Demo::start(&["--people", "100"]);
    let villages = demo.folder().join("villages.csv");
    std::fs::write(&villages, format!("village,households,office\nA,45,{OFFICE}\nB,30,\nC,20,\n")).unwrap();
    let list = ["--villages", villages.to_str().unwrap()];

    story_has_asked(&demo);
    // So few are nobody's business.
    let table = said(coverage(&demo, &list));
    assert!(table.starts_with("1 of 2 villages over 20 households (50.0 %)"), "{table}");
    assert_eq!(table.matches("<5").count(), 7, "{table}");
    let metrics = said(coverage(&demo, &[&list[..], &["--output", "metrics"]].concat()));
    assert!(metrics.contains("\nchapar_villages 2\n") && metrics.contains("\nchapar_villages_covered 1\n"));
    assert!(!metrics.contains("chapar_papers_avoided{"), "{metrics}");

    // The last is the one before, sent again.
    for number in [1, 2, 3, 4, 5, 5] {
        ask(&demo, &format!("01a2217a-a928-775a-9829-61d6f592400{number}"));
    }
    let json = said(coverage(&demo, &[&list[..], &["--output", "json"]].concat()));
    let json: Value = serde_json::from_str(&json).unwrap();
    let papers = json["papers"].as_array().unwrap();
    assert_eq!(papers.len(), 7, "{json}");
    for paper in papers {
        // The killed adapter is the insurance's: what it did not answer is no paper avoided.
        let all = if paper["part"] == "insurance" { STORY + 5 - 1 } else { STORY + 5 };
        assert_eq!((&paper["office"], &paper["count"]), (&OFFICE.into(), &all.into()), "{paper}");
    }
    assert_eq!(json["villages"]["list"][1]["not_answered"].as_array().unwrap().len(), 5, "{json}");
    let farmer = demo.json()["sample"][0]["national_id"].as_str().unwrap().to_owned();
    assert!(!json.to_string().contains(&farmer));

    let later = said(coverage(&demo, &[&list[..], &["--since", "9999-01-01"]].concat()));
    assert!(later.starts_with("0 of 2 villages"), "{later}");
}

#[test]
fn what_would_count_wrongly_is_refused() {
    let demo = Demo::start(&["--people", "100"]);
    let refused = |more: &[&str]| {
        let output = coverage(&demo, more);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = refused(&["--service", "civil.v1.Civil"]);
    assert!(code == 2 && told.contains("no procedure asks `civil.v1.Civil`"), "{told}");
    let villages = demo.folder().join("villages.csv");
    std::fs::write(&villages, "village,households,office\nA,many,\n").unwrap();
    let (code, told) = refused(&["--villages", villages.to_str().unwrap()]);
    assert!(code == 1 && told.contains("villages.csv") && told.contains("line: 2"), "{told}");
}
