//! This module runs the built binary as a user does.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::repository;

/// The binary that `tests/run.sh` names, or the newest that was built.
///
/// # Panics
/// If there is none.
pub fn chapar() -> PathBuf {
    let named = std::env::var_os("CHAPAR_BIN").map(PathBuf::from);
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let built = ["dist", "release", "debug"].map(|profile| target.join(profile).join("chapar"));
    let newest = built
        .into_iter()
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().and_then(|found| found.modified()).ok());
    named
        .or(newest)
        .and_then(|path| path.canonicalize().ok())
        .expect("build the binary first: cargo build -p chapar")
}

/// Runs a command; as long as it is refused for its rate it is run again, since the demo's own story spends a
/// grant's burst.
///
/// # Panics
/// If it cannot be run, or is refused for ten seconds.
pub fn patiently(command: &mut Command) -> Output {
    let began = Instant::now();
    loop {
        let output = command.output().expect("the command runs");
        if !String::from_utf8_lossy(&output.stderr).contains("RATE_LIMITED") {
            return output;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "still over the rate");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A demo that stays up.
pub struct Demo {
    child: Child,
    dir: tempfile::TempDir,
    json: serde_json::Value,
}

impl Demo {
    /// Starts `chapar demo --dir …` with further arguments and waits until the bus is ready.
    ///
    /// # Panics
    /// If it is not within a minute.
    pub fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("demo");
        let mut child = Command::new(chapar())
            .args(["demo", "--dir"])
            .arg(&path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let began = Instant::now();
        let ready = path.join("demo.json");
        while !ready.exists() {
            if child.try_wait().expect("its state").is_some() || began.elapsed() > Duration::from_secs(60) {
                child.kill().ok();
                let mut says = String::new();
                child.stderr.take().expect("stderr").read_to_string(&mut says).ok();
                panic!("the demo is not ready: {says}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let json =
            serde_json::from_slice(&std::fs::read(ready).expect("demo.json")).expect("demo.json is JSON");
        Self { child, dir, json }
    }

    /// `demo.json`.
    pub fn json(&self) -> &serde_json::Value {
        &self.json
    }

    /// The demo's folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    /// Puts this demo's values where a document shows placeholders.
    pub fn fill(&self, command: &str) -> String {
        let id = self.json["sample"][0]["national_id"].as_str().unwrap_or_default();
        let gateway = self.json["gateway"].as_str().unwrap_or_default();
        let iban = self.json["sample"][0]["iban"].as_str().unwrap_or_default();
        command
            .replace("NATIONAL_ID", id)
            .replace("IBAN", iban)
            .replace("https://GATEWAY/", &format!("https://{gateway}/"))
    }

    /// Sends SIGTERM and gives the exit code; at most fifteen seconds later.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop_by_signal(mut self) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status.code();
            }
            assert!(began.elapsed() < Duration::from_secs(15), "the demo does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
