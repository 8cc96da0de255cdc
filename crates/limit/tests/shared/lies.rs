//! A server that answers anything but what a script of ours gives.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::replica::{Replica, hammered, limits, prefix, server};

/// A server that gives `presence` to the question who is there, and `lease` to each question for tokens.
async fn lying(presence: &'static [u8], lease: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
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
    port
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
        let port = lying(b":2\r\n", lease).await;
        let replica = Replica::start(server(port), &prefix(), limits("1/h", 40), 2).await;
        let (admitted, longest) =
            hammered(std::slice::from_ref(&replica), Duration::from_millis(1), Duration::from_millis(600))
                .await;
        let lease = String::from_utf8_lossy(lease);
        assert_eq!(admitted, 20, "{lease:?}");
        assert!(longest < Duration::from_millis(100), "{lease:?}: {longest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_always_says_yes_lets_no_gateway_admit_more_than_the_limit() {
    let port = lying(b":2\r\n", b"*3\r\n:1\r\n:39\r\n:0\r\n").await;
    let replica = Replica::start(server(port), &prefix(), limits("1/h", 40), 2).await;
    let (admitted, _) =
        hammered(std::slice::from_ref(&replica), Duration::from_millis(1), Duration::from_secs(1)).await;
    assert_eq!(admitted, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_gateways_that_cannot_be_is_not_believed() {
    for presence in [&b":0\r\n"[..], b":-5\r\n", b":1001\r\n", b"+1\r\n", b"*0\r\n"] {
        let port = lying(presence, b"*3\r\n:1\r\n:39\r\n:0\r\n").await;
        let replica = Replica::alone(server(port), &prefix(), limits("1/h", 40));
        tokio::time::sleep(Duration::from_millis(400)).await;
        let usage = replica.shared.usage();
        assert_eq!((usage.is_up, usage.replicas), (false, 1), "{:?}", String::from_utf8_lossy(presence));
        assert!(usage.commands.1 > 0);
    }
}
