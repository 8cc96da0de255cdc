//! Calls through the bus from Rust: a connection under one identity, the call's metadata, answers with what
//! was withheld, refusals with their reason, descriptors by reflection or from a file, receipts. Any gRPC
//! client can do the same; this one saves the work. `chapar call` and the demo's story are made of it.
//!
//! Deliberately absent: what a terminal shows, any policy, and retries of calls that may have been made.

mod answer;
mod call;
mod client;
mod descriptors;
mod error;
pub mod json;
mod meta;
mod reflection;
mod refusal;

pub use answer::{Answer, Ending, Messages};
pub use call::{CallMetadata, CallSpec};
pub use client::{Client, Config};
pub use descriptors::{DescriptorFileError, descriptors_from_file};
pub use error::CallError;
pub use meta::{AllowedMethod, GrantUsage, KnownMethod, KnownService, LimitUsage, PublishedContract, WhoAmI};
pub use refusal::{Refusal, Violation};
