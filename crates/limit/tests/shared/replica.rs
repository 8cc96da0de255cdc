//! One gateway's limits in a test, and a prefix of keys for each test.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chapar_limit::{Denied, GrantLimiter, RedisServer, Shared, SharedSettings};
use chapar_model::{GrantId, Limits};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Keys of one test.
pub(crate) fn prefix() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn server(port: u16) -> RedisServer {
    RedisServer::new(&format!("redis://127.0.0.1:{port}"), None, None, None, false).unwrap()
}

pub(crate) fn limits(rate: &str, burst: u32) -> Limits {
    Limits { rate: Some(rate.parse().unwrap()), burst: NonZeroU32::new(burst), concurrent: None }
}

/// A gateway's limits of one grant.
pub(crate) struct Replica {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limiter: Arc<GrantLimiter>,
    pub(crate) grant: GrantId,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Replica {
    /// One that shares this rate with others of the prefix, once Redis has answered and `among` are seen.
    pub(crate) async fn start(server: RedisServer, prefix: &str, limits: Limits, among: u32) -> Self {
        let replica = Self::alone(server, prefix, limits);
        replica.becomes(true, among).await;
        replica
    }

    /// The same, without waiting for anything.
    pub(crate) fn alone(server: RedisServer, prefix: &str, limits: Limits) -> Self {
        Self::with(server, SharedSettings { prefix: prefix.to_owned(), ..SharedSettings::default() }, limits)
    }

    /// The same with other settings.
    pub(crate) fn with(server: RedisServer, settings: SharedSettings, limits: Limits) -> Self {
        let shared = Shared::new(server, settings);
        let stop = CancellationToken::new();
        let running = Some(tokio::spawn(Arc::clone(&shared).run(stop.clone())));
        let grant: GrantId = "welfare-getperson".parse().unwrap();
        let limiter = GrantLimiter::new(&[(grant.clone(), limits)], Some(Arc::clone(&shared)));
        Self { shared, limiter: Arc::new(limiter), grant, stop, running }
    }

    /// So many of one prefix that know each other.
    pub(crate) async fn several<const N: usize>(port: u16, prefix: &str, limits: Limits) -> [Self; N] {
        Self::several_with(
            port,
            &SharedSettings { prefix: prefix.to_owned(), ..SharedSettings::default() },
            limits,
        )
        .await
    }

    /// So many that wait for Redis as long as this machine, which has other work, may need. Only Redis
    /// decides then.
    pub(crate) async fn patient<const N: usize>(port: u16, prefix: &str, limits: Limits) -> [Self; N] {
        let patience = Duration::from_secs(5);
        let settings = SharedSettings { prefix: prefix.to_owned(), patience, ..SharedSettings::default() };
        Self::several_with(port, &settings, limits).await
    }

    async fn several_with<const N: usize>(port: u16, settings: &SharedSettings, limits: Limits) -> [Self; N] {
        let replicas = [(); N].map(|()| Self::with(server(port), settings.clone(), limits));
        for replica in &replicas {
            replica.becomes(true, N as u32).await;
        }
        replicas
    }

    /// Waits until Redis is up or not, and so many gateways are seen.
    pub(crate) async fn becomes(&self, is_up: bool, among: u32) {
        let began = Instant::now();
        while self.shared.usage().is_up != is_up || self.shared.usage().replicas != among {
            assert!(began.elapsed() < Duration::from_secs(15), "{:?}", self.shared.usage());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One call.
    pub(crate) async fn admits(&self) -> bool {
        self.limiter.admit(&self.grant).await.is_ok()
    }

    /// How long a refused call is to wait.
    pub(crate) async fn refusal(&self) -> Duration {
        match self.limiter.admit(&self.grant).await {
            Err(Denied::Rate { retry_after, .. }) => retry_after,
            other => panic!("{other:?}"),
        }
    }

    /// Stops it as a gateway stops.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // As good as killed: it says nothing to Redis any more.
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Calls of all replicas in turn, as fast as they go or at this pace, for so long; how many were admitted.
pub(crate) async fn hammered(replicas: &[Replica], pause: Duration, length: Duration) -> (u32, Duration) {
    let began = Instant::now();
    let (mut admitted, mut longest) = (0, Duration::ZERO);
    while began.elapsed() < length {
        for replica in replicas {
            let asked = Instant::now();
            admitted += u32::from(replica.admits().await);
            longest = longest.max(asked.elapsed());
        }
        tokio::time::sleep(pause).await;
    }
    (admitted, longest)
}
