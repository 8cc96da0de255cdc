//! This module computes the SHA-256 of the gateway's identity files. A reload keeps connections while the
//! hash is the same.

use aws_lc_rs::digest::{Context, SHA256};
use chapar_transport::dial;
use chapar_transport::tls::Files;

/// Equal as long as none of the files changes.
#[derive(Eq, PartialEq)]
pub(super) struct Fingerprint(Vec<u8>);

impl Fingerprint {
    pub(super) fn of(files: &Files) -> Result<Self, dial::Error> {
        let mut hash = Context::new(&SHA256);
        // The content is hashed and not the modification time: a renewal may write files that are the same.
        for path in [&files.cert, &files.key, &files.trust].into_iter().chain(&files.crl) {
            let bytes =
                std::fs::read(path).map_err(|source| dial::Error::Read { path: path.clone(), source })?;
            // The length keeps the boundary between two files: bytes that move from one to the next change
            // the hash.
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
        Ok(Self(hash.finish().as_ref().to_vec()))
    }
}
