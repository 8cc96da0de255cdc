//! This module is the load generator: closed loop (a fixed number of callers, each waits for its answer) and
//! open loop (calls begin at a fixed rate whatever the answers do). In the open loop latency counts from the
//! intended start, so a stall is seen by every call that should have begun during it (no coordinated
//! omission).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were not.
    pub failed: u64,
    /// From the first start to the last answer.
    pub elapsed: Duration,
    /// Latency of answered calls in nanoseconds, three significant figures.
    pub latency: Histogram<u64>,
}

impl Report {
    /// Answered calls per second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that a share `quantile` (0 to 1) of the calls did not exceed.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }
}

/// `callers` at once make `calls` calls in all, each the next as soon as its last is answered. A call gives
/// whether it was answered.
pub async fn closed<C, F>(callers: usize, calls: u64, call: C) -> Report
where
    C: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let call = Arc::new(call);
    let next = Arc::new(AtomicU64::new(0));
    let (done, results) = mpsc::channel(callers.max(1) * 16);
    let began = Instant::now();
    for _ in 0..callers {
        let call = Arc::clone(&call);
        let next = Arc::clone(&next);
        let done = done.clone();
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    break;
                }
                let start = Instant::now();
                let answered = call(number).await;
                if done.send((answered, start.elapsed())).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(done);
    collect(results, began).await
}

/// `rate` calls per second begin for as long as `length`, each in a task of its own.
pub async fn open<C, F>(rate: f64, length: Duration, call: C) -> Report
where
    C: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let call = Arc::new(call);
    let (done, results) = mpsc::channel(1 << 16);
    let began = Instant::now();
    let count = (rate * length.as_secs_f64()) as u64;
    tokio::spawn(async move {
        for number in 0..count {
            let intended = began + Duration::from_secs_f64(number as f64 / rate);
            tokio::time::sleep_until(intended.into()).await;
            let call = Arc::clone(&call);
            let done = done.clone();
            tokio::spawn(async move {
                let answered = call(number).await;
                done.send((answered, intended.elapsed())).await.ok();
            });
        }
    });
    collect(results, began).await
}

async fn collect(mut results: mpsc::Receiver<(bool, Duration)>, began: Instant) -> Report {
    let mut latency =
        Histogram::new(3).unwrap_or_else(|_| unreachable!("three significant figures are allowed"));
    let mut answered = 0;
    let mut failed = 0;
    while let Some((ok, took)) = results.recv().await {
        if ok {
            answered += 1;
            // Cannot fail: a histogram without bounds grows.
            latency.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)).ok();
        } else {
            failed += 1;
        }
    }
    Report { answered, failed, elapsed: began.elapsed(), latency }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_open_loop_counts_from_the_intended_start() {
        // One shared resource that is blocked for 200 ms: calls that should have begun meanwhile see the wait
        // too.
        let gate = Arc::new(tokio::sync::Mutex::new(()));
        let report = open(200.0, Duration::from_millis(500), move |number| {
            let gate = Arc::clone(&gate);
            async move {
                let _held = gate.lock().await;
                if number == 10 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                true
            }
        })
        .await;
        assert_eq!((report.answered, report.failed), (100, 0));
        assert!(
            report.quantile(0.80) > Duration::from_millis(20),
            "the stall reached only {:?}",
            report.quantile(0.80)
        );
    }

    #[tokio::test]
    async fn the_closed_loop_makes_exactly_the_calls_it_is_asked_for() {
        let report = closed(8, 1000, |number| async move { number % 10 != 0 }).await;
        assert_eq!((report.answered, report.failed), (900, 100));
    }
}
