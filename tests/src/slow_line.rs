//! `SlowLine` stands before a server and is a poor line: each direction has a delay and a rate, which all
//! connections share, and what went over it is counted. TCP's own headers are not in the count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A line of this many bytes a second and this round trip.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// There and back.
    pub round_trip: Duration,
    /// Of each direction.
    pub bytes_per_second: u64,
}

/// A village's 2G: 0.7 s there and back, 60 kbit/s.
pub const SECOND_GENERATION: Profile =
    Profile { round_trip: Duration::from_millis(700), bytes_per_second: 7500 };

/// One direction: when its line is free again, and what it has carried.
#[derive(Default)]
struct Direction {
    free_at: Mutex<Option<Instant>>,
    bytes: AtomicU64,
}

/// A line in use.
pub struct SlowLine {
    address: SocketAddr,
    up: Arc<Direction>,
    down: Arc<Direction>,
    _stop: DropGuard,
}

impl SlowLine {
    /// A line to a server.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn before(server: SocketAddr, profile: Profile) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let [up, down] = [(); 2].map(|()| Arc::new(Direction::default()));
        let stop = CancellationToken::new();
        let (both, stopping) = ([Arc::clone(&up), Arc::clone(&down)], stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let [up, down] = both.clone();
                let carrying = carry(client, server, profile, up, down);
                tokio::spawn(stopping.clone().run_until_cancelled_owned(carrying));
            }
        }));
        Self { address, up, down, _stop: stop.drop_guard() }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes so far, to the server and back.
    pub fn bytes(&self) -> [u64; 2] {
        [&self.up, &self.down].map(|direction| direction.bytes.load(Ordering::Relaxed))
    }
}

async fn carry(
    client: TcpStream,
    server: SocketAddr,
    profile: Profile,
    up: Arc<Direction>,
    down: Arc<Direction>,
) {
    // TCP's handshake: the kernel on this machine has answered at once.
    tokio::time::sleep(profile.round_trip).await;
    let Ok(server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(direct(from_client, to_server, profile, up), direct(from_server, to_client, profile, down));
}

/// Carries one direction of a connection until it ends.
async fn direct(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    profile: Profile,
    direction: Arc<Direction>,
) {
    // What is on its way. Delay and rate are apart: the line carries the next packet while one is on its way.
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let writing = async {
        while let Some((arrives, packet)) = receiver.recv().await {
            tokio::time::sleep_until(arrives).await;
            if to.write_all(&packet).await.is_err() {
                return;
            }
        }
        to.shutdown().await.ok();
    };
    let reading = async {
        // About a packet's size.
        let mut buffer = [0; 1400];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            direction.bytes.fetch_add(length as u64, Ordering::Relaxed);
            let sent = {
                let mut free_at = direction.free_at.lock();
                let begins = free_at.map_or_else(Instant::now, |at| at.max(Instant::now()));
                let sent = begins + Duration::from_secs_f64(length as f64 / profile.bytes_per_second as f64);
                *free_at = Some(sent);
                sent
            };
            if sender.send((sent + profile.round_trip / 2, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    tokio::join!(reading, writing);
}
