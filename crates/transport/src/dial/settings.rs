//! `Settings` configures a connection pool: size, timeouts, exponential backoff and keepalive.

use std::time::Duration;

/// Settings of a pool.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections to the endpoint at most, opened as load comes. Default 4.
    pub connections: usize,
    /// Each thread that calls opens connections of its own, up to that many, and uses others' only until it
    /// has one: for processes with a runtime for each thread, where a call that stays on its thread wakes no
    /// other. Default false.
    pub per_thread: bool,
    /// Calls in flight on every open connection before another is opened: calls that share a connection share
    /// its writes. Default 64.
    pub spread: usize,
    /// Calls in flight on one connection at most; fewer where the server allows fewer. Default 256.
    pub streams: usize,
    /// The longest wait for TCP and TLS together. Default 2 s.
    pub connect: Duration,
    /// The first pause after a failed connect, doubled up to `back_off_most`, each with jitter. Default 50
    /// ms.
    pub back_off: Duration,
    /// The longest pause. Default 5 s.
    pub back_off_most: Duration,
    /// Time between pings on a connection with calls on it, and the wait for an answer. Default 20 s each.
    pub keepalive: Duration,
    /// Ping also while no call is on the connection. Default false.
    pub keepalive_idle: bool,
    /// The name that the server's certificate must have, where it is checked by name. Default: the host of
    /// the endpoint.
    pub server_name: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 4,
            per_thread: false,
            spread: 64,
            streams: 256,
            connect: Duration::from_secs(2),
            back_off: Duration::from_millis(50),
            back_off_most: Duration::from_secs(5),
            keepalive: Duration::from_secs(20),
            keepalive_idle: false,
            server_name: None,
        }
    }
}
