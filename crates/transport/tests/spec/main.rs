//! These tests use the transport through its public interface, over real sockets with a throw-away CA.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod chains;
mod dialling;
mod files;
mod floods;
mod handshakes;
mod http1;
mod lifetimes;
mod pki;
mod raw;
mod reverse;
mod serving;
mod sharing;
mod standing;
mod world;
