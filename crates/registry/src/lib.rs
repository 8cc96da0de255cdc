//! Policy as code: a folder of TOML, one file per member, becomes an immutable [`Registry`], whole or not at all; and the
//! decision, which is a pure function of registry and question. The format is in `docs/reference/registry.md`.
//!
//! Deliberately absent: counting calls (`chapar-limit` does), the wall clock (the question brings the time), and reloading (the
//! gateway builds a new registry and swaps it).

mod decide;
mod entry;
mod finding;
mod grant;
mod load;
mod raw;
mod registry;
mod source;
mod suspension;
#[cfg(test)]
mod testing;

pub use decide::{Question, Refused};
pub use entry::{MethodEntry, Name, PassedMetadata, Server, ServiceEntry, Subsystem};
pub use finding::{Finding, Kind, LoadErrors};
pub use grant::{Citizen, Grant, Grantee, Hours, Permit, Requires, Validity};
pub use registry::{Registry, Right};
