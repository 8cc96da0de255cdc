//! This crate is the transport layer: mutual TLS 1.3 with SPIFFE identities, an HTTP/2 server with its own
//! accept loop, connection pools that dial, gRPC framing and timeouts, the listener of admin pages, and
//! single HTTP requests to witnesses.
//!
//! Deliberately absent: what a call means, authorization, and any identity but that of the peer's
//! certificate.

pub mod admin;
pub mod dial;
pub mod encoding;
mod error;
pub mod frame;
mod gather;
mod identity;
mod peer;
pub mod post;
pub mod reverse;
pub mod serve;
pub mod timeout;
pub mod tls;

pub use error::Error;
pub use identity::IdentityError;
pub use peer::{CertificateStatus, Peer};
