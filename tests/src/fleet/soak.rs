//! This module makes a long run at a steady rate, and reports on memory, descriptors and the slowest calls:
//! the slope of each over time by least squares, with the margin of its 95 % interval.

use std::time::{Duration, Instant};

use super::{Client, Fleet};
use crate::load::{closed, open};

const CALLERS: usize = 16;

/// How long, and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The steady part.
    pub length: Duration,
    /// Share of what the gateway can answer.
    pub load: f64,
    /// How often the process is looked at.
    pub every: Duration,
    /// Calls by which its capacity is measured.
    pub measure: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { length: Duration::from_secs(1800), load: 0.7, every: Duration::from_secs(5), measure: 50_000 }
    }
}

/// What came of it. A slope is per minute, with its margin.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Calls per second that were answered as fast as they could be.
    pub capacity: f64,
    /// Calls per second that were asked for.
    pub rate: f64,
    /// Calls answered in the steady part.
    pub answered: u64,
    /// Calls that were not.
    pub failed: u64,
    /// Resident memory at the end, in MiB.
    pub resident: f64,
    /// Slope of resident memory, KiB.
    pub memory: (f64, f64),
    /// Slope of open descriptors.
    pub descriptors: (f64, f64),
    /// The 99th percentile of latency between two looks, in ms: the median of all looks.
    pub p99: f64,
    /// Its slope, ms.
    pub slowest: (f64, f64),
}

/// Runs the plan on one gateway, and verifies its evidence at the end.
///
/// # Panics
/// If the gateway does not start or end in order, or its evidence does not verify.
pub async fn run(plan: &Plan) -> Report {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    let clients: Vec<Client> = (0..CALLERS).map(|number| fleet.client(&format!("caller-{number}"))).collect();
    let ask = {
        let clients = clients.clone();
        move |number: u64| {
            let client = clients.get(usize::try_from(number).unwrap_or(0) % CALLERS).cloned();
            async move {
                match client {
                    Some(client) => client.get_person().await.is_ok(),
                    None => false,
                }
            }
        }
    };
    // The first round warms up: connections, allocator, page cache.
    closed(CALLERS, plan.measure / 4, ask.clone()).await;
    let capacity = closed(CALLERS, plan.measure, ask.clone()).await.rate();
    let rate = capacity * plan.load;
    let began = Instant::now();
    let mut looks = Vec::new();
    let mut answered = 0;
    let mut failed = 0;
    while began.elapsed() < plan.length {
        let part = open(rate, plan.every, ask.clone()).await;
        (answered, failed) = (answered + part.answered, failed + part.failed);
        looks.push((
            began.elapsed().as_secs_f64() / 60.0,
            gateway.sample(),
            part.quantile(0.99).as_secs_f64() * 1e3,
        ));
    }
    drop(clients);
    gateway.stop().await;
    let over = |value: &dyn Fn(&(f64, super::Sample, f64)) -> f64| {
        slope(&looks.iter().map(|look| (look.0, value(look))).collect::<Vec<_>>())
    };
    let mut slowest: Vec<f64> = looks.iter().map(|look| look.2).collect();
    slowest.sort_by(f64::total_cmp);
    Report {
        capacity,
        rate,
        answered,
        failed,
        resident: looks.last().map_or(0.0, |look| look.1.resident as f64 / f64::from(1 << 20)),
        memory: over(&|look| look.1.resident as f64 / 1024.0),
        descriptors: over(&|look| look.1.descriptors as f64),
        p99: slowest.get(slowest.len() / 2).copied().unwrap_or_default(),
        slowest: over(&|look| look.2),
    }
}

/// The slope of a line through points by least squares, and 1.96 times its standard error; no line through
/// fewer than three.
fn slope(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    if points.len() < 3 {
        return (f64::NAN, f64::NAN);
    }
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let left: f64 = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum();
    (slope, 1.96 * (left / (count - 2.0) / spread).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_found_with_a_margin_that_grows_with_the_noise() {
        let line = |noise: f64| {
            let points = (0..100)
                .map(|x| (f64::from(x), 3.0 * f64::from(x) + if x % 2 == 0 { noise } else { -noise }));
            slope(&points.collect::<Vec<_>>())
        };
        let (exact, none) = line(0.0);
        let (near, some) = line(10.0);
        assert!((exact - 3.0).abs() < 1e-9 && none < 1e-6, "{exact} ± {none}");
        assert!((near - 3.0).abs() < some && some > 0.01, "{near} ± {some}");
    }
}
