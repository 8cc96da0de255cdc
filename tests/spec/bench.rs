//! Tests that the benchmark itself works: every proxy that is installed answers all calls of a short run.
//! Whether it is fast is for people to read, not for a test.

use std::process::Command;

/// A program in the places where Debian puts it; the benchmark leaves out what is not there.
fn program(name: &str) -> Option<String> {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
        .map(|folder| format!("{folder}/{name}"))
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
}

#[test]
fn every_entry_of_the_benchmark_that_is_present_answers_all_its_calls() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["measure", "--rounds", "1", "--window-ms", "120", "--loads", "8,open"]);
    command.env("CHAPAR_BIN", chapar_tests::binary::chapar());
    let mut expected = vec!["direct", "hyper", "hyper-durable", "chapar", "chapar-tmpfs"];
    for peer in ["nginx", "haproxy", "envoy"] {
        let variable = format!("BENCH_{}", peer.to_uppercase());
        match program(peer) {
            Some(path) => {
                command.env(variable, path);
                expected.push(peer);
            }
            None => drop(command.env_remove(variable)),
        }
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let erred = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{erred}");
    let columns = said.lines().find(|line| line.starts_with("| in flight")).expect("a table");
    for entry in expected {
        assert!(columns.contains(&format!("| {entry} |")), "{entry} is missing: {erred}");
    }
}

#[test]
fn a_long_stream_is_measured_whole() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream"));
    command.args(["--rows", "20000", "--slow-seconds", "1", "--engine", "sqlite"]);
    command.env("CHAPAR_BIN", chapar_tests::binary::chapar());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for line in
        ["sqlite: all             20000 rows", "sqlite: slow reader", "sqlite: driver alone    20000 rows"]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
fn shared_limits_are_measured_in_every_part() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shared_limits"));
    let output = command.args(["--seconds", "1", "--runs", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for (part, lines) in [("exact: ", 12), ("commands: ", 4), ("cost: ", 3), ("faults: ", 6)] {
        assert_eq!(said.lines().filter(|line| line.starts_with(part)).count(), lines, "{part} in {said}");
    }
}
