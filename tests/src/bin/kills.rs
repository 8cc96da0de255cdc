//! `kills` measures whether anything that was acknowledged can be lost: it kills a gateway under load with
//! `kill -9`, starts it again on the files that it left, and compares the log with what the callers were
//! told. It exits with 1 if a record is lost or a checkpoint contradicted.
//!
//! `cargo run --release -p chapar-tests --bin kills -- [--cycles 1000] [--callers 16] [--under-load-ms 150]`

use std::process::ExitCode;
use std::time::Duration;

use chapar_tests::fleet::kills::{Plan, run};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(error) => {
            say(&format!("kills: {error}"));
            return ExitCode::from(2);
        }
    };
    let report = run(&plan).await;
    say(&format!("killed             {} times", plan.cycles));
    say(&format!("acknowledged       {}, lost {}", report.acknowledged, report.lost));
    say(&format!("receipts           {} verified", report.receipts));
    say(&format!("checkpoints        {} seen, {} contradicted", report.checkpoints, report.contradicted));
    say(&format!("log                {} records, verified", report.entries));
    say(&format!("start to ready     {:?} at the median, {:?} at most", report.start.0, report.start.1));
    if report.lost + report.contradicted == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan() -> Result<Plan, Error> {
    let mut plan = Plan { cycles: 1000, callers: 16, under_load: Duration::from_millis(150) };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?.parse()?;
        match name.as_str() {
            "--cycles" => plan.cycles = value,
            "--callers" => plan.callers = value,
            "--under-load-ms" => plan.under_load = Duration::from_millis(value as u64),
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(plan)
}

#[expect(clippy::print_stdout, reason = "a measurement's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}
