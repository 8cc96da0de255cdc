//! gRPC's length-prefixed messages: one flag byte, four bytes of length, the message (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt as _;

const PREFIX: usize = 5;

/// A body that is not a sequence of messages.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length in a prefix is over the limit; nothing was allocated for it.
    #[error("a message is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message is flagged as compressed and no encoding was agreed on, or the flag does not exist.
    #[error("a message has a compression flag that was not agreed on")]
    Compressed,
    /// The body ends inside a message.
    #[error("the body ends inside a message")]
    Truncated,
    /// The connection or stream under the body failed.
    #[error("the stream was broken off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the messages of a body, then its trailers. A message that came in one piece is not copied.
pub struct MessageReader<B> {
    body: B,
    limit: usize,
    pending: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<B> MessageReader<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// `limit` is the longest message in bytes, without its prefix.
    pub fn new(body: B, limit: usize) -> Self {
        Self { body, limit, pending: Bytes::new(), trailers: None, ended: false }
    }

    /// The next message, or nothing at the end of the body.
    ///
    /// # Errors
    /// [`FrameError`]; the reader is then of no further use.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        if !self.fill(PREFIX).await? {
            return if self.pending.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
        }
        let flag = self.pending.first().copied().unwrap_or(u8::MAX);
        let length =
            self.pending.get(1..PREFIX).and_then(|bytes| bytes.try_into().ok()).map_or(u32::MAX, u32::from_be_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if flag != 0 {
            return Err(FrameError::Compressed);
        }
        if length > self.limit {
            return Err(FrameError::TooLarge { limit: self.limit });
        }
        if !self.fill(PREFIX + length).await? {
            return Err(FrameError::Truncated);
        }
        self.pending.advance(PREFIX);
        Ok(Some(self.pending.split_to(length)))
    }

    /// The trailers, once [`MessageReader::next`] has come to the end; nothing if there were none.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Reads on until `length` bytes are pending; false if the body ends before.
    async fn fill(&mut self, length: usize) -> Result<bool, FrameError> {
        let mut joined: Option<BytesMut> = None;
        while joined.as_ref().map_or(self.pending.len(), BytesMut::len) < length && !self.ended {
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(error)) => return Err(FrameError::Body(error.into())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if self.pending.is_empty() && joined.is_none() => self.pending = data,
                    Ok(data) => {
                        let pending = std::mem::take(&mut self.pending);
                        joined.get_or_insert_with(|| BytesMut::from(pending.as_ref())).put(data);
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        if let Some(joined) = joined {
            self.pending = joined.freeze();
        }
        Ok(self.pending.len() >= length)
    }
}

/// A message with its prefix, as one piece. Messages of a bus are short: one copy costs less than a second frame on the wire.
pub fn encode(message: Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    fn pieces(bytes: &[u8], size: usize) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let frames: Vec<_> =
            bytes.chunks(size).map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece)))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn messages_are_whole_however_they_were_cut() {
        let two = [encode(Bytes::from_static(b"first")), encode(Bytes::new()), encode(Bytes::from_static(b"second"))]
            .concat();
        for size in 1..=two.len() {
            let mut reader = MessageReader::new(pieces(&two, size), 100);
            assert_eq!(reader.next().await.unwrap().unwrap(), "first", "pieces of {size}");
            assert_eq!(reader.next().await.unwrap().unwrap(), "");
            assert_eq!(reader.next().await.unwrap().unwrap(), "second");
            assert!(reader.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_message_in_one_piece_is_not_copied() {
        let framed = encode(Bytes::from_static(b"message"));
        let at = framed.as_ptr().wrapping_add(PREFIX);
        let mut reader = MessageReader::new(Full::new(framed), 100);
        assert_eq!(reader.next().await.unwrap().unwrap().as_ptr(), at);
    }

    #[tokio::test]
    async fn broken_bodies_each_have_their_error() {
        let read = |bytes: &'static [u8]| async move {
            MessageReader::new(Full::new(Bytes::from_static(bytes)), 100).next().await
        };
        assert!(matches!(read(&[0, 0, 0]).await, Err(FrameError::Truncated)));
        assert!(matches!(read(&[0, 0, 0, 0, 9, 1]).await, Err(FrameError::Truncated)));
        assert!(matches!(read(&[1, 0, 0, 0, 0]).await, Err(FrameError::Compressed)));
        assert!(matches!(read(&[0, 0xff, 0xff, 0xff, 0xff]).await, Err(FrameError::TooLarge { limit: 100 })));
        assert!(matches!(read(&[]).await, Ok(None)));
    }
}
