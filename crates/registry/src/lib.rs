//! This crate is policy as code: it loads a folder of TOML, one file per member, into an immutable
//! [`Registry`], whole or not at all. A decision is a pure function of registry and question. The format is
//! in `docs/reference/registry.md`.
//!
//! Deliberately absent: counting calls (`chapar-limit` does), the wall clock (the question has the time), and
//! reloading (the gateway builds a new registry and swaps it).

mod approval;
mod change;
mod decide;
mod entries;
mod entry;
mod explain;
mod finding;
mod folder;
mod grant;
mod load;
mod operator;
mod plan;
mod policy;
mod procedure;
mod raw;
mod registry;
mod schema;
mod shared;
mod source;
pub mod store;
mod suspension;
#[cfg(test)]
mod testing;

pub use approval::{Approvals, Approver, Need};
pub use change::{Change, Verb};
pub use decide::{Question, Refused};
pub use entry::{MethodEntry, Name, PassedMetadata, Server, ServiceEntry, Subsystem};
pub use explain::{Check, Explanation};
pub use finding::{Finding, Kind, LoadErrors};
pub use grant::{Citizen, Grant, Grantee, Hours, Permit, Requires, RowCheck, Validity};
pub use operator::Role;
pub use plan::{Effect, Plan, Seen};
pub use procedure::{Input, MAX_PARTS, Part, Procedure, RequestField, ValueSource};
pub use registry::{Ending, Registry, Right};
pub use schema::schema;
