//! Connections: mutual TLS 1.3 with SPIFFE identities, HTTP/2 serving with an accept loop of our own, pools that dial, and
//! gRPC's framing and timeouts on top.
//!
//! Deliberately absent: what a call means, who may make it, and any identity but that of the peer's certificate.

pub mod dial;
pub mod encoding;
mod error;
pub mod frame;
mod gather;
mod peer;
pub mod reverse;
pub mod serve;
pub mod timeout;
pub mod tls;

pub use error::Error;
pub use peer::{IdentityError, Peer, Standing};
