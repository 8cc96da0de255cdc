//! Tests that the command that measures floods works, and that none of the honest callers' calls fails.

use std::process::Command;

#[test]
fn no_honest_call_fails_beside_an_attack() {
    for attack in ["slow-loris", "rapid-reset", "greedy-caller"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flood"));
        command.args(["--seconds", "1", "--connections", "100", "--attack", attack]);
        let output = command.env("CHAPAR_BIN", chapar_tests::binary::chapar()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let erred = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{erred}");
        assert!(said.lines().any(|line| line.starts_with(attack)), "{said}");
    }
}

#[test]
fn an_attack_that_there_is_not_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_flood")).args(["--attack", "shouting"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains("no attack `shouting`: there are silent, slow-loris,")
    );
}
