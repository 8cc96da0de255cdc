//! The Redis of `demo --redis`. Gateways reach it through a forwarder, which the story closes for a while: it
//! takes the server from them without touching it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A way to a Redis server that can be closed.
pub(super) struct Redis {
    address: SocketAddr,
    database: String,
    prefix: String,
    is_closed: Arc<AtomicBool>,
    lines: Arc<Mutex<JoinSet<()>>>,
    _stop: DropGuard,
}

impl Redis {
    /// A way to the server of this address, `redis://HOST:PORT[/DATABASE]`.
    ///
    /// # Errors
    /// If it is none, or no port is to be had.
    pub(super) async fn at(url: &str) -> Result<Self, String> {
        // Not the address itself: it may hold a password.
        let form =
            || "`--redis` takes `redis://HOST:PORT[/DATABASE]`: no user, no password, no TLS".to_owned();
        let rest = url.strip_prefix("redis://").ok_or_else(form)?;
        let (target, database) = rest.split_once('/').unwrap_or((rest, ""));
        if target.contains('@')
            || !target.contains(':')
            || !database.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(form());
        }
        let refused = |error| format!("the Redis at {target} cannot be reached: {error}");
        // Looked for now, since a demo without it would not show what it was asked for.
        TcpStream::connect(target).await.map_err(refused)?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let is_closed = Arc::<AtomicBool>::default();
        let lines = Arc::<Mutex<JoinSet<()>>>::default();
        let stop = CancellationToken::new();
        let forwarding = forward(listener, target.to_owned(), Arc::clone(&is_closed), Arc::clone(&lines));
        tokio::spawn(stop.clone().run_until_cancelled_owned(forwarding));
        // Keys of its own, so that no other bus on this server shares the demo's limits.
        let prefix = format!("chapar-demo-{}", std::process::id());
        Ok(Self {
            address,
            database: database.to_owned(),
            prefix,
            is_closed,
            lines,
            _stop: stop.drop_guard(),
        })
    }

    /// `[redis]` of a gateway.
    pub(super) fn settings(&self) -> String {
        let Self { address, database, prefix, .. } = self;
        format!("\n[redis]\nurl    = \"redis://{address}/{database}\"\nprefix = \"{prefix}\"\n")
    }

    /// Cuts all connections, and lets no new one through.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.lines.lock().abort_all();
    }

    /// Lets connections through again.
    pub(super) fn open(&self) {
        self.is_closed.store(false, Ordering::Release);
    }
}

async fn forward(
    listener: TcpListener,
    target: String,
    is_closed: Arc<AtomicBool>,
    lines: Arc<Mutex<JoinSet<()>>>,
) {
    loop {
        let Ok((mut near, _)) = listener.accept().await else {
            // Out of file descriptors, most likely.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let mut lines = lines.lock();
        while lines.try_join_next().is_some() {}
        // Looked at under the lock, so that no connection comes to be after all were cut.
        if is_closed.load(Ordering::Acquire) {
            continue;
        }
        let target = target.clone();
        lines.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_with_its_form() {
        for url in ["", "127.0.0.1:6379", "rediss://a:1", "redis://a", "redis://u:p@a:1", "redis://a:1/x"] {
            let told = Redis::at(url).await.err().unwrap();
            assert!(told.contains("takes `redis://HOST:PORT[/DATABASE]`"), "{told}");
        }
        // Nobody listens at port 1.
        assert!(Redis::at("redis://127.0.0.1:1").await.err().unwrap().contains("cannot be reached"));
    }
}
