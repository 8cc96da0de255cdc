//! These tests use the client through its public interface, against a stand-in for a gateway over real mutual
//! TLS.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod calls;
mod questions;
mod stand_in;
