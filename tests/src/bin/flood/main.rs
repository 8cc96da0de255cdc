//! `flood` measures what floods do to other callers. It runs a gateway as a process of its own, nine honest
//! callers at a steady pace and one that connects again for every call, and beside them one attack after the
//! other. For each attack it prints what the honest callers lost (goodput and p99 as ratios to the time just
//! before), the gateway's memory, and how long an attacker's connections lived. Attacker, callers and gateway
//! share the machine, so the ratios include what the attacker's own work takes away. For the slow-loris,
//! whose work is the most, that is measured by itself: the same attack on a listener of this process, which
//! holds and closes connections as the gateway does, beside the same calls to the gateway. It exits with 1 if
//! an honest call failed.
//!
//! `cargo run --release -p chapar-tests --bin flood -- [--seconds 60] [--attack NAME] [--connections 10000]
//! [--smoke]`
//!
//! `--connections` are those of the slow-loris, half of them silent before TLS and half after it, from a
//! hundred addresses; no more than the process may open files, and what was cut is said. `--smoke`: two
//! seconds each, 200 connections.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be set up ends")]

mod attack;
mod elsewhere;
mod honest;
#[expect(dead_code, reason = "the transport's tests use the rest")]
#[path = "../../../../crates/transport/tests/spec/raw.rs"]
mod raw;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attack::{ATTACKS, Attack, Attacker};
use chapar_tests::fleet::{Fleet, Gateway};
use chapar_transport::tls::{self, Expect, Files};
use elsewhere::Elsewhere;
use honest::Honest;
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Options {
    seconds: u64,
    connections: usize,
    attack: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            say(&format!("flood: {error}"));
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
    let mut options = Options { seconds: 60, connections: 10_000, attack: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--smoke" {
            (options.seconds, options.connections) = (2, 200);
            continue;
        }
        let value = arguments.next().ok_or("an option needs a value")?;
        match name.as_str() {
            "--seconds" => options.seconds = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--attack" => options.attack = Some(value),
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    let known = |name: &String| ATTACKS.iter().any(|attack| attack.name() == name);
    if let Some(name) = options.attack.as_ref().filter(|name| !known(name)) {
        let names: Vec<_> = ATTACKS.iter().map(|attack| attack.name()).collect();
        return Err(format!("no attack `{name}`: there are {}", names.join(", ")).into());
    }
    Ok(options)
}

async fn run(options: &Options) -> bool {
    let connections =
        options.connections.min(usize::try_from(files()).unwrap_or(usize::MAX).saturating_sub(1000));
    if connections < options.connections {
        say(&format!("slow-loris with {connections} connections: the process may open no more files"));
    }
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    fleet.pki().issue("com/agri-bank/loans", "attacker");
    let folder = fleet.pki().folder();
    let files = Files {
        cert: folder.join("attacker.crt"),
        key: folder.join("attacker.key"),
        trust: folder.join("ca.crt"),
        crl: None,
    };
    let expect = Expect::identities(vec!["spiffe://lorestan.example/bus/lorestan/gateway".parse().unwrap()]);
    let attacker = Arc::new(Attacker {
        address: fleet.address(),
        tls: tls::client(&files, expect).unwrap(),
        connections,
    });
    let length = Duration::from_secs(options.seconds);
    say(
        "attack             goodput    p99   p99 ms  failed  anew  gateway CPU  RSS before/most MiB   connections  closed after p50/most",
    );
    let mut unharmed = true;
    let wanted = |attack: &&Attack| options.attack.as_ref().is_none_or(|name| name == attack.name());
    for attack in ATTACKS.iter().filter(wanted) {
        if *attack == Attack::SlowLoris {
            let elsewhere = Elsewhere::start();
            let attacker = Attacker { address: elsewhere.address(), ..Attacker::clone(&attacker) };
            measure(&fleet, &gateway, &Arc::new(attacker), *attack, "(elsewhere)", length).await;
        }
        unharmed &= measure(&fleet, &gateway, &attacker, *attack, attack.name(), length).await;
    }
    unharmed
}

/// One attack; whether no honest call failed.
async fn measure(
    fleet: &Fleet,
    gateway: &Gateway,
    attacker: &Arc<Attacker>,
    attack: Attack,
    name: &str,
    length: Duration,
) -> bool {
    let honest = Honest::start(fleet);
    honest.during(Duration::from_millis(500)).await;
    let before = honest.during(length.clamp(Duration::from_secs(1), Duration::from_secs(10))).await;
    let resident = gateway.sample().resident;
    let cpu = gateway.sample().cpu;
    let began = Instant::now();
    let mut most = resident;
    let stop = CancellationToken::new();
    let attacking = tokio::spawn(attack.until(Arc::clone(attacker), stop.clone()));
    let during = {
        let mut waiting = std::pin::pin!(honest.during(length));
        loop {
            tokio::select! {
                during = waiting.as_mut() => break during,
                () = tokio::time::sleep(Duration::from_millis(100)) => most = most.max(gateway.sample().resident),
            }
        }
    };
    let cpu = (gateway.sample().cpu - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    stop.cancel();
    let mut lives = attacking.await.expect("the attack ends");
    honest.stop().await;
    lives.sort_unstable();
    let life = |share: usize| lives.get((lives.len() * share / 100).min(lives.len().saturating_sub(1)));
    let shown =
        |life: Option<&Duration>| life.map_or("-".to_owned(), |life| format!("{:.2}s", life.as_secs_f64()));
    let mib = |bytes: u64| bytes >> 20;
    say(&format!(
        "{:<18} {:>6.2} {:>7.2} {:>7.2} {:>7} {:>5} {:>10.0} % {:>13}/{:<7} {:>12} {:>14}/{}",
        name,
        during.rate() / before.rate(),
        during.p99().as_secs_f64() / before.p99().as_secs_f64(),
        during.p99().as_secs_f64() * 1e3,
        during.failed,
        during.failed_anew,
        cpu * 100.0,
        mib(resident),
        mib(most),
        lives.len(),
        shown(life(50)),
        shown(life(100)),
    ));
    for status in &during.examples {
        say(&format!("  {status}"));
    }
    during.failed == 0
}

/// The files that this process may open; as many as the system lets it ask for.
fn files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Who may not raise it goes on with what there is.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
