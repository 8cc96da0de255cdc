//! `busy` measures what becomes of calls to a provider that is busy and not broken, at the demo's settings
//! (64 calls at once, 4 connections to the database): 64 callers with statements of some 50 ms, beside the 4
//! callers that fill the connections; and 20 calls a second on a database that a writer locks for 250 ms in
//! each second. It exits with 1 if the circuit breaker of the only endpoint opened.
//!
//! `cargo run --release -p chapar-tests --bin busy -- [SECONDS]` (default 10 for each part)

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement's output is its purpose")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Caller};

/// The registry's file with the service and the grants of the civil register.
const CIVIL: &str = "gov/civil-registry.toml";
/// Keeps a statement busy for some 50 ms of one core: a text is looked for at each place of a longer one. A
/// query of rows would have to say where they are narrowed.
const WORK: &str = "instr(hex(zeroblob(70000)), hex(zeroblob(28000)) || '1') = 0";
const CALLERS: usize = 64;
const CONNECTIONS: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(10, |text| text.parse().expect("a number of seconds"));
    let length = Duration::from_secs(seconds);
    let filled = slow_statements(CONNECTIONS, length).await;
    let busy = slow_statements(CALLERS, length).await;
    println!("statements of some 50 ms, {CONNECTIONS} connections: calls answered a second");
    println!("  {CONNECTIONS} callers   {:>6.1}", filled.rate(length));
    println!(
        "  {CALLERS} callers  {:>6.1} ({:.0} %), {} ejections; {}",
        busy.rate(length),
        100.0 * busy.rate(length) / filled.rate(length),
        busy.ejections,
        busy.refusals()
    );
    let locked = locked_database(length).await;
    println!("a writer locks the database for 250 ms in each second, 20 calls a second");
    println!(
        "  answered   {:.0} %, {} ejections; {}",
        100.0 * locked.answered as f64 / locked.calls() as f64,
        locked.ejections,
        locked.refusals()
    );
    if busy.ejections + locked.ejections == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of the calls.
#[derive(Default)]
struct Tally {
    answered: u64,
    /// By reason.
    refused: BTreeMap<String, u64>,
    ejections: u64,
}

impl Tally {
    fn count(&mut self, other: Self) {
        self.answered += other.answered;
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    fn calls(&self) -> u64 {
        self.answered + self.refused.values().sum::<u64>()
    }

    fn rate(&self, length: Duration) -> f64 {
        self.answered as f64 / length.as_secs_f64()
    }

    fn refusals(&self) -> String {
        let each = self.refused.iter().map(|(reason, count)| format!("{count} {reason}"));
        match self.refused.is_empty() {
            true => "none refused".to_owned(),
            false => format!("refused: {}", each.collect::<Vec<_>>().join(", ")),
        }
    }
}

async fn bus(statement: fn(String) -> String) -> Bus {
    let settings = |text: String| {
        let unlimited: Vec<&str> = text.lines().filter(|line| !line.starts_with("limit ")).collect();
        unlimited.join("\n").replace("[[service]]", "[[service]]\nlimit = { concurrent = 64 }")
    };
    Bus::builder().edit(CIVIL, settings).statement("GetPerson", statement).start().await
}

async fn ejections(bus: &Bus) -> u64 {
    let page = bus.admin("/metrics").await;
    let line = page.lines().find_map(|line| {
        line.strip_prefix("chapar_upstream_ejections_total{service=\"civil.v1.CivilRegistry\"} ")
    });
    line.and_then(|count| count.parse().ok()).expect("the figure is shown")
}

/// As many callers as are told, each with the next call once its last has ended.
async fn slow_statements(callers: usize, length: Duration) -> Tally {
    let bus = bus(|text| format!("{text}\nAND {WORK}")).await;
    let until = Instant::now() + length;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let welfare = bus.welfare().await;
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while Instant::now() < until {
                tally.count(one(&welfare).await);
                // As a caller waits that was refused, and no longer.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tally
        });
    }
    let mut sum = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        sum.count(tally.expect("a caller ends"));
    }
    sum.ejections = ejections(&bus).await;
    sum
}

/// Twenty calls a second, whatever becomes of those before, on a database that a writer locks.
async fn locked_database(length: Duration) -> Tally {
    let bus = bus(|text| text).await;
    let until = Instant::now() + length;
    let path = bus.folder().join("civil.db");
    let writer = std::thread::spawn(move || {
        let database = rusqlite::Connection::open(path).expect("the database");
        database.busy_timeout(Duration::from_secs(5)).expect("a setting");
        while Instant::now() < until {
            database.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
            std::thread::sleep(Duration::from_millis(250));
            database.execute_batch("COMMIT").expect("the lock is given back");
            std::thread::sleep(Duration::from_millis(750));
        }
    });
    let welfare = bus.welfare().await;
    let mut tasks = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while Instant::now() < until {
        ticks.tick().await;
        let welfare = welfare.clone();
        tasks.spawn(async move { one(&welfare).await });
    }
    let mut sum = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        sum.count(tally.expect("a call ends"));
    }
    writer.join().expect("the writer ends");
    sum.ejections = ejections(&bus).await;
    sum
}

async fn one(welfare: &Caller) -> Tally {
    let mut tally = Tally::default();
    match welfare.get_person(ZAHRA).send().await {
        Ok(_) => tally.answered = 1,
        Err(refused) => drop(tally.refused.insert(refused.reason, 1)),
    }
    tally
}
