//! This module has the honest callers: nine on connections of their own that make a call every few
//! milliseconds, and one that connects again ten times a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_tests::fleet::{Client, Fleet};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const CALLERS: usize = 9;
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(10);

/// Callers at work.
pub(crate) struct Honest {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

/// What came of a while.
pub(crate) struct Seen {
    began: Instant,
    elapsed: Duration,
    latency: Histogram<u64>,
    /// Calls that were not answered, on connections that there were.
    pub(crate) failed: u64,
    /// Calls that were not answered, where a connection had to be made.
    pub(crate) failed_anew: u64,
    /// Some of the reasons.
    pub(crate) examples: Vec<String>,
}

impl Seen {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            elapsed: Duration::ZERO,
            latency: Histogram::new(3).unwrap(),
            failed: 0,
            failed_anew: 0,
            examples: Vec::new(),
        }
    }

    /// Answered calls per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// What one call in a hundred took longer than.
    pub(crate) fn p99(&self) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(0.99))
    }
}

impl Honest {
    pub(crate) fn start(fleet: &Fleet) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let seen = Arc::new(Mutex::new(Seen::new()));
        for number in 0..CALLERS {
            let client = fleet.client(&format!("honest-{number}"));
            tasks.spawn(call_for_ever(move || client.clone(), PAUSE, false, stop.clone(), Arc::clone(&seen)));
        }
        let anew = fleet.clients("honest-anew");
        tasks.spawn(call_for_ever(anew, Duration::from_millis(100), true, stop.clone(), Arc::clone(&seen)));
        Self { stop, tasks, seen }
    }

    /// What comes of the next while.
    pub(crate) async fn during(&self, length: Duration) -> Seen {
        *self.seen.lock() = Seen::new();
        tokio::time::sleep(length).await;
        let mut seen = std::mem::replace(&mut *self.seen.lock(), Seen::new());
        seen.elapsed = seen.began.elapsed();
        seen
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn call_for_ever(
    client: impl Fn() -> Client,
    pause: Duration,
    anew: bool,
    stop: CancellationToken,
    seen: Arc<Mutex<Seen>>,
) {
    while !stop.is_cancelled() {
        let client = client();
        let began = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, client.get_person()).await;
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        {
            let mut seen = seen.lock();
            let failure = match answer {
                Ok(Ok(_)) => None,
                Ok(Err(status)) => Some(format!("{status:?}")),
                Err(_) => Some("no answer in ten seconds".to_owned()),
            };
            match failure {
                None if !anew => seen.latency.record(took).unwrap(),
                None => {}
                Some(why) => {
                    if seen.examples.len() < 3 {
                        seen.examples.push(why);
                    }
                    *if anew { &mut seen.failed_anew } else { &mut seen.failed } += 1;
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}
