//! `scarcity` runs a gateway under `ulimit -n 64`, a ceiling of memory and a disk of 640 MB that is filled to
//! the last byte and emptied again, three times, under load. It exits with 1 if an acknowledged record is
//! lost, or a call fails in other words than `EVIDENCE_UNAVAILABLE`, or `DEADLINE_EXCEEDED` for one whose
//! record waits for room.
//!
//! `cargo run --release -p chapar-tests --bin scarcity -- [TIMES]`
//!
//! The disk is a tmpfs in a mount namespace of its own (`unshare`, Linux; it takes no rights where user
//! namespaces are allowed).

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement's output is its purpose")]

use std::process::{Command, ExitCode};
use std::time::Duration;

use chapar_tests::fleet::scarcity::run;

/// Set in the process that has the small disk.
const INSIDE: &str = "CHAPAR_TEST_SMALL_DISK";
const MOUNT: &str = "mount -t tmpfs -o size=640m tmpfs \"$0\" && exec \"$@\"";

fn main() -> ExitCode {
    let times = std::env::args().nth(1).map_or(3, |text| text.parse().expect("a number"));
    if std::env::var_os(INSIDE).is_some() {
        return tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(times));
    }
    let disk = tempfile::tempdir().expect("a folder");
    let own = std::env::current_exe().expect("the program's own path");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT])
        .arg(disk.path())
        .arg(own)
        .arg(times.to_string())
        .env(INSIDE, "1")
        .env("TMPDIR", disk.path())
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => ExitCode::SUCCESS,
        Ok(code) => ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            println!("scarcity: a disk of its own needs `unshare`: {error}");
            ExitCode::from(2)
        }
    }
}

async fn measure(times: usize) -> ExitCode {
    let report = run(times, Duration::from_secs(2)).await;
    for (full, empty) in &report.times {
        println!("full disk          refused after {full:?}; emptied: answered after {empty:?}");
    }
    println!("acknowledged       {}, lost {}", report.acknowledged, report.lost);
    println!(
        "refused            {} with EVIDENCE_UNAVAILABLE, {} with DEADLINE_EXCEEDED, {} otherwise",
        report.refused,
        report.late,
        report.other.len()
    );
    report.other.iter().take(5).for_each(|other| println!("  {other}"));
    println!("log                {} records, verified", report.entries);
    println!("memory             {} MiB at most", report.resident >> 20);
    let is_sound = report.lost == 0 && report.other.is_empty() && report.refused > 0;
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
