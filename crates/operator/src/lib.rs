//! This crate is what operators see of a running bus. It asks every gateway for its state and its last calls
//! under the operator's own certificate, checks what it gets, and shows it as pages.
//!
//! Deliberately absent: any change of the bus; what a gateway knows of itself, which the gateway tells
//! (`chapar.admin.v1`); values of citizens, which no gateway shows here.

mod bus;
pub mod check;
mod console;
mod moment;
pub mod status;
mod trace;

pub use bus::{Answer, Bus, Seen, is_absent, newest};
pub use console::{Console, Error};
pub use moment::utc_us;
