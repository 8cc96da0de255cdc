//! `Link` is the connection to Redis, and a circuit breaker for it: the first command that fails or is not answered in
//! time opens it, and the trial that `presence` is closes it again. While it is open nobody waits for Redis.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, ScriptInvocation, Value};
use tokio::sync::Notify;

use super::script::{LeaseRequest, Leased, Scripts, replicas};

/// Maximum time for an answer of Redis. With it the breaker opens within 250 ms, two waits for a processor included.
const ANSWER_TIME: Duration = Duration::from_millis(100);
/// Maximum time to connect, TLS and sign-in included. No call waits for that.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// The connection, and whether it can be relied on.
pub(super) struct Link {
    client: Client,
    scripts: Scripts,
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
    /// Connections so far.
    number: AtomicU64,
    is_up: AtomicBool,
    /// Told when the breaker opens.
    pub(super) opened: Notify,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Link {
    /// A link that is not up yet.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            scripts: Scripts::new(),
            connection: Mutex::default(),
            number: AtomicU64::default(),
            is_up: AtomicBool::default(),
            opened: Notify::new(),
            answered: AtomicU64::default(),
            failed: AtomicU64::default(),
        }
    }

    /// Whether Redis answered the last time.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Commands that were answered, and that failed.
    pub(super) fn commands(&self) -> (u64, u64) {
        (self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Leases tokens, if the link is up.
    ///
    /// # Errors
    /// What Redis or the network said, or that the answer is none. The breaker is open then.
    pub(super) async fn lease(&self, request: &LeaseRequest<'_>) -> RedisResult<Leased> {
        let connection = self.connection.lock().clone().filter(|_| self.is_up());
        let Some((number, connection)) = connection else { return Err(not_connected()) };
        let answer = self.run(connection, &self.scripts.lease(request)).await;
        self.judged(number, answer.and_then(|answer| Leased::read(&answer, request)))
    }

    /// Says that this gateway is there for `life`, or leaves if that is 0. Connects if there is no connection,
    /// and closes the breaker if Redis answers.
    ///
    /// # Errors
    /// As [`Link::lease`].
    pub(super) async fn presence(&self, key: &str, replica: &str, life: Duration) -> RedisResult<u32> {
        let known = self.connection.lock().clone();
        let (number, connection) = match known {
            Some(known) => known,
            None => {
                let opened = (self.number.fetch_add(1, Ordering::Relaxed), self.connect().await?);
                self.connection.lock().insert(opened).clone()
            }
        };
        let answer = self.run(connection, &self.scripts.presence(key, replica, life)).await;
        // One who leaves may be the last one.
        let count = answer.and_then(|answer| if life.is_zero() { Ok(1) } else { replicas(&answer) });
        let count = self.judged(number, count)?;
        self.is_up.store(true, Ordering::Release);
        Ok(count)
    }

    /// Empties a bucket's history: it is full again.
    ///
    /// # Errors
    /// As [`Link::lease`].
    pub(super) async fn forget(&self, key: &str) -> RedisResult<()> {
        let known = self.connection.lock().clone();
        let Some((number, mut connection)) = known else { return Err(not_connected()) };
        let mut command = redis::cmd("DEL");
        command.arg(key);
        let gone = within(command.query_async::<Value>(&mut connection)).await;
        self.judged(number, gone.map(drop))
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME))
            .set_response_timeout(Some(ANSWER_TIME));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        // Bounded as a whole: a server that accepts and says nothing holds up the sign-in.
        match tokio::time::timeout(CONNECT_TIME, connecting).await {
            Ok(connected) => connected.inspect_err(|_| {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }),
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Err(late())
            }
        }
    }

    async fn run(&self, mut to: MultiplexedConnection, script: &ScriptInvocation<'_>) -> RedisResult<Value> {
        within(script.invoke_async::<Value>(&mut to)).await
    }

    /// Counts a command, and opens the breaker if it failed.
    fn judged<T>(&self, number: u64, result: RedisResult<T>) -> RedisResult<T> {
        match &result {
            Ok(_) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.open(number, error);
            }
        }
        result
    }

    /// Gives up the connection of this number. An answer that comes late on an earlier one says nothing about
    /// the present one.
    fn open(&self, number: u64, error: &RedisError) {
        let mut connection = self.connection.lock();
        if connection.as_ref().is_none_or(|(present, _)| *present != number) {
            return;
        }
        *connection = None;
        if self.is_up.swap(false, Ordering::AcqRel) {
            tracing::warn!(
                error = told(error),
                "Redis fails: each gateway goes on with its own share of the limits until it answers again"
            );
            self.opened.notify_one();
        }
    }
}

/// What may be logged of an error: its kind and the server's code. The text of an answer may be anything.
pub(super) fn told(error: &RedisError) -> String {
    match error.code() {
        Some(code) if code.len() <= 20 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            format!("{:?} {code}", error.kind())
        }
        _ => format!("{:?}", error.kind()),
    }
}

async fn within<T>(command: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(ANSWER_TIME, command).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn not_connected() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::NotConnected))
}
