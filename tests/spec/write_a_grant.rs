//! Tests that the tutorial *Write a grant* does what it says: its files are written, its commands run, its
//! outputs compared.

use std::path::Path;
use std::process::{Command, Stdio};

use chapar_tests::binary::chapar;
use chapar_tests::repository;

/// The fenced blocks of a page: what stands after the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").enumerate().filter(|(index, _)| index % 2 == 1);
    fenced.filter_map(|(_, block)| block.split_once('\n')).collect()
}

/// Everything that a script says, and whether it succeeds.
fn run(script: &str, folder: &Path) -> (bool, String) {
    let functions = format!("chapar() {{ {:?} \"$@\"; }}\n{script}", chapar());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &functions])
        .current_dir(folder)
        .env("CHAPAR_SOURCE", repository().canonicalize().unwrap())
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("text"))
}

/// Whether a line has the parts of `wanted` between its `…`, in their order.
fn has(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    wanted.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn every_command_of_the_tutorial_says_what_the_page_says() {
    let page = std::fs::read_to_string(repository().join("docs/tutorial/write-a-grant.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut said = String::new();
    let mut compared = 0;
    for (kind, text) in blocks(&page) {
        match kind {
            "toml" => {
                let (path, text) = text.split_once('\n').unwrap();
                let path = folder.path().join(path.strip_prefix("# ").expect("a file's name"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, format!("{text}\n")).unwrap();
            }
            "sh" | "sh fails" => {
                let (succeeded, output) = run(text, folder.path());
                assert_eq!(succeeded, kind == "sh", "{text}\n{output}");
                said = output;
            }
            "text" => {
                for wanted in text.lines() {
                    assert!(said.lines().any(|line| has(line, wanted)), "{wanted}\nin\n{said}");
                    compared += 1;
                }
            }
            other => panic!("a block of `{other}` is neither run nor compared"),
        }
    }
    assert!(compared >= 20, "{compared} lines are compared");
}
