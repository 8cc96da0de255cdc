//! What several gateways admit together that share their limits through a real Redis, and what each admits by
//! itself while that Redis fails in every way that a Redis can.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod exact;
mod faults;
mod lies;
mod replica;
mod signing_in;
