//! This crate is the command line of the Chapar service bus, and its demo.

pub mod authority;
pub mod cli;
mod coverage;
pub mod demo;
mod disclosures;
pub mod exit;
mod gateway_log;
pub mod out;
pub mod pki;
mod signal;
mod suspension;
