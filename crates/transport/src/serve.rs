//! The server has its own accept loop: TLS handshakes under a timeout and caps, HTTP/2 with limits against
//! floods, and draining with a deadline (hyper's own graceful shutdown has none: hyper#4170).
//!
//! A peer without HTTP/2 is served HTTP/1.1, where the settings allow it; one without TLS gets a sentence.
//!
//! `slots` counts the connections of an address, `connection` serves one connection, `conduct` watches its
//! calls (rapid reset, stalled responses) and `guard` its frames (token bucket). The service decides what is
//! served and to whom.

mod conduct;
mod connection;
mod frames;
mod guard;
mod http1;
mod listen;
mod plaintext;
mod settings;
mod slots;

pub use connection::serve_connection;
pub use listen::{Bound, Part, Server, inherited};
pub use settings::{Reversed, Settings};
pub use slots::{ConnectionSlot, ConnectionSlots};
