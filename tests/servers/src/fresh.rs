//! This module owns what no one else uses yet: TCP ports and names of databases.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ports below those that the kernel gives to outgoing connections (32768 and up). A client that retries a
/// stopped server on one of the kernel's could be given the server's port as its own, and connect to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1 that is free now. Another process may take it before the server does.
pub(crate) fn port() -> u16 {
    let count = u64::from(PORTS.end - PORTS.start);
    loop {
        // Each state is seeded anew, so test processes that start together draw different ports.
        let drawn = RandomState::new().build_hasher().finish() % count;
        let port = PORTS.start + u16::try_from(drawn).expect("below the count of ports");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A name with this prefix that no other database of this machine's tests has.
pub(crate) fn name(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
