//! `Gather` coalesces writes until the next flush or 16 KiB, because a TLS record and a system call cost as
//! much for one frame as for sixty.
//!
//! h2 hands a larger frame over in two pieces, and hands every frame above 256 bytes over by itself to an
//! output that takes vectored writes. `Gather` reports that it takes none, so that h2 joins frames of up to 1
//! KiB before they come here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of bytes that wait for a flush: the payload of one TLS record (RFC 8446 §5.1).
const MAX_WAITING_BYTES: usize = 16 << 10;
/// Size in bytes above which a piece is not copied but written at once, with what waits, because the copy
/// would cost more than it saves.
const MIN_DIRECT_BYTES: usize = 4 << 10;
/// Capacity in bytes that a connection without data to write keeps.
const KEPT_CAPACITY: usize = 1 << 10;

/// `Gather` is an output that holds writes until they are flushed.
pub(crate) struct Gather<I> {
    io: I,
    held: Vec<u8>,
    /// How much of `held` is written.
    written: usize,
}

impl<I> Gather<I> {
    pub(crate) fn new(io: I) -> Self {
        Self { io, held: Vec::new(), written: 0 }
    }
}

impl<I: AsyncWrite + Unpin> Gather<I> {
    /// Writes what waits, together with as much of `more` as the output takes. Returns how much of `more` was
    /// written.
    fn write_out(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while let Some(waiting) = self.held.get(self.written..).filter(|waiting| !waiting.is_empty()) {
            let length = waiting.len();
            // What waits and the new bytes go out in one system call where the output takes both.
            let pieces = [IoSlice::new(waiting), IoSlice::new(more)];
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &pieces))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written.min(length);
            if written > length {
                self.forget();
                return Poll::Ready(Ok(written - length));
            }
        }
        self.forget();
        if more.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.io).poll_write(cx, more) }
    }

    fn forget(&mut self) {
        self.written = 0;
        self.held.clear();
        // An idle connection must not keep 16 KiB: there may be ten thousand of them.
        if self.held.capacity() > KEPT_CAPACITY {
            self.held = Vec::new();
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gather<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let gather = self.get_mut();
        if bytes.len() >= MIN_DIRECT_BYTES || gather.held.len() + bytes.len() > MAX_WAITING_BYTES {
            return gather.write_out(cx, bytes);
        }
        gather.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gather = self.get_mut();
        ready!(gather.write_out(cx, &[]))?;
        Pin::new(&mut gather.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gather = self.get_mut();
        ready!(gather.write_out(cx, &[]))?;
        Pin::new(&mut gather.io).poll_shutdown(cx)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gather<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    type Writes = Rc<RefCell<Vec<Vec<u8>>>>;

    /// An output that takes at most this number of bytes in a write, and records what was written.
    struct Output {
        most: usize,
        came: Writes,
    }

    impl AsyncWrite for Output {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            whole.truncate(self.most);
            let length = whole.len();
            self.came.borrow_mut().push(whole);
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn output(most: usize) -> (Gather<Output>, Writes) {
        let came = Writes::default();
        (Gather::new(Output { most, came: Rc::clone(&came) }), came)
    }

    #[tokio::test]
    async fn small_pieces_wait_for_the_flush_and_go_out_as_one() {
        let (mut gather, came) = output(usize::MAX);
        for piece in [&b"head"[..], b" and ", b"tail"] {
            gather.write_all(piece).await.unwrap();
        }
        assert!(came.borrow().is_empty());
        gather.flush().await.unwrap();
        assert_eq!(*came.borrow(), [b"head and tail"]);
    }

    #[tokio::test]
    async fn a_large_piece_goes_out_at_once_behind_what_waited() {
        let (mut gather, came) = output(usize::MAX);
        gather.write_all(b"head").await.unwrap();
        gather.write_all(&[7; MIN_DIRECT_BYTES]).await.unwrap();
        assert_eq!(*came.borrow(), [[&b"head"[..], &[7; MIN_DIRECT_BYTES]].concat()]);
    }

    #[tokio::test]
    async fn no_more_than_a_record_waits() {
        let (mut gather, came) = output(usize::MAX);
        for _ in 0..40 {
            gather.write_all(&[7; 1000]).await.unwrap();
        }
        assert!(
            came.borrow().iter().all(|write| write.len() > MAX_WAITING_BYTES - 1000),
            "{:?}",
            came.borrow().len()
        );
        assert_eq!(came.borrow().len(), 2);
    }

    #[tokio::test]
    async fn what_the_output_takes_in_parts_arrives_whole_and_in_order() {
        for most in [1, 3, 4095, 4096, 5000] {
            let (mut gather, came) = output(most);
            let mut sent = Vec::new();
            for (number, length) in [5usize, 9000, 1, 4096, 300, 17_000, 2].into_iter().enumerate() {
                let piece = vec![number as u8; length];
                gather.write_all(&piece).await.unwrap();
                sent.extend(piece);
            }
            gather.shutdown().await.unwrap();
            assert!(came.borrow().concat() == sent, "in parts of {most}");
        }
    }

    #[tokio::test]
    async fn an_output_that_takes_nothing_is_an_error() {
        let (mut gather, _) = output(0);
        gather.write_all(b"piece").await.unwrap();
        assert_eq!(gather.flush().await.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
