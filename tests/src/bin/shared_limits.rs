//! `shared_limits` measures rates that gateways share through Redis: how exactly they hold with 1 to 8
//! gateways, what a decision costs beside one question to Redis for each call, how many commands Redis gets,
//! and what is admitted while Redis fails. The gateways are limiters in this process. `docs/performance.md`
//! keeps a table.
//!
//! `cargo run --release -p chapar-tests --bin shared_limits -- [--seconds N] [--runs N]`

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_limit::{GrantLimiter, RedisServer, Shared, SharedSettings};
use chapar_model::{GrantId, Limits};
use chapar_test_servers::Redis;
use chapar_tests::measure::{Error, own_cpu};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Calls at a time in the comparison of costs.
const IN_FLIGHT: usize = 64;
const COST_CALLS: usize = 100_000;

/// One gateway's limiter.
struct Gateway {
    limiter: Arc<GrantLimiter>,
    shared: Option<Arc<Shared>>,
    grant: GrantId,
    _stop: DropGuard,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("shared_limits: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

async fn run() -> Result<(), Error> {
    let (mut seconds, mut runs) = (10, 20);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?.parse()?;
        match name.as_str() {
            "--seconds" => seconds = value,
            "--runs" => runs = value,
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    let length = Duration::from_secs(seconds);
    exactness(length).await?;
    commands(length).await?;
    cost().await?;
    faults(length, runs).await
}

/// So many gateways of one Redis that know each other.
async fn gateways(port: u16, count: usize, rate: &str, burst: u32) -> Result<Vec<Gateway>, Error> {
    let prefix = format!("measure{}", fastrand::u32(..));
    let mut gateways = Vec::new();
    for _ in 0..count {
        let server = RedisServer::new(&format!("redis://127.0.0.1:{port}"), None, None, None, false)?;
        let shared =
            Shared::new(server, SharedSettings { prefix: prefix.clone(), ..SharedSettings::default() });
        gateways.push(gateway(Some(shared), rate, burst)?);
    }
    let began = Instant::now();
    let knows_all = |gateway: &Gateway| {
        let usage = gateway.shared.as_ref().map(|shared| shared.usage());
        usage.is_some_and(|usage| usage.is_up && usage.replicas as usize == count)
    };
    while !gateways.iter().all(knows_all) {
        if began.elapsed() > Duration::from_secs(15) {
            return Err("the gateways do not find each other".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(gateways)
}

fn gateway(shared: Option<Arc<Shared>>, rate: &str, burst: u32) -> Result<Gateway, Error> {
    let grant: GrantId = "welfare-getperson".parse()?;
    let limits = Limits { rate: Some(rate.parse()?), burst: NonZeroU32::new(burst), concurrent: None };
    let stop = CancellationToken::new();
    if let Some(shared) = &shared {
        tokio::spawn(Arc::clone(shared).run(stop.clone()));
    }
    let limiter = Arc::new(GrantLimiter::new(&[(grant.clone(), limits)], shared.clone()));
    Ok(Gateway { limiter, shared, grant, _stop: stop.drop_guard() })
}

/// Calls at all gateways for so long, `a_second` at each or as fast as they go; how many were admitted, and
/// the time.
async fn load(gateways: &[Gateway], a_second: f64, length: Duration) -> (u64, f64) {
    let began = Instant::now();
    let calls = gateways.iter().map(|gateway| {
        let (limiter, grant) = (Arc::clone(&gateway.limiter), gateway.grant.clone());
        tokio::spawn(async move {
            let (mut admitted, mut made) = (0_u64, 0.0);
            while began.elapsed() < length {
                let due = began.elapsed().as_secs_f64() * a_second;
                while made < due {
                    admitted += u64::from(limiter.admit(&grant).await.is_ok());
                    made += 1.0;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            admitted
        })
    });
    let calls: Vec<_> = calls.collect();
    let mut admitted = 0;
    for call in calls {
        admitted += call.await.unwrap_or(0);
    }
    (admitted, began.elapsed().as_secs_f64())
}

/// Three times the limit is brought. The reference is the definition of the rate: burst + rate × time.
async fn exactness(length: Duration) -> Result<(), Error> {
    let redis = Redis::start();
    for (rate, burst) in [(20.0, 40), (200.0, 200), (2000.0, 2000)] {
        for count in [1, 2, 4, 8] {
            let gateways = gateways(redis.port(), count, &format!("{rate}/s"), burst).await?;
            let (admitted, took) = load(&gateways, 3.0 * rate / count as f64, length).await;
            let reference = f64::from(burst) + rate * took;
            say(&format!(
                "exact: {rate:>5}/s, burst {burst:>4}, {count} gateways: {admitted:>6} admitted, reference {reference:>8.0}, error {:+.2} %",
                (admitted as f64 / reference - 1.0) * 100.0
            ));
        }
    }
    Ok(())
}

/// Commands to Redis for each 1,000 calls within the limit, of one gateway.
async fn commands(length: Duration) -> Result<(), Error> {
    let redis = Redis::start();
    for rate in [10.0, 100.0, 1000.0, 10_000.0] {
        let burst = rate as u32;
        let gateways = gateways(redis.port(), 1, &format!("{}/s", rate * 2.0), burst * 2).await?;
        let usage = || gateways.first().and_then(|one| one.shared.as_ref()).map(|shared| shared.usage());
        let before = usage().ok_or("no gateway")?;
        let (admitted, _) = load(&gateways, rate, length).await;
        let after = usage().ok_or("no gateway")?;
        let each = |count: u64| count as f64 * 1000.0 / admitted.max(1) as f64;
        say(&format!(
            "commands: {rate:>6} calls/s: {:>7.1} commands and {:>5.1} waits for 1,000 calls",
            each(after.commands.0 - before.commands.0),
            each(after.waits - before.waits)
        ));
    }
    Ok(())
}

/// One decision: in this process alone, by leases, and by one question to Redis for each call.
async fn cost() -> Result<(), Error> {
    let redis = Redis::start();
    let (rate, burst) = ("1000000/s", 1_000_000);
    let own = gateway(None, rate, burst)?;
    let leased = gateways(redis.port(), 1, rate, burst).await?;
    let [leased] = leased.as_slice() else { return Err("one gateway".into()) };
    for (name, gateway) in [("this process alone", &own), ("leases", leased)] {
        // The first round tells the speed.
        for round in 0..2 {
            let (began, cpu) = (Instant::now(), own_cpu()?);
            for _ in 0..COST_CALLS {
                gateway.limiter.admit(&gateway.grant).await.ok();
            }
            if round == 1 {
                cost_line(name, began.elapsed(), own_cpu()? - cpu);
            }
        }
    }
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", redis.port()))?;
    let connection = client.get_multiplexed_async_connection().await?;
    let script = Arc::new(redis::Script::new(
        "local now = redis.call('TIME') local at = tonumber(redis.call('GET', KEYS[1]) or 0) \
         redis.call('SET', KEYS[1], math.max(at, now[1] * 1000000 + now[2]) + 1, 'PX', 1000) return 1",
    ));
    let (began, cpu) = (Instant::now(), own_cpu()?);
    let calls = (0..IN_FLIGHT).map(|_| {
        let (mut connection, script) = (connection.clone(), Arc::clone(&script));
        tokio::spawn(async move {
            for _ in 0..COST_CALLS / IN_FLIGHT {
                script.key("measure").invoke_async::<i64>(&mut connection).await?;
            }
            Ok::<_, redis::RedisError>(())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await??;
    }
    cost_line("one EVALSHA a call, 64 at a time", began.elapsed(), own_cpu()? - cpu);
    Ok(())
}

fn cost_line(name: &str, took: Duration, cpu: f64) {
    say(&format!(
        "cost: {name:<33} {:>9.3} µs a call, {:>7.3} µs of CPU here",
        took.as_secs_f64() * 1e6 / COST_CALLS as f64,
        cpu * 1e6 / COST_CALLS as f64
    ));
}

/// What is done to a Redis, and undone.
type Change = fn(&Redis);

/// Twice the limit at each of two gateways, while Redis fails in the middle third.
async fn faults(length: Duration, runs: u64) -> Result<(), Error> {
    let ask = |redis: &Redis, line: &str| {
        redis.ask(line);
    };
    let faults: [(&str, Change, Change); 6] = [
        ("killed", Redis::kill, Redis::restart),
        ("standing still", Redis::stop_the_world, Redis::go_on),
        ("flushed", |redis| drop(redis.ask("FLUSHALL")), |_| {}),
        ("scripts flushed", |redis| drop(redis.ask("SCRIPT FLUSH SYNC")), |_| {}),
        (
            "read-only",
            |redis| drop(redis.ask("REPLICAOF 127.0.0.1 1")),
            |redis| drop(redis.ask("REPLICAOF NO ONE")),
        ),
        (
            "full",
            |redis| drop(redis.ask("CONFIG SET maxmemory 1")),
            |redis| drop(redis.ask("CONFIG SET maxmemory 0")),
        ),
    ];
    let (rate, burst) = (100.0, 20);
    for (name, begin, end) in faults {
        let (mut least, mut most, mut most_allowed) = (f64::MAX, f64::MIN, 0.0_f64);
        for _ in 0..runs {
            let redis = Redis::start();
            ask(&redis, "PING");
            let gateways = gateways(redis.port(), 2, &format!("{rate}/s"), burst).await?;
            let third = length / 3;
            // With the time that a change takes, in which buckets fill.
            let (mut admitted, began) = (0, Instant::now());
            for change in [None, Some(begin), Some(end)] {
                if let Some(change) = change {
                    change(&redis);
                }
                admitted += load(&gateways, 2.0 * rate, third).await.0;
            }
            let time = began.elapsed().as_secs_f64();
            let share = admitted as f64 / (rate * time);
            (least, most) = (least.min(share), most.max(share));
            most_allowed = most_allowed.max((1.05 * rate * time + 2.0 * f64::from(burst)) / (rate * time));
        }
        say(&format!(
            "faults: {name:<15} {runs} runs of {} s: {:.2} to {:.2} of rate × time (allowed: 0.45 to {most_allowed:.2})",
            length.as_secs(),
            least,
            most
        ));
    }
    Ok(())
}
