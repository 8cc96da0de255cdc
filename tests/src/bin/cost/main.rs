//! `cost` measures what an adapter costs beside a gRPC server that was written by hand for the same query
//! with the same driver: calls a second, latency, and CPU for each call, in turns in one run, each in a
//! process of its own. `docs/performance.md` keeps a table.
//!
//! `cargo run --release -p chapar-tests --bin cost -- [--people N] [--calls N] [--rounds N] [--callers N,N,…]
//! [--engine postgres|sqlite]`

mod by_hand;
mod driver;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use chapar_test_servers::Postgres;
use chapar_tests::measure::{
    Error, Process, Rounds, Shape, Target, demo, free_port, listen_instead, median, national_ids,
};

struct Options {
    people: u64,
    calls: u64,
    rounds: usize,
    callers: Vec<usize>,
    engines: Vec<String>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new();
    let ended = runtime.map_err(Error::from).and_then(|runtime| {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match arguments.as_slice() {
            [first, port, dir, database] if first == "by-hand" => {
                runtime.block_on(by_hand::serve(port.parse()?, Path::new(dir), database))
            }
            arguments => runtime.block_on(measure(&options(arguments)?)),
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cost: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn options(arguments: &[String]) -> Result<Options, Error> {
    let mut options = Options {
        people: 2_000,
        calls: 20_000,
        rounds: 5,
        callers: vec![1, 8, 64],
        engines: vec!["sqlite".to_owned(), "postgres".to_owned()],
    };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?;
        match name.as_str() {
            "--people" => options.people = value.parse()?,
            "--calls" => options.calls = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--callers" => options.callers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--engine" => options.engines = vec![value.clone()],
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(options)
}

async fn measure(options: &Options) -> Result<(), Error> {
    say(&format!(
        "{} people, {} calls a round, {} rounds in turns; medians of the rounds\n",
        options.people, options.calls, options.rounds
    ));
    say("database   load         server       calls/s      p50        p99     CPU per call");
    for engine in &options.engines {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("demo");
        let people = options.people.to_string();
        let server = (engine == "postgres").then(Postgres::start);
        let database = match &server {
            None => {
                demo(&dir, &["--people", &people])?;
                dir.join("databases/civil.db").display().to_string()
            }
            Some(server) => {
                let socket = server.socket_folder().display().to_string().replace('/', "%2F");
                let url = format!("postgres://postgres@{socket}:{}/postgres", server.port());
                demo(&dir, &["--people", &people, "--database", &url])?;
                format!("{}:{}", server.socket_folder().display(), server.port())
            }
        };
        one_engine(options, engine, &dir, &database).await?;
    }
    Ok(())
}

async fn one_engine(options: &Options, engine: &str, dir: &Path, database: &str) -> Result<(), Error> {
    let port = listen_instead(dir)?;
    let adapter = Process::chapar("adapter", &dir.join("adapters/civil.toml"))?;
    let other = free_port()?;
    let own: PathBuf = std::env::current_exe()?;
    let by_hand =
        Process::of(Command::new(own).args(["by-hand", &other.to_string()]).arg(dir).arg(database))?;
    let ids = national_ids(dir)?;
    let ours = Target::direct(dir, port, &ids)?;
    let theirs = Target::direct(dir, other, &ids)?;
    ours.ready().await?;
    theirs.ready().await?;
    for callers in &options.callers {
        let shape = Shape::Closed { callers: *callers, calls: options.calls };
        let (mut adapted, mut written) = (Rounds::default(), Rounds::default());
        let mut floor = Vec::new();
        for _ in 0..options.rounds {
            let before = adapter.cpu()?;
            let report = shape.run(&ours).await;
            adapted.add(&report, adapter.cpu()? - before)?;
            let before = by_hand.cpu()?;
            let report = shape.run(&theirs).await;
            written.add(&report, by_hand.cpu()? - before)?;
            floor.push(driver::rate(database, dir, &ids, *callers, options.calls).await?);
        }
        for (name, rounds) in [("adapter", &adapted), ("by hand", &written)] {
            say(&format!(
                "{engine:<10} {:<12} {name:<10} {:>9.0}  {:>7.0} µs {:>8.0} µs  {:>7.1} µs",
                shape.name(),
                median(&rounds.rate),
                median(&rounds.p50),
                median(&rounds.p99),
                median(&rounds.cpu)
            ));
        }
        let ratios: Vec<f64> =
            adapted.cpu.iter().zip(&written.cpu).map(|(ours, theirs)| ours / theirs).collect();
        say(&format!(
            "{:<10} {:<12} {:<10} {:>9.0}                          CPU adapter : by hand {:.2}",
            "",
            "",
            "driver",
            median(&floor),
            median(&ratios)
        ));
    }
    Ok(())
}
