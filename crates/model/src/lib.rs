//! This crate has the types that every part of the bus shares: identities, method paths, purposes and other
//! call metadata, the closed catalogue of reasons, the clock, days in Asia/Tehran, and the languages of
//! pages. Everything is parsed once at the edge, so that no invalid value exists after that.
//!
//! Deliberately absent: I/O, async, policy, and anything of gRPC but its status numbers.

mod call;
mod clock;
pub mod header;
mod hex;
mod id;
mod language;
mod limits;
mod log_budget;
mod method;
mod place;
mod quotas;
mod reason;
mod rows;
mod sha256;
mod status;
pub mod tehran;

pub use call::{CallId, CaseNumber, ClerkId, GrantId, PartId, ProcedureId, Purpose, RequestId};
pub use clock::Clock;
pub use hex::{from_hex, to_hex};
pub use id::{Class, Identity, InvalidId, MemberId, SubsystemId, TrustDomain};
pub use language::Language;
pub use limits::{Limits, MAX_ADAPTER_REQUEST, MAX_CALLS, Rate};
pub use log_budget::LogBudget;
pub use method::MethodPath;
pub use place::line_and_column;
pub use quotas::{Quotas, SubjectQuota};
pub use reason::{Code, Reason};
pub use rows::{InvalidRows, RowScopes};
pub use sha256::{parse_sha256, show_sha256};
pub use status::status_name;
