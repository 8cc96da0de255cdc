//! These tests are the specification of the bus, by topic. Each test starts what it needs in a folder of its
//! own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

mod adapters;
mod admin;
mod architecture;
mod attempts;
mod bad_input;
mod bench;
mod blame;
mod compression;
mod config;
mod counter;
mod coverage;
mod disk;
mod doctor;
mod evidence;
mod fair;
mod faults;
mod flood;
mod identity;
mod init;
mod inquiry;
mod isolation;
mod kills;
mod limits;
mod minimise;
mod mistakes;
mod other_contract;
mod pages;
mod pki;
mod policy;
mod protocols;
mod questions;
mod quotas;
#[expect(dead_code, reason = "the transport's tests use the rest")]
#[path = "../../crates/transport/tests/spec/raw.rs"]
mod raw;
mod readme;
mod refusal_floods;
mod registry_change;
mod reload;
mod request;
mod reverse;
mod rights;
mod rows;
mod running_streams;
mod services;
mod shared_limits;
mod side_doors;
mod slow_line;
mod story;
mod streaming;
mod tutorials;
mod upstream;
mod uptime;
mod wire;
