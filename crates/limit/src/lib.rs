//! This crate has rate limits (GCRA, by `governor`), concurrency limits and fair queueing (`Fair`). All state
//! is in this process.
//!
//! Deliberately absent: who the caller is and what a grant allows; the registry decides that.

mod fair;
mod limiter;
mod usage;

pub use fair::{Bounds, Charge, Fair, Ticket, Turn, Waiting};
pub use limiter::{Admission, Denied, Limiter};
pub use usage::{Kind, LimitUsage, Usage};
