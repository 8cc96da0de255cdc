//! This module reads and writes gRPC frames: a flag byte, 4 bytes of length, the message (gRPC over HTTP/2,
//! "Length-Prefixed-Message").

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::encoding::{Encoding, Unpacking};

/// Length in bytes of a frame's header: the flag and the message's length.
const PREFIX: usize = 5;

/// A body that is not a sequence of messages.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length in a prefix is over the limit, and nothing was allocated for it; or what a message unpacks
    /// to is.
    #[error("a message is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message is flagged as compressed and no encoding was agreed on, or the flag does not exist.
    #[error("a message has a compression flag that was not agreed on")]
    Compressed,
    /// A message that is flagged as compressed does not unpack.
    #[error("a compressed message does not unpack")]
    Corrupt,
    /// The body ends inside a message.
    #[error("the body ends inside a message")]
    Truncated,
    /// The connection or stream under the body failed.
    #[error("the stream was broken off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One message of a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its bytes, unpacked.
    pub bytes: Bytes,
    came: Came,
}

/// How a message came. Compressed bytes are dropped once they are unpacked: another decoder may read them
/// otherwise (several gzip members, skippable frames), so what is sent on is always made of what was read
/// here.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Came {
    /// Uncompressed, with its prefix.
    Plain(Bytes),
    Packed,
}

impl Message {
    /// Whether it came compressed.
    pub fn is_packed(&self) -> bool {
        self.came == Came::Packed
    }

    /// The message with its prefix, to send on: as it came if it was not compressed, else compressed again by
    /// `encoding`, plain without one.
    ///
    /// # Errors
    /// What the compressor says; none is known for a message in memory.
    pub fn framed(self, encoding: Option<Encoding>) -> std::io::Result<Bytes> {
        match (self.came, encoding) {
            (Came::Plain(framed), _) => Ok(framed),
            (Came::Packed, Some(encoding)) => encoding.pack(&self.bytes).map(encode_packed),
            (Came::Packed, None) => Ok(encode(self.bytes)),
        }
    }

    /// The same for other `bytes` in its place: compressed by `encoding` if this one came compressed.
    ///
    /// # Errors
    /// What the compressor says; none is known for a message in memory.
    pub fn replaced(&self, bytes: Bytes, encoding: Option<Encoding>) -> std::io::Result<Bytes> {
        match encoding.filter(|_| self.is_packed()) {
            Some(encoding) => encoding.pack(&bytes).map(encode_packed),
            None => Ok(encode(bytes)),
        }
    }
}

/// Reads the messages of a body, then its trailers. A message that came in one piece is not copied.
pub struct MessageReader<B> {
    body: B,
    limit: usize,
    encoding: Option<Encoding>,
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
        Self { body, limit, encoding: None, pending: Bytes::new(), trailers: None, ended: false }
    }

    /// The encoding of those messages that are flagged as compressed. Without one, no message may be.
    pub fn encoded(mut self, encoding: Option<Encoding>) -> Self {
        self.encoding = encoding;
        self
    }

    /// A body that is over before it began, with these trailers: gRPC's answer of trailers only.
    pub fn ended(mut self, trailers: HeaderMap) -> Self {
        (self.ended, self.trailers) = (true, Some(trailers));
        self
    }

    /// The next message's bytes, unpacked, or nothing at the end of the body.
    ///
    /// # Errors
    /// [`FrameError`]; the reader is then of no further use.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        Ok(self.next_message().await?.map(|message| message.bytes))
    }

    /// The next message, or nothing at the end of the body.
    ///
    /// # Errors
    /// [`FrameError`]; the reader is then of no further use.
    pub async fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        if !self.fill(PREFIX).await? {
            return if self.pending.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
        }
        // The fallback cannot occur after `fill`. It is refused below like any flag that was not agreed on.
        let flag = self.pending.first().copied().unwrap_or(u8::MAX);
        let length = self
            .pending
            .get(1..PREFIX)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u32::MAX, u32::from_be_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // The flag is checked before the length, so that a compressed message that was not agreed on is named
        // as that.
        let packing = match (flag, self.encoding) {
            (0, _) => None,
            (1, Some(encoding)) => Some(encoding),
            _ => return Err(FrameError::Compressed),
        };
        // The length is a peer's word. It is checked before any memory is reserved for it.
        if length > self.limit {
            return Err(FrameError::TooLarge { limit: self.limit });
        }
        if !self.fill(PREFIX + length).await? {
            return Err(FrameError::Truncated);
        }
        let framed = self.pending.split_to(PREFIX + length);
        let bytes = framed.slice(PREFIX..);
        let Some(encoding) = packing else { return Ok(Some(Message { bytes, came: Came::Plain(framed) })) };
        // The limit also holds after decompression, else a short message could unpack to any size.
        let bytes = encoding.unpack(&bytes, self.limit).map_err(|error| match error {
            Unpacking::TooLarge => FrameError::TooLarge { limit: self.limit },
            Unpacking::Corrupt => FrameError::Corrupt,
        })?;
        Ok(Some(Message { bytes, came: Came::Packed }))
    }

    /// The trailers, once [`MessageReader::next`] has come to the end; nothing if there were none.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Reads on until `length` bytes are pending; false if the body ends before.
    async fn fill(&mut self, length: usize) -> Result<bool, FrameError> {
        // Most messages come in one DATA frame, and are then sliced and not copied. Only a message in several
        // frames is joined.
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

/// A message with its prefix, as one piece. Messages of a bus are short: one copy costs less than a second
/// frame on the wire.
pub fn encode(message: Bytes) -> Bytes {
    framed(0, message)
}

/// The same of a message that is packed by the encoding that the headers name.
pub fn encode_packed(message: Bytes) -> Bytes {
    framed(1, message)
}

fn framed(flag: u8, message: Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(flag);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use std::io::Write as _;

    fn pieces(
        bytes: &[u8],
        size: usize,
    ) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let frames: Vec<_> = bytes
            .chunks(size)
            .map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn messages_are_whole_however_they_were_cut() {
        let two = [
            encode(Bytes::from_static(b"first")),
            encode(Bytes::new()),
            encode(Bytes::from_static(b"second")),
        ]
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
    async fn a_compressed_message_goes_on_as_what_was_read_and_never_as_it_came() {
        let packed = |text: &[u8]| Encoding::Gzip.pack(text).unwrap();
        let came = encode_packed([packed(b"first "), packed(b"second")].concat().into());
        let plain = encode(Bytes::from_static(b"plain"));
        let both = [came.clone(), plain.clone()].concat();
        let mut reader = MessageReader::new(Full::new(both.into()), 100).encoded(Some(Encoding::Gzip));
        let message = reader.next_message().await.unwrap().unwrap();
        assert_eq!((message.bytes.as_ref(), message.is_packed()), (&b"first second"[..], true));
        assert_eq!(message.clone().framed(None).unwrap(), encode(Bytes::from_static(b"first second")));
        let again = message.framed(Some(Encoding::Gzip)).unwrap();
        assert_ne!(again, came);
        assert_eq!(again, encode_packed(packed(b"first second")));
        let message = reader.next_message().await.unwrap().unwrap();
        assert!(!message.is_packed());
        assert_eq!(
            message.framed(Some(Encoding::Gzip)).unwrap(),
            plain,
            "what came plain goes on as it came"
        );
    }

    #[tokio::test]
    async fn what_a_gzip_header_says_of_a_file_is_passed_over_and_does_not_go_on() {
        let said = ["extra field", "file name", "file comment"];
        let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        let [extra, name, comment] = said;
        let header = flate2::GzBuilder::new().extra(extra).filename(name).comment(comment);
        let mut packed = header.write(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"message").unwrap();
        let came = encode_packed(packed.finish().unwrap().into());
        assert!(said.iter().all(|text| holds(&came, text)));

        let mut reader = MessageReader::new(Full::new(came), 100).encoded(Some(Encoding::Gzip));
        let message = reader.next_message().await.unwrap().unwrap();
        assert_eq!(message.bytes, "message");
        for encoding in [None, Some(Encoding::Gzip), Some(Encoding::Zstd)] {
            let sent = message.clone().framed(encoding).unwrap();
            assert!(said.iter().all(|text| !holds(&sent, text)), "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn a_message_may_not_be_compressed_otherwise_than_the_headers_say() {
        let read = |bytes: Bytes, encoding| async move {
            MessageReader::new(Full::new(bytes), 100).encoded(encoding).next().await.unwrap_err()
        };
        let packed = |message: &[u8]| encode_packed(Encoding::Zstd.pack(message).unwrap());
        assert!(matches!(read(packed(b"m"), None).await, FrameError::Compressed));
        assert!(matches!(read(packed(b"m"), Some(Encoding::Gzip)).await, FrameError::Corrupt));
        assert!(matches!(
            read(packed(&[0; 101]), Some(Encoding::Zstd)).await,
            FrameError::TooLarge { limit: 100 }
        ));
        assert!(matches!(read(framed(2, Bytes::new()), Some(Encoding::Zstd)).await, FrameError::Compressed));
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
