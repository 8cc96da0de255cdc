//! This crate is the counter office's web page. A clerk signs in, chooses a procedure, types a national id,
//! and sees what the agencies answer, part by part, with what was withheld named as withheld. The page holds
//! the office's certificate and asks the gateway as any client does: which answers a clerk may see is decided
//! there.
//!
//! Pages are made on the server, in Persian (right to left) and English, and need no script. Nothing of a
//! citizen is kept longer than 15 minutes, and nothing of a citizen is on disk or in a log.
//!
//! Deliberately absent: rights, limits and evidence, which are the gateway's; any store.

mod bus;
mod clerks;
mod config;
mod inquiries;
mod lockout;
mod network;
mod page;
mod serve;
mod session;
mod show;
mod web;
mod words;

pub use clerks::{ClerkFileError, hash_password};
pub use config::{Config, ConfigError};
pub use serve::{Counter, Error};
