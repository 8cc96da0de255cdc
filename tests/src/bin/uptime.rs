//! `uptime` does planned work on a deployment under load: rolling restarts of two processes on one socket,
//! new certificates, registries, trusted authorities and revocation lists. It counts the calls that failed
//! for default clients, and measures how long a revoked caller with a live connection is still answered. It
//! exits with 1 if a call failed or a revocation took over 2 s.
//!
//! `cargo run --release -p chapar-tests --bin uptime -- [--restarts 50] [--rotations 100] [--reloads 100]
//! [--renewals 50] [--revocations 20] [--callers 16] [--channels 16]`
//!
//! The client is tonic's channel, one connection each. It does not send again what a GOAWAY has left
//! untouched, so a rolling restart loses calls with it that gRPC's own client keeps
//! (`tests/foreign/interop/test_restarts.py`); they are counted here.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chapar_tests::fleet::{Fleet, Gateway, Load, drill};

const PAUSE: Duration = Duration::from_millis(2);
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Options {
    restarts: usize,
    rotations: usize,
    reloads: usize,
    renewals: usize,
    revocations: usize,
    callers: usize,
    channels: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            say(&format!("uptime: {error}"));
            return ExitCode::from(2);
        }
    };
    if run(&options).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "a measurement's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn options() -> Result<Options, Error> {
    let mut options = Options {
        restarts: 50,
        rotations: 100,
        reloads: 100,
        renewals: 50,
        revocations: 20,
        callers: 16,
        channels: 16,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?.parse()?;
        match name.as_str() {
            "--restarts" => options.restarts = value,
            "--rotations" => options.rotations = value,
            "--reloads" => options.reloads = value,
            "--renewals" => options.renewals = value,
            "--revocations" => options.revocations = value,
            "--channels" => options.channels = value,
            "--callers" => options.callers = value,
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(options)
}

async fn run(options: &Options) -> bool {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    let mut drilled =
        Drilled { fleet: &fleet, callers: options.callers, channels: options.channels, failed: 0 };
    say("what                   times   calls  failed   seconds");
    let gateway = drilled
        .under_load("rolling restarts", options.restarts, async |load, times| {
            drill::restarts(&fleet, gateway, times, load).await
        })
        .await;
    let gateway: &Gateway = &gateway;
    drilled
        .under_load("certificates", options.rotations, async |load, times| {
            drill::rotations(&fleet, gateway, times, load).await;
        })
        .await;
    drilled
        .under_load("registries", options.reloads, async |load, times| {
            drill::reloads(&fleet, gateway, times, load).await;
        })
        .await;
    drilled
        .under_load("trust and revocations", options.renewals, async |load, times| {
            drill::renewals(&fleet, gateway, times, load).await;
        })
        .await;
    let mut took = drill::revocations(&fleet, options.revocations).await;
    took.sort_unstable();
    let at = |share: usize| took.get((took.len() * share / 100).min(took.len().saturating_sub(1))).copied();
    let median = at(50).unwrap_or_default();
    let longest = took.last().copied().unwrap_or_default();
    say(&format!(
        "revoked to refused on a live connection, {} tries: p50 {median:?}, p100 {longest:?}",
        took.len()
    ));
    drilled.failed == 0 && longest <= REFUSED_WITHIN
}

struct Drilled<'a> {
    fleet: &'a Fleet,
    callers: usize,
    channels: usize,
    failed: usize,
}

impl Drilled<'_> {
    async fn under_load<T>(
        &mut self,
        what: &str,
        times: usize,
        act: impl AsyncFnOnce(&Load, usize) -> T,
    ) -> T {
        let clients: Vec<_> =
            (0..self.channels).map(|number| self.fleet.client(&format!("caller-{number}"))).collect();
        let load = Load::start(&clients, self.callers, PAUSE);
        let began = Instant::now();
        let done = act(&load, times).await;
        let tally = load.stop().await;
        let took = began.elapsed().as_secs_f64();
        say(&format!("{what:<21} {times:>6} {:>7} {:>7} {took:>9.1}", tally.answered, tally.failed.len()));
        for (after, status) in tally.failed.iter().take(10) {
            say(&format!("  failed after {:.3} s: {status:?}", after.as_secs_f64()));
        }
        self.failed += tally.failed.len();
        done
    }
}
