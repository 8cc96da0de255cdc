//! This module compresses and decompresses gRPC messages by `grpc-encoding` (gRPC over HTTP/2,
//! "Message-Encoding"). Decompression stops at the message limit, so that a decompression bomb (1 KiB that
//! unpacks to 1 GiB) costs no more than the limit. It reads the input to its last byte, so that no decoder
//! behind the gateway can find data that the gateway did not see.

use std::io::{Read, Write as _};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The header that names the encoding of a side's messages.
pub const HEADER: &str = "grpc-encoding";
/// The header that names the encodings that a side understands.
pub const ACCEPT: &str = "grpc-accept-encoding";
/// All that this side understands, as [`ACCEPT`] lists them.
pub const ACCEPTED: &str = "identity,gzip,zstd";

/// How the compressed messages of one side are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// An encoding that is not understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the encoding is not one of {ACCEPTED}")]
pub struct Unsupported;

/// Why a message cannot be unpacked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unpacking {
    TooLarge,
    Corrupt,
}

impl Encoding {
    /// The encoding that a value of [`HEADER`] names; nothing for `identity`.
    ///
    /// # Errors
    /// [`Unsupported`] for every other.
    pub fn parse(value: &[u8]) -> Result<Option<Self>, Unsupported> {
        match value {
            b"identity" => Ok(None),
            b"gzip" => Ok(Some(Self::Gzip)),
            b"zstd" => Ok(Some(Self::Zstd)),
            _ => Err(Unsupported),
        }
    }

    /// As [`HEADER`] names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Packs a message.
    ///
    /// # Errors
    /// What the compressor says; none is known for a message in memory.
    pub fn pack(self, message: &[u8]) -> std::io::Result<Bytes> {
        match self {
            Self::Gzip => {
                let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packed.write_all(message)?;
                packed.finish().map(Bytes::from)
            }
            Self::Zstd => zstd::bulk::compress(message, 1).map(Bytes::from),
        }
    }

    /// Unpacks a message of at most `limit` bytes; at most `limit` + 1 are ever held.
    ///
    /// All members of a gzip file (RFC 1952 §2.2) and all frames of zstd (RFC 8878 §3.1) are read, one after
    /// the other, as other decoders do. Bytes that are neither are [`Unpacking::Corrupt`].
    pub(crate) fn unpack(self, packed: &[u8], limit: usize) -> Result<Bytes, Unpacking> {
        match self {
            Self::Gzip => read(MultiGzDecoder::new(packed), limit),
            Self::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| Unpacking::Corrupt)?;
                // A frame may ask for a window that is larger than any message: 8 MiB is what every decoder
                // must grant.
                decoder.window_log_max(23).map_err(|_| Unpacking::Corrupt)?;
                read(decoder, limit)
            }
        }
    }
}

fn read(unpacked: impl Read, limit: usize) -> Result<Bytes, Unpacking> {
    let mut message = Vec::new();
    // One byte more than the limit is read, which tells a message of exactly the limit from a longer one.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    unpacked.take(most).read_to_end(&mut message).map_err(|_| Unpacking::Corrupt)?;
    if message.len() > limit { Err(Unpacking::TooLarge) } else { Ok(message.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Gzip, Encoding::Zstd];

    #[test]
    fn what_is_packed_unpacks_to_the_same() {
        for encoding in BOTH {
            for message in [&b""[..], b"a", &[7; 100_000]] {
                let packed = encoding.pack(message).unwrap();
                assert_eq!(encoding.unpack(&packed, message.len()).unwrap(), message, "{encoding:?}");
                assert_eq!(Encoding::parse(encoding.as_str().as_bytes()), Ok(Some(encoding)));
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        for encoding in BOTH {
            let bomb = encoding.pack(&vec![0; 64 << 20]).unwrap();
            assert!(bomb.len() < 1 << 20, "{encoding:?} packs it to {}", bomb.len());
            assert_eq!(encoding.unpack(&bomb, 1 << 20), Err(Unpacking::TooLarge), "{encoding:?}");
        }
    }

    #[test]
    fn what_is_no_packed_message_is_corrupt() {
        for encoding in BOTH {
            assert_eq!(encoding.unpack(b"no such thing", 100), Err(Unpacking::Corrupt), "{encoding:?}");
            let packed = encoding.pack(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
            assert_eq!(
                encoding.unpack(&packed[..packed.len() - 1], 100),
                Err(Unpacking::Corrupt),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn every_part_of_a_message_in_several_parts_is_read() {
        // A skippable frame of zstd (RFC 8878 §3.1.2) holds user data that no decoder gives out.
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z'];
        for encoding in BOTH {
            let parts = [encoding.pack(b"first ").unwrap(), encoding.pack(b"second").unwrap()].concat();
            assert_eq!(encoding.unpack(&parts, 100).unwrap(), "first second", "{encoding:?}");
            assert_eq!(
                encoding.unpack(&parts, 11),
                Err(Unpacking::TooLarge),
                "the limit is of the whole: {encoding:?}"
            );
        }
        let parts = [&skippable[..], &Encoding::Zstd.pack(b"only").unwrap(), &skippable].concat();
        assert_eq!(Encoding::Zstd.unpack(&parts, 100).unwrap(), "only");
    }

    #[test]
    fn bytes_after_the_end_are_corrupt_however_few() {
        for encoding in BOTH {
            let packed = encoding.pack(b"message").unwrap();
            for rest in
                [&b"x"[..], &[0], &[0; 8], &[0x1f], &[0x1f, 0x8b], b"left over", &[0x28, 0xb5, 0x2f, 0xfd]]
            {
                let all = [&packed[..], rest].concat();
                assert_eq!(encoding.unpack(&all, 100), Err(Unpacking::Corrupt), "{encoding:?} {rest:?}");
            }
        }
    }

    #[test]
    fn other_encodings_are_not_understood() {
        assert_eq!(Encoding::parse(b"identity"), Ok(None));
        for name in [&b"br"[..], b"snappy", b"GZIP", b"", b"deflate"] {
            assert_eq!(Encoding::parse(name), Err(Unsupported));
        }
    }
}
