//! This module runs a database's command-line client with statements on its standard input.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

/// What the client writes for these statements, without white space around it. A client that fails ends the
/// test with its errors.
#[track_caller]
pub(crate) fn answer(client: &mut Command, statements: &str) -> String {
    let mut running = client
        // Variables such as PGPASSWORD and PGOPTIONS would change what the client does.
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut input = running.stdin.take().expect("the input is piped");
    let output = thread::scope(|scope| {
        // The statements are written while the answer is read: neither pipe holds all of a long text.
        scope.spawn(move || {
            // A client that stops at an error closes its input early, and says why itself.
            let _ = input.write_all(statements.as_bytes());
        });
        running.wait_with_output().expect("the client ends")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the statements failed: {errors}\n{statements}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
