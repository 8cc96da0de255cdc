//! `overhead` measures what the gateway costs: one unary call through gateway and adapter is compared with
//! the same call straight to the adapter, in turns in one run, with the gateway, the adapter and the load in
//! processes of their own. It prints a table; `docs/performance.md` keeps one.
//!
//! `cargo run --release -p chapar-tests --bin overhead -- [--people N] [--calls N] [--rounds N] [--callers
//! N,N,…]`

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chapar_tests::measure::{
    Error, Process, Rounds, Shape, Target, demo, listen_instead, median, national_ids,
};

struct Options {
    people: u64,
    calls: u64,
    rounds: usize,
    callers: Vec<usize>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("overhead: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn options() -> Result<Options, Error> {
    let mut options = Options { people: 2_000, calls: 20_000, rounds: 5, callers: vec![1, 8, 64] };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?;
        match name.as_str() {
            "--people" => options.people = value.parse()?,
            "--calls" => options.calls = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--callers" => options.callers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(options)
}

async fn run() -> Result<(), Error> {
    let options = options()?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("demo");
    demo(&dir, &["--people", &options.people.to_string()])?;
    lift_limits(&dir)?;
    let port = listen_instead(&dir)?;
    name_endpoint(&dir, port)?;
    let demo: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("demo.json"))?)?;
    let adapter = Process::chapar("adapter", &dir.join("adapters/civil.toml"))?;
    let gateway = Process::chapar("gateway", &dir.join("gateway.toml"))?;
    let ids = national_ids(&dir)?;
    let through = Target::through(&dir, &demo, &ids)?;
    let direct = Target::direct(&dir, port, &ids)?;
    for target in [&through, &direct] {
        target.ready().await?;
    }
    say(&format!(
        "{} people, {} calls a round, {} rounds in turns; medians of the rounds\n",
        options.people, options.calls, options.rounds
    ));
    say("load          way            calls/s      p50        p99        gateway CPU per call");
    for callers in options.callers.clone() {
        let shape = Shape::Closed { callers, calls: options.calls };
        compare(&shape, options.rounds, &direct, &through, &adapter, &gateway).await?;
    }
    compare(
        &Shape::Open { rate: 500.0, length: Duration::from_secs(4) },
        options.rounds,
        &direct,
        &through,
        &adapter,
        &gateway,
    )
    .await
}

/// The measured grant without its rate: the benchmark is about cost, not about being refused.
fn lift_limits(dir: &Path) -> Result<(), Error> {
    let path = dir.join("registry/gov/civil-registry.toml");
    let text = std::fs::read_to_string(&path)?;
    let kept: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("limit")).collect();
    Ok(std::fs::write(path, kept.join("\n"))?)
}

/// The gateway dials the adapter there.
fn name_endpoint(dir: &Path, port: u16) -> Result<(), Error> {
    let path = dir.join("registry/gov/civil-registry.toml");
    let text = std::fs::read_to_string(&path)?;
    let endpoints = format!("[[service]]\nendpoints = [\"https://127.0.0.1:{port}\"]");
    Ok(std::fs::write(&path, text.replacen("[[service]]", &endpoints, 1))?)
}

async fn compare(
    shape: &Shape,
    rounds: usize,
    direct: &Target,
    through: &Target,
    adapter: &Process,
    gateway: &Process,
) -> Result<(), Error> {
    let mut straight = Rounds::default();
    let mut gated = Rounds::default();
    for _ in 0..rounds {
        let before = adapter.cpu()?;
        let report = shape.run(direct).await;
        straight.add(&report, adapter.cpu()? - before)?;
        let before = gateway.cpu()?;
        let report = shape.run(through).await;
        gated.add(&report, gateway.cpu()? - before)?;
    }
    let name = shape.name();
    let line = |way: &str, rounds: &Rounds, cpu: String| {
        say(&format!(
            "{name:<13} {way:<13} {:>8.0}  {:>7.0} µs {:>8.0} µs   {cpu}",
            median(&rounds.rate),
            median(&rounds.p50),
            median(&rounds.p99)
        ));
    };
    line("adapter", &straight, format!("(adapter: {:.0} µs)", median(&straight.cpu)));
    line("gateway", &gated, format!("{:.0} µs", median(&gated.cpu)));
    let added = |of: fn(&Rounds) -> &Vec<f64>| median(of(&gated)) - median(of(&straight));
    say(&format!(
        "{:<13} {:<13} {:>8}  {:>+7.0} µs {:>+8.0} µs",
        "",
        "added",
        "",
        added(|r| &r.p50),
        added(|r| &r.p99)
    ));
    Ok(())
}
