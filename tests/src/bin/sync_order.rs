//! `sync_order` measures whether any answer begins before its record is on disk (`tests/README.md`).
//!
//!     cargo run --release -p chapar-tests --bin sync_order -- [CALLS] [AT_ONCE] [DELAY_MS]
#![expect(clippy::print_stdout, reason = "its figures are for whoever runs it")]

use std::time::Duration;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap_or(0));
    let calls = arguments.next().unwrap_or(100_000);
    let at_once = arguments.next().unwrap_or(400);
    let delay = Duration::from_millis(arguments.next().unwrap_or(20) as u64);
    let report = chapar_tests::sync_order::run(calls, at_once, delay).await;
    println!("{report:?}");
    std::process::ExitCode::from(u8::from(report.early > 0))
}
