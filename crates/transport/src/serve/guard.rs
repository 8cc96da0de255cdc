//! `Guard` limits frames that cost the peer nothing and this side something: pings, settings, resets,
//! priorities, window updates, continuations and empty DATA. `FrameBudget` is a token bucket of 1,000 frames.
//! The work that the connection does fills it, and time fills it by 100 frames a second, but only when it is
//! empty; so a burst may be up to two buckets (2,000 frames). A peer whose frame finds no token is sent
//! `ENHANCE_YOUR_CALM`, and its connection ends.
//!
//! h2 has its own limits on resets, continuations and small DATA frames; `Guard` also limits frames for which
//! h2 has none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conduct::Conduct;
use super::frames::{ACK, DATA, END_STREAM, Frames, GOAWAY, HEADERS, Head, PING};

/// Length in bytes of the client's connection preface, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 §3.4).
const PREFACE: usize = 24;
// Size of the token bucket in frames. A peer that behaves earns its frames back by its calls and their
// responses, so it does not come near this.
const MAX_FRAME_TOKENS: u32 = 1000;
// Rate at which the bucket fills, in frames a second.
const TOKENS_PER_SECOND: f64 = 100.0;
/// Tokens for a frame of a response: the peer may answer it with two window updates, the stream's and the
/// connection's.
const TOKENS_PER_RESPONSE_FRAME: u32 = 2;
/// Tokens for a call: the peer may cancel it with one RST_STREAM.
const TOKENS_PER_CALL: u32 = 1;
/// Number of early pings that are allowed (gRPC A8: two ping strikes).
const MAX_PING_STRIKES: u32 = 2;
/// HTTP/2 error code 0x0b (RFC 9113 §7).
const ENHANCE_YOUR_CALM: u32 = 11;

/// `Guard` wraps a peer's connection and counts its frames.
pub(super) struct Guard<I> {
    io: I,
    incoming: Frames,
    outgoing: Frames,
    budget: FrameBudget,
    conduct: Arc<Conduct>,
    greeted: bool,
}

/// `FrameBudget` is the token bucket of one peer.
struct FrameBudget {
    tokens: u32,
    filled: Instant,
    ping_permitted: Duration,
    last_ping: Option<Instant>,
    strikes: u32,
    /// The last stream that the peer opened.
    last_stream: u32,
}

impl<I> Guard<I> {
    pub(super) fn new(io: I, conduct: Arc<Conduct>, ping_permitted: Duration) -> Self {
        let budget = FrameBudget {
            tokens: MAX_FRAME_TOKENS,
            filled: Instant::now(),
            // A tenth is allowed for: if one ping is delayed on the way and the next one is not, their gap is
            // shorter than the peer's interval.
            ping_permitted: ping_permitted.mul_f64(0.9),
            last_ping: None,
            strikes: 0,
            last_stream: 0,
        };
        Self {
            io,
            incoming: Frames::after(PREFACE),
            outgoing: Frames::default(),
            budget,
            conduct,
            greeted: false,
        }
    }
}

impl FrameBudget {
    /// Counts an incoming frame. Returns a reason if it is one too many.
    fn receive(&mut self, head: Head, now: Instant) -> Option<&'static str> {
        match head.kind {
            HEADERS => {
                // The highest stream is kept because a GOAWAY must name it (RFC 9113 §6.8).
                self.last_stream = self.last_stream.max(head.stream);
                self.earn(TOKENS_PER_CALL);
                return None;
            }
            // Flow control bounds data, and an empty frame that ends its stream comes once for each call.
            DATA if head.length > 0 || head.flags & END_STREAM != 0 => return None,
            PING if head.flags & ACK == 0 => {
                let gap = self.last_ping.replace(now).map(|last| now.duration_since(last));
                if gap.is_some_and(|gap| gap < self.ping_permitted) {
                    // The strikes follow gRPC's keepalive (A8): a server closes a connection that pings too
                    // often with `too_many_pings`.
                    self.strikes += 1;
                    if self.strikes > MAX_PING_STRIKES {
                        return Some("too_many_pings");
                    }
                } else {
                    self.strikes = self.strikes.saturating_sub(1);
                }
            }
            _ => {}
        }
        // The bucket is refilled by time only when it is empty, which a peer that behaves never brings about.
        // So a burst may be up to two buckets.
        if self.tokens == 0 {
            let earned = now.duration_since(self.filled).as_secs_f64() * TOKENS_PER_SECOND;
            self.filled = now;
            self.earn(earned as u32);
        }
        match self.tokens.checked_sub(1) {
            Some(left) => self.tokens = left,
            None => return Some("too_many_frames"),
        }
        None
    }

    /// A frame goes out.
    fn send(&mut self, head: Head) {
        if matches!(head.kind, DATA | HEADERS) {
            self.earn(TOKENS_PER_RESPONSE_FRAME);
            self.strikes = 0;
            self.last_ping = None;
        }
    }

    fn earn(&mut self, tokens: u32) {
        self.tokens = (self.tokens + tokens).min(MAX_FRAME_TOKENS);
    }
}

impl<I: AsyncWrite + Unpin> Guard<I> {
    /// Sends the peer a GOAWAY with the reason, if it can be written at once.
    fn dismiss(&mut self, cx: &mut Context<'_>, why: &'static str) -> io::Error {
        // Between frames only: a GOAWAY inside another frame would be read as its payload.
        if self.outgoing.between() {
            let length = u8::try_from(8 + why.len()).unwrap_or(8);
            let mut frame = vec![0, 0, length, GOAWAY, 0, 0, 0, 0, 0];
            frame.extend_from_slice(&self.budget.last_stream.to_be_bytes());
            frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
            frame.extend_from_slice(why.as_bytes());
            if let Poll::Ready(Ok(_)) = Pin::new(&mut self.io).poll_write(cx, &frame) {
                // The connection ends whether or not this reached the peer.
                let _said = Pin::new(&mut self.io).poll_flush(cx);
            }
        }
        io::Error::other(why)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut guard.io).poll_read(cx, buffer))?;
        // Frames are counted after the read and before HTTP/2 sees them, so that a flood is cut off before it
        // is worked on.
        let mut excess = None;
        let now = Instant::now();
        let budget = &mut guard.budget;
        let mut frames = 0u32;
        guard.incoming.feed(&buffer.filled()[before..], |head| {
            frames += 1;
            excess = excess.or_else(|| budget.receive(head, now));
        });
        if !guard.greeted && frames > 0 {
            guard.greeted = true;
            guard.conduct.mark_greeted();
        }
        // Checked here because an error of the read ends the connection, whatever its calls wait for.
        if guard.conduct.is_rapid_reset() {
            excess = Some("too_many_cancelled_calls");
        }
        match excess {
            None => Poll::Ready(Ok(())),
            Some(why) => Poll::Ready(Err(guard.dismiss(cx, why))),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let written = ready!(Pin::new(&mut guard.io).poll_write(cx, bytes))?;
        guard.outgoing.feed(&bytes[..written], |head| guard.budget.send(head));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
