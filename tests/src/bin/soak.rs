//! `soak` measures whether a gateway that runs for long releases its resources: it measures what the gateway
//! can answer, then asks for 70 % of that for the given time, watches its memory and open descriptors, and
//! prints how they and the slowest calls developed. At the end it verifies the evidence. It exits with 1 if a
//! call failed.
//!
//! `cargo run --release -p chapar-tests --bin soak -- [--minutes 30] [--load 0.7]`

use std::process::ExitCode;
use std::time::Duration;

use chapar_tests::fleet::soak::{Plan, Report, run};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(error) => {
            say(&format!("soak: {error}"));
            return ExitCode::from(2);
        }
    };
    let report = run(&plan).await;
    tell(&report);
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan() -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value: f64 = arguments.next().ok_or("an option needs a value")?.parse()?;
        match name.as_str() {
            "--minutes" => plan.length = Duration::try_from_secs_f64(value * 60.0)?,
            "--load" => plan.load = value,
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(plan)
}

#[expect(clippy::print_stdout, reason = "a measurement's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn tell(report: &Report) {
    say(&format!("capacity           {:.0} calls/s, asked for {:.0}", report.capacity, report.rate));
    say(&format!("calls              {} answered, {} failed", report.answered, report.failed));
    let (slope, margin) = report.memory;
    say(&format!(
        "memory             {:.1} MiB at the end, {slope:+.1} ± {margin:.1} KiB/min",
        report.resident
    ));
    let (slope, margin) = report.descriptors;
    say(&format!("open descriptors   {slope:+.3} ± {margin:.3} per minute"));
    let (slope, margin) = report.slowest;
    say(&format!("p99                {:.2} ms in the middle, {slope:+.3} ± {margin:.3} ms/min", report.p99));
    say("evidence           verified");
}
