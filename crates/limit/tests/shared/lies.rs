//! A server that answers anything but what a script of ours gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::replica::{Replica, hammered, limits, prefix, server};

/// A server that gives `presence` to the question who is there, and `lease` to each question for tokens; and
/// how often it was connected to.
async fn lying(presence: &'static [u8], lease: &'static [u8]) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = Arc::<AtomicU32>::default();
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut heard = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    heard.extend_from_slice(&buffer[..length]);
                    let text = String::from_utf8_lossy(&heard).into_owned();
                    let answer: Vec<u8> = if text.contains("EVALSHA") && text.contains("gateways") {
                        presence.to_vec()
                    } else if text.contains("EVALSHA") {
                        lease.to_vec()
                    } else {
                        // Each command of the greeting.
                        b"+OK\r\n".repeat(text.matches("CLIENT").count())
                    };
                    heard.clear();
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_admits_no_more_than_the_own_share() {
    for lease in [
        &b"*3\r\n:41\r\n:0\r\n:0\r\n"[..],
        b"*3\r\n:-1\r\n:0\r\n:0\r\n",
        b"*3\r\n:9223372036854775807\r\n:0\r\n:0\r\n",
        b"*3\r\n:1\r\n:0\r\n:9223372036854775807\r\n",
        b"*2\r\n:1\r\n:0\r\n",
        b"*3\r\n$1\r\n1\r\n:0\r\n:0\r\n",
        b":1\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"-ERR no\r\n",
        b"-NOSCRIPT no\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\0\0\0\0",
        b"*1000000000\r\n",
        b"$1000000000\r\n",
    ] {
        let (port, accepted) = lying(b":2\r\n", lease).await;
        let replica = Replica::start(server(port), &prefix(), limits("1/h", 40), 2).await;
        let (admitted, longest) =
            hammered(std::slice::from_ref(&replica), Duration::from_millis(1), Duration::from_millis(600))
                .await;
        let lease = String::from_utf8_lossy(lease);
        assert_eq!(admitted, 20, "{lease:?}");
        assert!(longest < Duration::from_millis(100), "{lease:?}: {longest:?}");
        let accepted = accepted.load(Ordering::Relaxed);
        assert!(accepted <= 10, "{lease:?}: {accepted} connections in 600 ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_always_says_yes_lets_no_gateway_admit_more_than_the_limit() {
    let (port, _) = lying(b":2\r\n", b"*3\r\n:1\r\n:39\r\n:0\r\n").await;
    let replica = Replica::start(server(port), &prefix(), limits("1/h", 40), 2).await;
    let (admitted, _) =
        hammered(std::slice::from_ref(&replica), Duration::from_millis(1), Duration::from_secs(1)).await;
    assert_eq!(admitted, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_gateways_that_cannot_be_is_not_believed() {
    for presence in [&b":0\r\n"[..], b":-5\r\n", b":1001\r\n", b"+1\r\n", b"*0\r\n"] {
        let (port, _) = lying(presence, b"*3\r\n:1\r\n:39\r\n:0\r\n").await;
        let replica = Replica::alone(server(port), &prefix(), limits("1/h", 40));
        tokio::time::sleep(Duration::from_millis(400)).await;
        let usage = replica.shared.usage();
        assert_eq!((usage.is_up, usage.replicas), (false, 1), "{:?}", String::from_utf8_lossy(presence));
        assert!(usage.commands.1 > 0);
    }
}

/// A server that answers who is there only after its client has given up on a lease, and then is gone.
async fn answering_late() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut buffer, mut asked) = ([0; 4096], 0);
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !text.contains("EVALSHA") {
                stream.write_all(&b"+OK\r\n".repeat(text.matches("CLIENT").count())).await.unwrap();
            } else if text.contains("gateways") {
                asked += 1;
                if asked == 2 {
                    // The lease has come before, and is late by now.
                    tokio::time::sleep(Duration::from_millis(80)).await;
                    stream.write_all(b"*3\r\n:0\r\n:0\r\n:9\r\n:1\r\n").await.ok();
                    return;
                }
                stream.write_all(b":1\r\n").await.unwrap();
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_a_connection_that_was_given_up_makes_no_redis_of_it() {
    let replica = Replica::start(server(answering_late().await), &prefix(), limits("1/h", 40), 1).await;
    // The next sign of life comes a second after the first.
    tokio::time::sleep(Duration::from_millis(940)).await;
    replica.admits().await;
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        replica.admits().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!replica.shared.usage().is_up, "nobody is there");
}
