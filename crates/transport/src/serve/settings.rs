//! `Settings` holds the limits and timeouts of a listener, with their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chapar_model::Clock;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::slots::{Caps, ConnectionSlot, ConnectionSlots};
use crate::peer::Peer;

/// Bounds of a listener.
#[derive(Clone)]
pub struct Settings {
    /// The longest TLS handshake; also the longest wait after it for the first bytes of HTTP/2. Default 5 s.
    pub handshake: Duration,
    /// Maximum number of concurrent handshakes. At the maximum a new connection takes the slot of the oldest
    /// handshake of the address that has most, or is closed if its own address has as many. Default 1,024.
    pub handshakes: usize,
    /// Handshakes at once from one address (IPv6: from one /64). Default 64.
    pub handshakes_per_address: usize,
    /// Maximum number of connections; more are closed when they arrive. It is at most three quarters of the
    /// files that the process may open, so that the evidence log and the upstreams always get theirs. Default
    /// 10,000.
    pub connections: usize,
    /// Connections at once from one address (IPv6: from one /64). Default 1,000.
    pub connections_per_address: usize,
    /// Streams at once on one connection; more are refused with `REFUSED_STREAM`. Default 100.
    pub streams: u32,
    /// Time between pings on a connection, which also keep the state of middleboxes alive. Default 20 s.
    pub keepalive: Duration,
    /// The wait for a ping's answer before the connection is given up. Default 40 s, so that a link that was
    /// gone for half a minute still finds it.
    pub keepalive_timeout: Duration,
    /// Minimum interval between a peer's pings. A peer that pings earlier three times is disconnected (gRPC
    /// A8). Default 10 s.
    pub ping_permitted: Duration,
    /// How long connections may finish their calls after a stop. Default 10 s.
    pub drain: Duration,
    /// How old a connection becomes, give or take a tenth, before its peer is asked to open another. Default
    /// 1 h.
    pub max_age: Duration,
    /// How long an aged connection may finish its calls. Default 5 min.
    pub max_age_grace: Duration,
    /// How long a connection stays without a call. Default 15 min.
    pub idle: Duration,
    /// Maximum time for which a response may wait for the peer's flow control window before the connection is
    /// ended; the end may be up to a sixth later. Default 30 s.
    pub write_stall: Duration,
    /// How long a connection may finish its calls when its peer's certificate no longer holds. Default 3 s.
    pub leave: Duration,
    /// Maximum number of calls in 10 s that a peer may cancel within 100 ms of making them. The connection of
    /// a peer that cancels more, and more than half of its calls, is ended. Default 100; `u32::MAX` for peers
    /// that pass on what others cancel.
    pub cancelled: u32,
    /// Whether other processes may listen on the same address (`SO_REUSEPORT`). Default no.
    pub reuse_port: bool,
    /// Takes connections on which the peer wants to serve (ALPN `chapar-reverse/1`). Absent: that protocol is
    /// not offered.
    pub reverse: Option<Arc<dyn Fn(Reversed) + Send + Sync>>,
    /// Serves HTTP/1.1 too, to peers that offer no HTTP/2; the longest wait for the head of a connection's
    /// next request, which also ends idle connections. Default no.
    pub http1: Option<Duration>,
    /// Slots that are taken. Listeners with the same value share the caps above.
    pub slots: ConnectionSlots,
    /// The clock by which certificates are judged after the handshake.
    pub clock: Clock,
}

/// A connection that a peer has opened in order to serve on it: authenticated, and nothing said on it yet.
pub struct Reversed {
    /// The connection.
    pub io: TlsStream<TcpStream>,
    /// The peer.
    pub peer: Arc<Peer>,
    /// Ends when the peer is to leave, and when the listener drains.
    pub stop: CancellationToken,
    /// The connection's place among the listener's, to be held as long as it lives.
    pub place: ConnectionSlot,
}

impl Settings {
    /// The caps of connections and handshakes.
    pub(super) fn caps(&self) -> Caps {
        Caps {
            connections: self.connections,
            connections_per_address: self.connections_per_address,
            handshakes: self.handshakes,
            handshakes_per_address: self.handshakes_per_address,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            handshakes: 1024,
            handshakes_per_address: 64,
            connections: 10_000,
            connections_per_address: 1000,
            streams: 100,
            keepalive: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(40),
            ping_permitted: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            max_age: Duration::from_secs(60 * 60),
            max_age_grace: Duration::from_secs(5 * 60),
            idle: Duration::from_secs(15 * 60),
            write_stall: Duration::from_secs(30),
            leave: Duration::from_secs(3),
            cancelled: 100,
            reuse_port: false,
            reverse: None,
            http1: None,
            slots: ConnectionSlots::default(),
            clock: Clock::system(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("connections", &self.connections)
            .field("streams", &self.streams)
            .field("reverse", &self.reverse.is_some())
            .finish_non_exhaustive()
    }
}
