//! `Incoming` is a response body with flow control. With `Reading::Slowly` a task takes each frame from h2 at
//! once into a buffer of at most one stream window, so that unread frames do not count against the connection
//! (see [`super::link`]). Window updates follow the reader: a slow reader slows its sender (backpressure).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::{FlowControl, RecvStream};
use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::Mutex;

use super::stream_slot::AnswerHold;

/// Maximum size in bytes of a piece that is copied into a common buffer. A `Bytes` of its own would keep a
/// whole read of the connection in memory for a few bytes.
const MAX_COPIED_BYTES: usize = 1 << 10;

/// How an answer will be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// The reader takes frames as they arrive, and waits for nothing else meanwhile.
    AtOnce,
    /// The reader passes frames on, so that its speed depends on another peer.
    Slowly,
}

/// `Incoming` is the body of a response. If it is dropped before its end, the call is cancelled.
pub struct Incoming {
    source: Source,
    _held: AnswerHold,
}

enum Source {
    Direct(RecvStream),
    Buffered { buffer: Arc<Mutex<Buffer>>, room: FlowControl },
    Ended,
}

impl Incoming {
    pub(super) fn new(mut body: RecvStream, reading: Reading, held: AnswerHold) -> Self {
        let source = match reading {
            // An answer without a body needs no task.
            _ if body.is_end_stream() => Source::Direct(body),
            Reading::AtOnce => Source::Direct(body),
            Reading::Slowly => {
                let buffer = Arc::new(Mutex::new(Buffer::default()));
                let room = body.flow_control().clone();
                tokio::spawn(fill(body, Arc::clone(&buffer)));
                Source::Buffered { buffer, room }
            }
        };
        Self { source, _held: held }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Direct(body) => {
                let step = ready!(poll_step(body, context));
                if let Step::Data(data) = &step {
                    // An error means that the stream has ended, which needs no window.
                    body.flow_control().release_capacity(data.len()).ok();
                }
                step
            }
            Source::Buffered { buffer, room } => {
                let step = ready!(buffer.lock().poll_take(context));
                if let Step::Data(data) = &step {
                    room.release_capacity(data.len()).ok();
                }
                step
            }
            Source::Ended => return Poll::Ready(None),
        };
        Poll::Ready(match frame {
            Step::Data(data) => Some(Ok(Frame::data(data))),
            Step::End(end) => {
                this.close();
                match end {
                    Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
                    Err(error) => Some(Err(error)),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Direct(body) => body.is_end_stream(),
            Source::Buffered { .. } => false,
            Source::Ended => true,
        }
    }
}

impl Incoming {
    /// Ends the reading, and wakes the task that fills the buffer, so that it drops the stream.
    fn close(&mut self) {
        if let Source::Buffered { buffer, .. } = std::mem::replace(&mut self.source, Source::Ended) {
            let mut buffer = buffer.lock();
            buffer.left = true;
            if let Some(filler) = buffer.filler.take() {
                filler.wake();
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.close();
    }
}

enum Step {
    Data(Bytes),
    End(Result<Option<HeaderMap>, h2::Error>),
}

fn poll_step(body: &mut RecvStream, context: &mut Context<'_>) -> Poll<Step> {
    match ready!(body.poll_data(context)) {
        Some(Ok(data)) => Poll::Ready(Step::Data(data)),
        Some(Err(error)) => Poll::Ready(Step::End(Err(error))),
        None => body.poll_trailers(context).map(Step::End),
    }
}

/// `Buffer` holds what was taken from the stream and not read yet. It is at most one stream window, since the
/// window is opened again only as the reader reads.
#[derive(Default)]
struct Buffer {
    pieces: VecDeque<Bytes>,
    /// Small pieces that arrived after those, in one buffer.
    small: BytesMut,
    end: Option<Result<Option<HeaderMap>, h2::Error>>,
    reader: Option<Waker>,
    filler: Option<Waker>,
    /// True once the reader has left.
    left: bool,
}

impl Buffer {
    fn push(&mut self, data: Bytes) {
        if data.len() <= MAX_COPIED_BYTES {
            self.small.extend_from_slice(&data);
        } else {
            self.close_small();
            self.pieces.push_back(data);
        }
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }

    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        // Small pieces are handed out last, because they were received after the large ones.
        if self.pieces.is_empty() {
            self.close_small();
        }
        if let Some(data) = self.pieces.pop_front() {
            return Poll::Ready(Step::Data(data));
        }
        // The end is given only once everything before it has been read.
        if let Some(end) = self.end.take() {
            return Poll::Ready(Step::End(end));
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Takes every frame from the stream as it arrives, until its end or until the reader has left, which cancels
/// the call.
async fn fill(mut body: RecvStream, buffer: Arc<Mutex<Buffer>>) {
    std::future::poll_fn(|context| {
        let mut buffer = buffer.lock();
        loop {
            // The reader has left: the end of this task drops the stream, and h2 cancels the call.
            if buffer.left {
                return Poll::Ready(());
            }
            let ended = match poll_step(&mut body, context) {
                Poll::Pending => {
                    buffer.filler = Some(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Step::Data(data)) => {
                    buffer.push(data);
                    false
                }
                Poll::Ready(Step::End(end)) => {
                    buffer.end = Some(end);
                    true
                }
            };
            if let Some(reader) = buffer.reader.take() {
                reader.wake();
            }
            if ended {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_lie_side_by_side_and_in_order() {
        let mut buffer = Buffer::default();
        for byte in 0..100_u8 {
            buffer.push(Bytes::from(vec![byte]));
        }
        buffer.push(Bytes::from(vec![100; 2 * MAX_COPIED_BYTES]));
        buffer.push(Bytes::from(vec![101]));
        buffer.end = Some(Ok(None));
        let mut context = Context::from_waker(Waker::noop());
        let mut lengths = Vec::new();
        let mut all = Vec::new();
        while let Poll::Ready(Step::Data(data)) = buffer.poll_take(&mut context) {
            lengths.push(data.len());
            all.extend_from_slice(&data);
        }
        assert_eq!(lengths, [100, 2 * MAX_COPIED_BYTES, 1]);
        assert!(all.is_sorted(), "in order");
    }
}
