//! `existence` measures whether the time of an answer tells a record that is outside the granted rows from
//! one that does not exist: calls of both kinds by turns, over one connection, to a gateway and an adapter in
//! this process. It prints the medians and the rank test of Mann and Whitney (1947), two-sided, in its normal
//! approximation. A small p says that the two can be told apart by as many calls.
//!
//! `cargo run --release -p chapar-tests --bin existence -- [CALLS-OF-EACH-KIND]` (default 3,000: two minutes)

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement's output is its purpose")]

use std::time::{Duration, Instant};

use chapar_tests::people::{NOBODY, ZAHRA};
use chapar_tests::{Bus, Caller};

/// The registry's file with the grants of the civil register.
const CIVIL: &str = "gov/civil-registry.toml";

#[tokio::main]
async fn main() {
    let calls = std::env::args().nth(1).map_or(3000, |text| text.parse().expect("a number of calls"));
    let elsewhere = |text: String| {
        let unlimited: Vec<&str> = text.lines().filter(|line| !line.starts_with("limit ")).collect();
        // Everyone in the register lives in province 15.
        unlimited
            .join("\n")
            .replace("rows     = { province = [\"15\"] }", "rows     = { province = [\"16\"] }")
    };
    let bus = Bus::builder().edit(CIVIL, elsewhere).start().await;
    let school = bus.caller("gov/school/admission").await;
    for _ in 0..20 {
        ask(&school, ZAHRA).await;
    }
    let (mut hidden, mut absent) = (Vec::new(), Vec::new());
    for number in 0..calls {
        // Each kind comes first as often as the other, so that what the first call warms up favours neither.
        for is_hidden in [number % 2 == 0, number % 2 != 0] {
            match is_hidden {
                true => hidden.push(ask(&school, ZAHRA).await),
                false => absent.push(ask(&school, NOBODY).await),
            }
        }
    }
    let (z, p) = rank_test(&hidden, &absent);
    println!("calls of each kind  hidden, median ms  absent, median ms  z      p");
    println!("{calls:<19} {:<18.4} {:<18.4} {z:<6.2} {p:.3}", median_ms(&mut hidden), median_ms(&mut absent));
}

/// How long the answer about a citizen takes.
async fn ask(school: &Caller, id: &str) -> Duration {
    let ask = school.ask("civil.v1.CivilRegistry/GetPerson").purpose("school.admission");
    let ask = ask.field("national_id", id).case("1404-1").clerk("z.karimi");
    let began = Instant::now();
    let refused = ask.send().await.expect_err("no row is granted");
    let took = began.elapsed();
    assert_eq!(refused.reason, "RECORD_NOT_FOUND");
    took
}

fn median_ms(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// The standard score of the rank sum, and how likely one as far from zero is where both kinds are alike.
fn rank_test(one: &[Duration], other: &[Duration]) -> (f64, f64) {
    let mut all: Vec<(Duration, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort_unstable();
    // In nanoseconds ties are too few to matter.
    let ranks: f64 =
        all.iter().zip(1u32..).filter(|((_, is_one), _)| *is_one).map(|(_, rank)| f64::from(rank)).sum();
    let (n, m) = (one.len() as f64, other.len() as f64);
    let mean = n * (n + m + 1.0) / 2.0;
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    let z = (ranks - mean) / deviation;
    (z, two_sided(z))
}

/// Twice the upper tail of the normal distribution at |z| (Abramowitz and Stegun 26.2.17, error below
/// 1.5e-7).
fn two_sided(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let polynomial = series.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    2.0 * density * polynomial
}
