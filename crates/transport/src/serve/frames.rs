//! `Frames` parses HTTP/2 frame headers from a byte stream (RFC 9113 §4.1) and skips the payloads. It keeps
//! only a header that is cut in two.

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;

/// Length in bytes of a frame header (RFC 9113 §4.1).
const HEADER: usize = 9;

/// A frame's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// `Frames` reads frame headers from bytes that arrive in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes until the next header.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
}

impl Frames {
    /// Skips this number of bytes before the first frame.
    pub(super) fn after(skip: usize) -> Self {
        Self { skip, ..Self::default() }
    }

    /// Reads the next bytes, and calls `tell` for every header that is complete with them.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Head)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            // A header may be cut in two by TLS records, so its bytes are gathered over several reads.
            let taken = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < HEADER {
                return;
            }
            let [a, b, c, kind, flags, stream @ ..] = self.header;
            let length = u32::from_be_bytes([0, a, b, c]);
            self.have = 0;
            self.skip = length as usize;
            // The highest bit is reserved and ignored (RFC 9113 §4.1).
            tell(Head { length, kind, flags, stream: u32::from_be_bytes(stream) & !(1 << 31) });
        }
    }

    /// Whether the last frame is complete.
    pub(super) fn between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_however_the_bytes_come() {
        let frames = [
            (Head { length: 3, kind: DATA, flags: END_STREAM, stream: 7 }, &b"abc"[..]),
            (Head { length: 0, kind: 4, flags: ACK, stream: 0 }, b""),
            (Head { length: 8, kind: PING, flags: 0, stream: 0 }, b"12345678"),
        ];
        let mut bytes = b"preface".to_vec();
        for (head, payload) in frames {
            bytes.extend_from_slice(&head.length.to_be_bytes()[1..]);
            bytes.extend_from_slice(&[head.kind, head.flags]);
            bytes.extend_from_slice(&(head.stream | 1 << 31).to_be_bytes());
            bytes.extend_from_slice(payload);
        }
        for size in 1..=bytes.len() {
            let mut scanner = Frames::after(7);
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                scanner.feed(piece, |head| found.push(head));
            }
            assert_eq!(found, frames.map(|(head, _)| head), "pieces of {size}");
            assert!(scanner.between());
            scanner.feed(b"\0", |_| ());
            assert!(!scanner.between());
        }
    }
}
