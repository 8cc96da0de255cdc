//! This module answers a peer that does not speak TLS: a sentence in HTTP/1.1 or HTTP/2, so that its user is
//! told more than that the connection broke.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The first byte of a TLS record with a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// How long the peer may take to read the sentence.
const PLAINTEXT_TIMEOUT: Duration = Duration::from_secs(1);
/// The most that is read of what the peer sends, in bytes.
const MAX_UNREAD: u64 = 16 << 10;
const SENTENCE: &str =
    "this port speaks TLS 1.3 and asks for a client certificate: use https, with --cert and --key";

/// Waits for the peer's first bytes. Gives the connection back if they are those of TLS, else answers and
/// closes it.
///
/// # Errors
/// What the peer spoke, for the log.
pub(super) async fn refuse_plaintext(mut stream: TcpStream) -> Result<TcpStream, String> {
    let mut first = [0; 4];
    let count = stream.peek(&mut first).await.map_err(|error| error.to_string())?;
    if count == 0 {
        return Err("the peer sent nothing".to_owned());
    }
    if first[0] == HANDSHAKE {
        return Ok(stream);
    }
    let said = first.get(..count).unwrap_or_default();
    let (answer, what) = match said {
        // The preface of HTTP/2 (RFC 9113 §3.4), as a gRPC client without TLS sends it.
        said if b"PRI ".starts_with(said) => (http2(), "HTTP/2 without TLS"),
        said if said.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b' ') => {
            (http1(), "HTTP/1 without TLS")
        }
        _ => return Err("the peer speaks something else than TLS".to_owned()),
    };
    // Errors are dropped: the peer may have gone already. What it sent is read, because a connection that is
    // closed with unread bytes is reset, and the sentence lost.
    let answered = async {
        stream.write_all(&answer).await.ok();
        stream.shutdown().await.ok();
        tokio::io::copy(&mut (&mut stream).take(MAX_UNREAD), &mut tokio::io::sink()).await.ok();
    };
    tokio::time::timeout(PLAINTEXT_TIMEOUT, answered).await.ok();
    Err(format!("the peer speaks {what}"))
}

fn http1() -> Vec<u8> {
    let length = SENTENCE.len() + 1;
    format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{SENTENCE}\n"
    )
    .into_bytes()
}

/// An empty SETTINGS frame and a GOAWAY with the sentence (RFC 9113 §§6.5, 6.8).
fn http2() -> Vec<u8> {
    const INADEQUATE_SECURITY: u8 = 0xc;
    let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    let length = u8::try_from(8 + SENTENCE.len()).unwrap_or(u8::MAX);
    frames.extend([0, 0, length, 7, 0, 0, 0, 0, 0]);
    frames.extend([0, 0, 0, 0, 0, 0, 0, INADEQUATE_SECURITY]);
    frames.extend(SENTENCE.bytes().take(usize::from(length) - 8));
    frames
}
