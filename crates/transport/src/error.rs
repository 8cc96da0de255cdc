//! `Error` names the file, address or endpoint that cannot be used, and why. Failed requests are
//! [`crate::dial::DialError`].

use std::net::SocketAddr;
use std::path::PathBuf;

/// A certificate, key, address or endpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// An endpoint is not of the form that it must have.
    #[error("`{given}` is no endpoint: write `{form}`")]
    Endpoint {
        /// The endpoint.
        given: String,
        /// The form.
        form: &'static str,
    },
    /// TLS cannot be set up with these files.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// An error and its causes in one line, without repetitions:
/// `connection error: received fatal alert: CertificateRequired`.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let words = cause.to_string();
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
    }
    line
}
