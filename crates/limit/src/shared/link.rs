//! `Link` is the connection to Redis, and a circuit breaker for it. The first command that fails or is not
//! answered in time opens the breaker and gives the connection up; `presence`, which connects anew, is the
//! trial that closes it. While it is open nobody waits for Redis.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, ScriptInvocation, Value};
use tokio::sync::Notify;

use super::script::{LeaseRequest, Leased, Scripts, replicas};

/// Maximum time for an answer of Redis, if no call waits longer. With it the breaker opens within 250 ms of
/// the first call or sign of life that is not answered, waits for a processor included.
const ANSWER_TIME: Duration = Duration::from_millis(100);
/// Maximum time to connect, TLS and sign-in included. No call waits for that.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// Minimum time between two log lines that Redis fails.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The connection, and whether it can be relied on.
pub(super) struct Link {
    client: Client,
    scripts: Scripts,
    answer_time: Duration,
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
    /// Connections so far.
    number: AtomicU64,
    /// Never true without a connection: both change under the connection's lock.
    is_up: AtomicBool,
    told: Mutex<LogState>,
    /// LogState when the breaker opens.
    pub(super) opened: Notify,
    answered: AtomicU64,
    failed: AtomicU64,
}

/// Log state of the link, so that an outage is logged once per interval.
#[derive(Default)]
struct LogState {
    /// When it last said that Redis fails, and how many failures it has kept back since.
    failure: Option<Instant>,
    suppressed: u64,
    /// Whether it is still to say that Redis answers.
    is_open: bool,
}

/// Why no tokens came.
pub(super) enum LeaseError {
    /// Redis was not asked.
    NotSent,
    /// Redis failed, and may have done what it was asked for.
    Failed,
}

impl Link {
    /// A link that is not up yet, for calls that wait so long.
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        Self {
            client,
            scripts: Scripts::new(),
            answer_time: patience.max(ANSWER_TIME),
            told: Mutex::new(LogState { is_open: true, ..LogState::default() }),
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
    /// [`LeaseError`]. The breaker is open then.
    pub(super) async fn lease(&self, request: &LeaseRequest<'_>) -> Result<Leased, LeaseError> {
        let connection = self.connection.lock().clone().filter(|_| self.is_up());
        let Some((number, connection)) = connection else { return Err(LeaseError::NotSent) };
        let answer = self.run(connection, &self.scripts.lease(request)).await;
        let leased = answer.and_then(|answer| Leased::read(&answer, request));
        self.judged(number, leased).map_err(|_| LeaseError::Failed)
    }

    /// Says that this gateway is there for `life`, or leaves if that is nothing. Connects if there is no
    /// connection, and closes the breaker if Redis answers. Gives the number of gateways that are there.
    ///
    /// # Errors
    /// What Redis or the network said, or that the answer is none. The breaker is open then.
    pub(super) async fn presence(&self, key: &str, replica: &str, life: Duration) -> RedisResult<u32> {
        let known = self.connection.lock().clone();
        let (number, connection) = match known {
            Some(known) => known,
            None => {
                let connection = self.connect().await.inspect_err(|error| self.tell(error))?;
                let opened = (self.number.fetch_add(1, Ordering::Relaxed), connection);
                self.connection.lock().insert(opened).clone()
            }
        };
        let answer = self.run(connection, &self.scripts.presence(key, replica, life)).await;
        // One who leaves may be the last one.
        let count = answer.and_then(|answer| if life.is_zero() { Ok(1) } else { replicas(&answer) });
        let count = self.judged(number, count)?;
        self.close(number)?;
        Ok(count)
    }

    /// Empties a bucket's history: it is full again.
    ///
    /// # Errors
    /// As [`Link::presence`].
    pub(super) async fn forget(&self, key: &str) -> RedisResult<()> {
        let known = self.connection.lock().clone();
        let Some((number, mut connection)) = known else { return Err(not_connected()) };
        let mut command = redis::cmd("DEL");
        command.arg(key);
        let gone = self.within(command.query_async::<Value>(&mut connection)).await;
        self.judged(number, gone.map(drop))
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME))
            .set_response_timeout(Some(self.answer_time));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        // Bounded as a whole: a server that accepts and says nothing holds up the sign-in.
        let connected = tokio::time::timeout(CONNECT_TIME, connecting).await.unwrap_or_else(|_| Err(late()));
        connected.inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn run(&self, mut to: MultiplexedConnection, script: &ScriptInvocation<'_>) -> RedisResult<Value> {
        self.within(script.invoke_async::<Value>(&mut to)).await
    }

    async fn within<T>(&self, command: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        tokio::time::timeout(self.answer_time, command).await.unwrap_or_else(|_| Err(late()))
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

    /// Closes the breaker, unless the connection of this number was given up meanwhile: what it answered last
    /// says nothing about the next one.
    fn close(&self, number: u64) -> RedisResult<()> {
        let connection = self.connection.lock();
        if connection.as_ref().is_none_or(|(present, _)| *present != number) {
            return Err(not_connected());
        }
        self.is_up.store(true, Ordering::Release);
        drop(connection);
        if std::mem::take(&mut self.told.lock().is_open) {
            tracing::info!("limits are shared through Redis");
        }
        Ok(())
    }

    /// Gives up the connection of this number. An answer that comes late on an earlier one says nothing about
    /// the present one.
    fn open(&self, number: u64, error: &RedisError) {
        let mut connection = self.connection.lock();
        if connection.as_ref().is_none_or(|(present, _)| *present != number) {
            return;
        }
        *connection = None;
        let was_up = self.is_up.swap(false, Ordering::AcqRel);
        drop(connection);
        self.tell(error);
        if was_up {
            self.opened.notify_one();
        }
    }

    /// Logs that Redis fails, seldom enough for one that comes and goes.
    fn tell(&self, error: &RedisError) {
        let mut told = self.told.lock();
        if told.failure.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
            told.suppressed += 1;
            return;
        }
        let suppressed = told.suppressed;
        *told = LogState { failure: Some(Instant::now()), suppressed: 0, is_open: true };
        drop(told);
        tracing::warn!(
            server = %self.client.get_connection_info().addr(),
            error = named(error),
            suppressed,
            "Redis fails: each gateway goes on with its own share of the limits until it answers again"
        );
    }
}

/// What may be logged of an error, with what it most likely comes from. The text of an answer may be
/// anything.
fn named(error: &RedisError) -> String {
    let words = match error.kind() {
        redis::ErrorKind::AuthenticationFailed => "the user or the password is wrong",
        redis::ErrorKind::UnexpectedReturnType => "an answer that no script of ours gives",
        redis::ErrorKind::Parse => "it speaks another protocol",
        redis::ErrorKind::InvalidClientConfig => {
            "certificate and key do not belong together, or none is usable"
        }
        _ if error.is_timeout() => "no answer in time",
        _ if error.is_connection_refusal() => "nobody listens there",
        _ if error.is_connection_dropped() => "the connection was closed",
        _ => "it refuses, or cannot be reached",
    };
    match error.code() {
        Some(code) if code.len() <= 20 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            format!("{words} ({code})")
        }
        _ => words.to_owned(),
    }
}

fn late() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn not_connected() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::NotConnected))
}
