//! A listener with an accept loop of its own: handshakes under a timeout and caps, HTTP/2 with bounds against floods, and a
//! drain with a deadline (hyper's own graceful shutdown has none: hyper#4170).
//!
//! What an address may take up is counted in `places`, one connection's life is in `connection`, and what its peer does with it
//! is watched in `conduct` (calls) and `guard` (frames). What is served, and to whom, is the service's.

mod conduct;
mod connection;
mod frames;
mod guard;
mod listen;
mod places;
mod settings;

pub use connection::serve_connection;
pub use listen::{Bound, Part, Server, inherited};
pub use places::{Place, Places};
pub use settings::{Reversed, Settings};
