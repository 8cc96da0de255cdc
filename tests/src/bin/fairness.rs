//! `fairness` measures whether a gateway stays fair and useful under ten times the load that it can serve: by
//! one caller among ten, by all of them, and by all of them reconnecting at once. It exits with 1 if a call
//! ended otherwise than with an answer or a refusal.
//!
//! `cargo run --release -p chapar-tests --bin fairness -- [--seconds 4] [--rounds 5] [--answer 400]
//! [--connections 1] [--times 10]`

use std::process::ExitCode;
use std::time::Duration;

use chapar_tests::fleet::crowd::{SLICE, Tally};
use chapar_tests::fleet::fairness::{Plan, Report, run};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(error) => {
            say(&format!("fairness: {error}"));
            return ExitCode::from(2);
        }
    };
    // Generator and agency share a core; the gateway has the other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let report = tokio::task::LocalSet::new().block_on(&runtime, run(&plan));
    tell(&plan, &report);
    match report.failed() {
        None => ExitCode::SUCCESS,
        Some(why) => {
            say(&format!("a call failed: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan, Error> {
    let mut plan = Plan { pinned: true, ..Plan::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?;
        match name.as_str() {
            "--seconds" => plan.length = Duration::try_from_secs_f64(value.parse()?)?,
            "--rounds" => plan.rounds = value.parse::<usize>()?.max(1),
            "--answer" => plan.answer = value.parse()?,
            "--connections" => plan.connections = value.parse::<usize>()?.max(1),
            "--times" => plan.times = value.parse()?,
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(plan)
}

#[expect(clippy::print_stdout, reason = "a measurement's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn tell(plan: &Plan, report: &Report) {
    let capacity = report.capacity;
    if !report.pinned {
        say("gateway and generator share their cores: no `taskset`, or no two cores");
    }
    say(&format!(
        "capacity: {capacity:.0} calls/s with answers of {} bytes; {:.0} times that is offered",
        plan.answer, plan.times
    ));
    say("");
    say("one of ten callers brings it; the nine others, each 5 % of capacity");
    say(
        "round   answered   p50 quiet  p50 beside   p99 quiet  p99 beside   ratio   the greedy one: answered/s  refused/s  held back/s",
    );
    let mut ratios = Vec::new();
    for (number, [quiet, beside, greedy]) in report.isolation.iter().enumerate() {
        let ratio = micros(beside, 0.99) / micros(quiet, 0.99);
        ratios.push(ratio);
        let rate = |calls: u64| calls as f64 / plan.length.as_secs_f64();
        say(&format!(
            "{number:>5} {:>9.2} % {:>8.0} µs {:>8.0} µs {:>8.0} µs {:>8.0} µs {ratio:>7.2} {:>28.0} {:>10.0} {:>12.0}",
            100.0 * beside.answered as f64 / beside.offered as f64,
            micros(quiet, 0.5),
            micros(beside, 0.5),
            micros(quiet, 0.99),
            micros(beside, 0.99),
            rate(greedy.answered),
            rate(greedy.refused),
            rate(greedy.held_back),
        ));
    }
    ratios.sort_by(f64::total_cmp);
    say(&format!("median of the ratios: {:.2}", ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)));
    say("");
    let goodput = |tally: &Tally| 100.0 * tally.answered as f64 / plan.length.as_secs_f64() / capacity;
    let refusals = |tally: &Tally| {
        let quantile = |quantile| tally.refusal.value_at_quantile(quantile) as f64 / 1e6;
        format!(
            "{} refused, after {:.1} ms (p50), {:.1} ms (p99)",
            tally.refused,
            quantile(0.5),
            quantile(0.99)
        )
    };
    let overload = &report.overload;
    say(&format!(
        "all ten bring it together: {:.0} % of capacity answered, p99 {:.0} µs; {}",
        goodput(overload),
        micros(overload, 0.99),
        refusals(overload)
    ));
    let (storm, after, recovered) = &report.storm;
    say(&format!(
        "and make what is refused again at once: {:.0} % of capacity answered; {}",
        goodput(storm),
        refusals(storm)
    ));
    let recovered = recovered.map_or("not within the run".to_owned(), |slice| {
        format!("{:.1} s", slice as f64 * SLICE.as_secs_f64())
    });
    say(&format!(
        "then half of capacity: all calls answered after {recovered}; {} of {} refused in all",
        after.refused, after.offered
    ));
}

fn micros(tally: &Tally, quantile: f64) -> f64 {
    tally.latency.value_at_quantile(quantile) as f64 / 1e3
}
