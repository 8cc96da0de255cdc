//! This module sends any HTTP/2 frames over TLS, written by hand. It does not know what the protocol allows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113, 7).
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection on which the preface was sent.
pub(crate) struct Raw {
    io: TlsStream<TcpStream>,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Code and words of the last GOAWAY, if one came.
    pub(crate) goaway: Option<(u32, String)>,
    /// Streams that were reset, with the code.
    pub(crate) resets: Vec<(u32, u32)>,
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Header fields in HPACK's plainest form: literal, never indexed, not compressed (RFC 7541, 6.2.3).
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    let text = |block: &mut Vec<u8>, text: &str| {
        let mut left = text.len();
        if left < 127 {
            block.push(left as u8);
        } else {
            block.push(127);
            left -= 127;
            while left >= 128 {
                block.push((left % 128 + 128) as u8);
                left /= 128;
            }
            block.push(left as u8);
        }
        block.extend_from_slice(text.as_bytes());
    };
    for (name, value) in fields {
        block.push(0x10);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// The header block of a gRPC call.
pub(crate) fn call(path: &str) -> Vec<u8> {
    fields([
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

impl Raw {
    /// Connects, and says the preface with these settings.
    pub(crate) async fn connect(
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
        settings: &[(u16, u32)],
    ) -> io::Result<Self> {
        let mut raw = Self::silent(address, tls).await?;
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await?;
        Ok(raw)
    }

    /// Connects, and says nothing after the handshake.
    pub(crate) async fn silent(address: SocketAddr, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        Self::silent_over(TcpStream::connect(address).await?, tls).await
    }

    /// The same over a connection that there is.
    pub(crate) async fn silent_over(stream: TcpStream, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let io = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        Ok(Self { io })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> io::Result<Frame> {
        read(&mut self.io).await
    }

    /// Reads until the connection ends; at most a minute.
    pub(crate) async fn ended(self) -> Ended {
        self.flood(|_| None).await
    }

    /// Writes what `next` gives for 0, 1, … while reading, until the connection ends; at most a minute.
    pub(crate) async fn flood(self, mut next: impl FnMut(u32) -> Option<Vec<u8>>) -> Ended {
        let (mut reading, mut writing) = tokio::io::split(self.io);
        let mut ended = Ended::default();
        let write = async {
            let mut round = 0;
            while let Some(bytes) = next(round) {
                if writing.write_all(&bytes).await.is_err() || writing.flush().await.is_err() {
                    break;
                }
                round += 1;
            }
            std::future::pending::<()>().await;
        };
        let read = async {
            while let Ok(frame) = read(&mut reading).await {
                let number = |at: usize| {
                    frame
                        .payload
                        .get(at..at + 4)
                        .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
                };
                match frame.kind {
                    GOAWAY => {
                        let words = String::from_utf8_lossy(frame.payload.get(8..).unwrap_or_default());
                        ended.goaway = number(4).map(|code| (code, words.into_owned()));
                    }
                    RST_STREAM => ended.resets.extend(number(0).map(|code| (frame.stream, code))),
                    _ => {}
                }
            }
        };
        let until = async {
            tokio::select! {
                () = write => {}
                () = read => {}
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(60), until).await.is_ok(),
            "the connection does not end"
        );
        ended
    }
}

async fn read(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await?;
    let [a, b, c, kind, _flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    io.read_exact(&mut payload).await?;
    Ok(Frame { kind, stream: u32::from_be_bytes(stream), payload })
}
