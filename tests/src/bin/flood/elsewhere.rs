//! This module has a listener that is attacked in place of the gateway, to measure what the attacker's own
//! work costs.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// As the gateway's `handshakes_per_address`, `handshakes` and `handshake` (transport's `Settings`).
const PER_ADDRESS: usize = 64;
const IN_ALL: usize = 1024;
const HELD: Duration = Duration::from_secs(5);

/// Holds so many silent connections of each address for as long as the gateway would, and closes the others
/// at once, on a thread of its own.
pub(crate) struct Elsewhere {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Elsewhere {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let held: Arc<Mutex<HashMap<IpAddr, usize>>> = Arc::default();
            while let Ok((stream, remote)) = listener.accept().await {
                let from = remote.ip();
                {
                    let mut held = held.lock();
                    let all: usize = held.values().sum();
                    let own = held.entry(from).or_default();
                    if *own >= PER_ADDRESS || all >= IN_ALL {
                        continue;
                    }
                    *own += 1;
                }
                let held = Arc::clone(&held);
                tokio::spawn(async move {
                    tokio::time::sleep(HELD).await;
                    drop(stream);
                    if let Some(own) = held.lock().get_mut(&from) {
                        *own -= 1;
                    }
                });
            }
        });
        Self { address, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Waiting for a runtime is not allowed in another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
