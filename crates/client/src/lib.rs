//! Calls through the bus from Rust: a connection under one identity, the call's metadata, answers with what
//! was withheld, refusals with their reason, descriptors by reflection, receipts. Any gRPC client can do the
//! same; this one saves the work.
//!
//! Deliberately absent: what a terminal shows, any policy, and retries of calls that may have been made.

mod answer;
mod call;
mod client;
mod error;
pub mod json;
mod meta;
mod reflection;
mod refusal;

pub use answer::{Answer, Ending, Messages};
pub use call::{CallMetadata, CallSpec};
pub use client::{Client, Config};
pub use error::CallError;
pub use meta::{AllowedMethod, GrantUsage, KnownMethod, KnownService, LimitUsage, PublishedContract, WhoAmI};
pub use refusal::{Refusal, Violation};
