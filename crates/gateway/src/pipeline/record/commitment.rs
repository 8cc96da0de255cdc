//! Commitments stand in records instead of messages: SHA-256 over the call's salt and one message, or all
//! messages of a stream. The format is in `docs/reference/evidence-format.md`.

use std::sync::Arc;

use aws_lc_rs::digest;
use parking_lot::Mutex;

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// SHA-256 of the salt and of one message.
pub(crate) fn of(salt: &[u8], message: &[u8]) -> Hash {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(salt);
    digest.update(message);
    hash(&digest.finish())
}

fn hash(digest: &digest::Digest) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// SHA-256 of the salt, then of each message after its length in 4 bytes, big-endian.
pub(crate) struct Commitment(digest::Context);

impl Commitment {
    /// Begins with the salt of the call.
    pub(crate) fn new(salt: &[u8]) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(salt);
        Self(digest)
    }

    pub(crate) fn message(&mut self, message: &[u8]) {
        // A message is at most 16 MiB (`max_message`), so the length always fits.
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(message);
    }

    pub(crate) fn finish(&self) -> Hash {
        hash(&self.0.clone().finish())
    }
}

/// `RequestDigest` commits to the messages of a streamed request. They are added as they pass, which is after
/// the record was opened.
#[derive(Clone)]
pub(crate) struct RequestDigest(Arc<Mutex<Commitment>>);

impl RequestDigest {
    pub(crate) fn new(commitment: Commitment) -> Self {
        Self(Arc::new(Mutex::new(commitment)))
    }

    /// Adds a message that is about to be sent.
    pub(crate) fn message(&self, message: &[u8]) {
        self.0.lock().message(message);
    }

    pub(crate) fn finish(&self) -> Hash {
        self.0.lock().finish()
    }
}
