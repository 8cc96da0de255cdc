//! Tests that the README's commands do what the README says. `tests/run.sh` builds the binary before it runs
//! the tests.

use std::process::{Command, Stdio};

use chapar_tests::binary::{Demo, chapar, patiently};
use chapar_tests::repository;

/// Lines after `$ ` in the README's `console` blocks.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let blocks = text.split("```console").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect()
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let demo = Demo::start(&["--people", "300"]);
    let mut run = 0;
    for command in commands() {
        // These two are what this very test runs inside of, or was run by.
        if command.starts_with("tests/run.sh")
            || command.starts_with("git clone")
            || command.starts_with("cd ")
        {
            continue;
        }
        let command = match command.strip_prefix("cargo run --release -- demo") {
            Some(rest) if !rest.contains("--once") => format!("chapar demo --once --people 300{rest}"),
            _ => command
                .replace("cargo run --release -- ", "chapar ")
                .replace("target/release/chapar", "chapar"),
        };
        let command = demo.fill(&command);
        let mut bash = Command::new("bash");
        let output = patiently(
            bash.args([
                "-euo",
                "pipefail",
                "-c",
                &format!("chapar() {{ {:?} \"$@\"; }}\n{command}", chapar()),
            ])
            .current_dir(demo.folder().parent().unwrap())
            .stdin(Stdio::null()),
        );
        assert!(
            output.status.success(),
            "{command}\nstdout: {}\nstderr: {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        run += 1;
    }
    assert!(run >= 5, "the README shows {run} commands that can be run");
}
